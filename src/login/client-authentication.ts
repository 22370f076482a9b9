import { decodeFormText, type Form } from '../lib/form.ts'
import { type Client, clientIdPattern } from './client-model.ts'
import type { SecretChecker } from './client-secret.ts'
import type { ClientStore } from './client-store.ts'
import { OAuthError, oneOf } from './oauth-error.ts'

type Presented = { readonly id: string; readonly secret: string }

export type ClientAuthentication = {
  /**
   * The client that a request authenticates as, by `client_secret_basic` or `client_secret_post` (RFC 6749 section
   * 2.3.1); null for a request that does not try.
   *
   * @throws OAuthError `invalid_client` for credentials that are not good, alike whatever is wrong with them;
   * `invalid_request` for more than one method.
   */
  authenticate(headers: Headers, form: Form): Promise<Client | null>
}

const invalid = () => new OAuthError('invalid_client', 'The client is unknown or its secret is wrong.')

/** Longer than any id and secret become by both encodings. */
const maxBasicText = 8_192

/**
 * The parts of `Basic` credentials (RFC 7617), of which RFC 6749 section 2.3.1 has each form-encoded before. Null for
 * what is none.
 */
const readBasic = (authorization: string): Presented | null => {
  if (authorization.length > maxBasicText) return null
  const [, encoded = ''] = /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(authorization) ?? []
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(encoded, 'base64'))
  } catch {
    return null
  }
  const colon = text.indexOf(':')
  if (colon === -1) return null
  const [id, secret] = [decodeFormText(text.slice(0, colon)), decodeFormText(text.slice(colon + 1))]
  return id === null || secret === null ? null : { id, secret }
}

const readPresented = (headers: Headers, form: Form): Presented | null => {
  const authorization = headers.get('authorization')
  const [id, secret] = [oneOf(form, 'client_id'), oneOf(form, 'client_secret')]
  if (authorization === null || authorization === '') {
    // An id alone says who asks, and proves nothing.
    if (secret === undefined) return null
    if (id === undefined) throw new OAuthError('invalid_request', 'client_id is missing.')
    return { id, secret }
  }
  if (secret !== undefined || authorization.includes(',')) {
    throw new OAuthError('invalid_request', 'The client authenticates by more than one method.')
  }
  const basic = readBasic(authorization)
  if (basic === null) throw invalid()
  if (id !== undefined && id !== basic.id) {
    throw new OAuthError('invalid_request', 'client_id is not the client that authenticates.')
  }
  return basic
}

export type ClientAuthenticationOptions = {
  readonly store: Pick<ClientStore, 'findCredential'>
  readonly checker: SecretChecker
}

const idForm = new RegExp(clientIdPattern)

/** Has the length of an id, and not the form of one. */
const nobody = `cli-${'0'.repeat(32)}`

export const createClientAuthentication = ({
  store,
  checker,
}: ClientAuthenticationOptions): ClientAuthentication => ({
  authenticate: async (headers, form) => {
    const presented = readPresented(headers, form)
    if (presented === null) return null
    const { id, secret } = presented
    // Looked for, and checked, also where nobody can be found: the same reads and hashes whoever it is.
    const found = await store.findCredential(idForm.test(id) ? id : nobody)
    const isRight = await checker.matches(secret, found?.hashes ?? [])
    if (!isRight || found?.client.status !== 'active') throw invalid()
    return found.client
  },
})

/** @throws OAuthError `invalid_client` for a request that authenticates as nobody. */
export const requireClient = (client: Client | null): Client => {
  if (client === null) throw new OAuthError('invalid_client', 'The client has to authenticate.')
  return client
}

import { randomBytes } from 'node:crypto'
import { call } from '../support/http.ts'
import { parseJson, textOf } from '../support/json.ts'
import { now } from './clock.ts'
import { expectStatus, type Site } from './site.ts'

export type User = { readonly id: string; readonly email: string; readonly password: string }
export type Tokens = { readonly accessToken: string; readonly refreshToken: string }
export type Client = { readonly id: string; readonly secret: string }
export type Key = { readonly id: string; readonly key: string }

/** The calls by which people and machines get their credentials, and by which an administrator takes them away. */
export type Accounts = {
  /** Signs the administrator in, again where the tokens of before are good no more. */
  signInAdmin(): Promise<void>
  addUser(): Promise<User>
  signIn(user: User): Promise<Tokens>
  refresh(refreshToken: string): Promise<Tokens>
  addClient(): Promise<Client>
  clientToken(client: Client): Promise<string>
  /** A key of whoever has the token, that may read documents. */
  makeKey(service: number, accessToken: string): Promise<Key>
  /** Asks `login` as the administrator. Resolves to when its answer was there. */
  administer(method: string, path: string, json?: unknown): Promise<number>
  /** Asks `login` as nobody in particular: what is needed is in the body. */
  ask(path: string, json: unknown): Promise<number>
  /** RFC 7009. */
  revoke(token: string): Promise<number>
  /** Asks a service about one's keys. */
  changeKey(
    service: number,
    accessToken: string,
    method: string,
    path: string,
    json?: unknown,
  ): Promise<number>
}

const scope = 'documents:read documents:write'

export const createAccounts = ({ login, services, admin }: Site): Accounts => {
  let adminToken = ''
  let users = 0
  const serviceUrl = (index: number): string => {
    const url = services[index]?.url
    if (url === undefined) throw new Error(`There is no service ${index}`)
    return url
  }
  const done = [200, 201, 204]
  const tokensOf = (body: unknown): Tokens => ({
    accessToken: textOf(body, 'access_token'),
    refreshToken: textOf(body, 'refresh_token'),
  })
  let last: Promise<unknown> = Promise.resolve()
  /** One after the other: `login` turns away what more than a few wait for while passwords are hashed. */
  const inTurn = <Result>(ask: () => Promise<Result>): Promise<Result> => {
    const asked = last.then(ask, ask)
    last = asked.catch(() => {})
    return asked
  }
  const signIn = async ({ email, password }: Pick<User, 'email' | 'password'>): Promise<Tokens> => {
    const asked = inTurn(() => call(`${login.url}/auth/login`, { json: { email, password } }))
    const { body } = await expectStatus(asked, 200)
    return tokensOf(body)
  }
  const postForm = async (
    path: string,
    form: Record<string, string>,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; body: unknown }> => {
    const response = await fetch(`${login.url}${path}`, {
      method: 'POST',
      headers,
      body: new URLSearchParams(form),
      signal: AbortSignal.timeout(10_000),
    })
    return { status: response.status, body: parseJson(await response.text()) }
  }

  return {
    signIn,
    signInAdmin: async () => {
      adminToken = (await signIn(admin)).accessToken
    },
    addUser: async () => {
      users += 1
      const credentials = {
        email: `user${users}@example.com`,
        password: randomBytes(18).toString('base64url'),
      }
      const json = { ...credentials, roles: ['user'] }
      const asked = inTurn(() => call(`${login.url}/users`, { token: adminToken, json }))
      const made = await expectStatus(asked, 201)
      return { ...credentials, id: textOf(made.body, 'id') }
    },
    refresh: async refreshToken => {
      const json = { refresh_token: refreshToken }
      return tokensOf((await expectStatus(call(`${login.url}/auth/refresh`, { json }), 200)).body)
    },
    addClient: async () => {
      const json = { name: 'machine', scopes: scope.split(' ') }
      const { body } = await expectStatus(call(`${login.url}/clients`, { token: adminToken, json }), 201)
      return { id: textOf(body, 'id'), secret: textOf(body, 'secret') }
    },
    clientToken: async ({ id, secret }) => {
      const form = { grant_type: 'client_credentials', scope, audience: 'service-a' }
      // RFC 6749 section 2.3.1.
      const basic = btoa(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`)
      const { status, body } = await postForm('/oauth/token', form, { authorization: `Basic ${basic}` })
      if (status !== 200) throw new Error(`No token for a client: ${status} ${JSON.stringify(body)}`)
      return textOf(body, 'access_token')
    },
    makeKey: async (service, accessToken) => {
      const json = { name: 'proof', permissions: ['documents:read'] }
      const asked = call(`${serviceUrl(service)}/api-keys`, { token: accessToken, json })
      const { body } = await expectStatus(asked, 201)
      return { id: textOf(body, 'id'), key: textOf(body, 'key') }
    },
    administer: async (method, path, json) => {
      const options = { method, token: adminToken, ...(json === undefined ? {} : { json }) }
      await expectStatus(call(`${login.url}${path}`, options), ...done)
      return now()
    },
    ask: async (path, json) => {
      await expectStatus(call(`${login.url}${path}`, { json }), ...done)
      return now()
    },
    revoke: async token => {
      const { status } = await postForm('/oauth/revoke', { token, token_type_hint: 'access_token' })
      if (status !== 200) throw new Error(`A token was not revoked: ${status}`)
      return now()
    },
    changeKey: async (service, accessToken, method, path, json) => {
      const options = { method, token: accessToken, ...(json === undefined ? {} : { json }) }
      await expectStatus(call(`${serviceUrl(service)}/api-keys/${path}`, options), ...done)
      return now()
    },
  }
}

import { type AuditContext, bySystem } from '../lib/audit.ts'
import { introspectTokens, readChanges } from '../lib/changes-schema.ts'
import type { Clock } from '../lib/clock.ts'
import { Failure } from '../lib/failure.ts'
import { createId } from '../lib/id.ts'
import { type Client, maxScopeText } from './client-model.ts'
import { createClientSecret, hashClientSecret, type SecretChecker } from './client-secret.ts'
import type { ClientChanges, ClientStore, NewSecret } from './client-store.ts'

/** How long the secret before the last one is good after a rotation, seconds, when nobody says otherwise. */
export const defaultGraceSeconds = 86_400
export const maxGraceSeconds = 30 * 86_400

/** A client with the text of its newest secret, which is told once. */
export type ClientWithSecret = { readonly client: Client; readonly secret: string }

export type ClientInput = {
  /** Made here where it is absent. */
  readonly id?: string
  readonly name: string
  readonly scopes: readonly string[]
}

/** What came of the client that the settings name; `secret_differs` says that they name another secret than it has. */
export type SettingOutcome = 'created' | 'known' | 'secret_differs' | 'deleted'

/** Commands over service accounts. They throw what the store does. */
export type ClientRegistry = {
  /** @throws Failure `invalid_request` for scopes that are too long together. */
  create(input: ClientInput, context: AuditContext): Promise<ClientWithSecret>
  /** @throws Failure `invalid_request` for scopes that are too long together. */
  update(id: string, changes: ClientChanges, context: AuditContext): Promise<Client>
  rotate(id: string, graceSeconds: number | undefined, context: AuditContext): Promise<ClientWithSecret>
  /** Registers the follower of the change feed that the settings name, unless its id was ever there. */
  ensure(id: string, secret: string): Promise<SettingOutcome>
}

export type ClientRegistryOptions = {
  readonly store: ClientStore
  readonly checker: SecretChecker
  readonly clock: Clock
}

/** @throws Failure `invalid_request` */
const normalizeScopes = (scopes: readonly string[]): string[] => {
  const each = [...new Set(scopes)].sort()
  if (each.join(' ').length <= maxScopeText) return each
  throw new Failure('invalid_request', {
    errors: [{ field: 'scopes', rule: `must have at most ${maxScopeText} characters in all` }],
  })
}

export const createClientRegistry = ({ store, checker, clock }: ClientRegistryOptions): ClientRegistry => {
  // Hashed before the transaction, which must not wait for anything.
  const newSecret = async (text: string): Promise<NewSecret> => ({
    id: createId('sec', clock),
    hash: await hashClientSecret(text),
  })

  return {
    create: async ({ id = createId('cli', clock), name, scopes }, context) => {
      const secret = createClientSecret()
      const row = { id, name, scopes: normalizeScopes(scopes), secret: await newSecret(secret) }
      return { client: await store.insert(row, context), secret }
    },

    update: async (id, { name, scopes }, context) =>
      store.update(
        id,
        {
          ...(name === undefined ? {} : { name }),
          ...(scopes === undefined ? {} : { scopes: normalizeScopes(scopes) }),
        },
        context,
      ),

    rotate: async (id, graceSeconds = defaultGraceSeconds, context) => {
      const secret = createClientSecret()
      return { client: await store.rotate(id, await newSecret(secret), graceSeconds, context), secret }
    },

    ensure: async (id, secret) => {
      const scopes = [readChanges, introspectTokens]
      const row = { id, name: 'CLIENT_ID of the settings', scopes, secret: await newSecret(secret) }
      const outcome = await store.register(row, bySystem)
      if (outcome !== 'known') return outcome
      const { hashes = [] } = (await store.findCredential(id)) ?? {}
      return (await checker.matches(secret, hashes)) ? 'known' : 'secret_differs'
    },
  }
}

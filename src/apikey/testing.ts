import { bySystem } from '../lib/audit.ts'
import { systemClock } from '../lib/clock.ts'
import { createClockedSigner } from '../lib/jwt/clocked-signer.ts'
import { internalsOf } from './internals.ts'
import type { ApikeyOptions } from './options.ts'
import { apikey } from './plugin.ts'

export type TestAuthOptions<Permission extends string> = Pick<
  ApikeyOptions<Permission>,
  | 'roles'
  | 'clock'
  | 'keysPerOwner'
  | 'ceilings'
  | 'defaultLimits'
  | 'onEvent'
  | 'expiringSoonSeconds'
  | 'failures'
>

/** A caller of tests, by `usr_` and this name. */
const testUser = (name: string): string => `usr_${name}`

/**
 * The plugin on a database in memory, for tests of an app that uses it, with credentials that it takes: real
 * tokens and real keys, checked as in production. No feed is followed: whoever has a credential is active.
 *
 * @example
 * const { auth, as, key } = testAuth({ roles: { user: ['invoices:read'] } })
 * const app = createApp(auth)
 * await app.handle(new Request('http://localhost/invoices', { headers: await as('user') }))
 */
export const testAuth = <const Permission extends string>({
  clock = systemClock,
  // All requests of a test come from one place.
  failures = { perAddress: null, perKey: null },
  ...options
}: TestAuthOptions<Permission>) => {
  const secret = crypto.randomUUID() + crypto.randomUUID()
  const issuer = 'http://login.test'
  const audience = 'test'
  const signer = createClockedSigner({ algorithm: 'HS256', kid: null, secret }, clock)
  const log = { info: () => {}, warn: () => {} }
  const auth = apikey({
    ...options,
    jwt: { secret },
    issuer,
    audience,
    database: ':memory:',
    clock,
    log,
    failures,
  })

  return {
    auth,
    /** Headers with an access token of a user who has these roles. */
    as: async (role: string | readonly string[], user = 'test'): Promise<Record<string, string>> => {
      const token = await signer.sign({
        iss: issuer,
        sub: testUser(user),
        aud: [issuer, audience],
        exp: Math.floor(clock() / 1_000) + 300,
        jti: crypto.randomUUID(),
        client_id: 'latchkey-login',
        roles: typeof role === 'string' ? [role] : [...role],
      })
      return { authorization: `Bearer ${token}` }
    },
    /** Headers with an API key that has these permissions and no others. */
    key: async (permissions: readonly string[], user = 'test'): Promise<Record<string, string>> => {
      const { text } = await internalsOf(auth)
        .keys()
        .create(
          { name: 'test', ownerId: testUser(user), permissions: [...permissions], expiresAt: null },
          permissions,
          {
            ...bySystem,
            actorId: testUser(user),
          },
        )
      return { 'x-api-key': text }
    },
  }
}

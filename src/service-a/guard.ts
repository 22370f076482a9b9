import type { Database } from 'bun:sqlite'
import { apikey } from '../apikey/index.ts'
import type { Clock } from '../lib/clock.ts'
import type { ServiceConfig } from './config.ts'

/** What each role of `login` may do here. */
const roles = {
  user: ['documents:read', 'documents:write'],
  admin: ['documents:read', 'documents:write', 'api-keys:*'],
} as const

export type GuardSettings = Pick<
  ServiceConfig,
  'ISSUER' | 'AUDIENCE' | 'LOGIN_URL' | 'JWT_SECRET' | 'API_KEY_PREFIX' | 'ALLOW_INSECURE_LOGIN'
>

/** The guard of this service: tokens of `login`, by its published keys or a shared secret, and keys of its own. */
export const createServiceGuard = (
  { ISSUER, AUDIENCE, LOGIN_URL, JWT_SECRET, API_KEY_PREFIX, ALLOW_INSECURE_LOGIN }: GuardSettings,
  { database, clock }: { database: Database; clock: Clock },
) =>
  apikey({
    ...(JWT_SECRET === undefined ? { login: { url: LOGIN_URL } } : { jwt: { secret: JWT_SECRET } }),
    issuer: ISSUER,
    audience: AUDIENCE,
    database,
    roles,
    prefix: API_KEY_PREFIX,
    allowInsecureLogin: ALLOW_INSECURE_LOGIN,
    otherBodies: false,
    clock,
  })

export type ServiceGuard = ReturnType<typeof createServiceGuard>

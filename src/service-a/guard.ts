import type { Database } from 'bun:sqlite'
import { apikey, type FeedLog } from '../apikey/index.ts'
import type { Clock } from '../lib/clock.ts'
import type { ServiceConfig } from './config.ts'

/** What each role of `login` may do here. */
const roles = {
  user: ['documents:read', 'documents:write'],
  admin: ['documents:read', 'documents:write', 'api-keys:*'],
} as const

const daySeconds = 86_400

export type GuardSettings = Pick<
  ServiceConfig,
  'ISSUER' | 'AUDIENCE' | 'LOGIN_URL' | 'JWT_SECRET' | 'API_KEY_PREFIX' | 'ALLOW_INSECURE_LOGIN'
> &
  Partial<
    Pick<
      ServiceConfig,
      | 'CLIENT_ID'
      | 'CLIENT_SECRET'
      | 'MAX_STALENESS_SECONDS'
      | 'STALE_MODE'
      | 'CREDENTIAL_CACHE_ENTRIES'
      | 'FAILURES_PER_ADDRESS_PER_MINUTE'
      | 'FAILURES_PER_KEY_PER_MINUTE'
      | 'KEY_LIMIT_PER_MINUTE'
      | 'KEYS_PER_OWNER'
      | 'KEY_LIFE_DAYS'
      | 'KEY_MAX_LIFE_DAYS'
      | 'AUDIT_DAYS'
    >
  >

/**
 * The guard of this service: tokens of `login`, by its published keys or a shared secret, and keys of its own, both held
 * against the change feed. Without a client, as in tests, no feed is followed.
 */
export const createServiceGuard = (
  {
    ISSUER,
    AUDIENCE,
    LOGIN_URL,
    JWT_SECRET,
    API_KEY_PREFIX,
    ALLOW_INSECURE_LOGIN,
    CLIENT_ID,
    CLIENT_SECRET,
    MAX_STALENESS_SECONDS,
    STALE_MODE,
    CREDENTIAL_CACHE_ENTRIES,
    FAILURES_PER_ADDRESS_PER_MINUTE: perAddress,
    FAILURES_PER_KEY_PER_MINUTE: perKey,
    KEY_LIMIT_PER_MINUTE: limit,
    KEYS_PER_OWNER: keysPerOwner,
    KEY_LIFE_DAYS: lifeDays,
    KEY_MAX_LIFE_DAYS: maxLifeDays,
    AUDIT_DAYS,
  }: GuardSettings,
  { database, clock, log }: { database: Database; clock: Clock; log?: FeedLog },
) =>
  apikey({
    login: {
      url: LOGIN_URL,
      ...(CLIENT_ID === undefined ? {} : { clientId: CLIENT_ID }),
      ...(CLIENT_SECRET === undefined ? {} : { clientSecret: CLIENT_SECRET }),
    },
    ...(JWT_SECRET === undefined ? {} : { jwt: { secret: JWT_SECRET } }),
    ...(MAX_STALENESS_SECONDS === undefined ? {} : { maxStalenessSeconds: MAX_STALENESS_SECONDS }),
    ...(STALE_MODE === undefined ? {} : { staleMode: STALE_MODE }),
    ...(CREDENTIAL_CACHE_ENTRIES === undefined ? {} : { cacheEntries: CREDENTIAL_CACHE_ENTRIES }),
    ...(AUDIT_DAYS === undefined ? {} : { auditDays: AUDIT_DAYS === 0 ? null : AUDIT_DAYS }),
    ...(log === undefined ? {} : { log }),
    failures: {
      ...(perAddress === undefined ? {} : { perAddress: perAddress === 0 ? null : perAddress }),
      ...(perKey === undefined ? {} : { perKey: perKey === 0 ? null : perKey }),
    },
    ...(limit === undefined
      ? {}
      : { defaultLimits: limit === 0 ? [] : [{ name: 'default', limit, windowSeconds: 60 }] }),
    ...(keysPerOwner === undefined ? {} : { keysPerOwner }),
    ceilings: {
      life: {
        ...(lifeDays === undefined ? {} : { defaultSeconds: lifeDays * daySeconds }),
        ...(maxLifeDays === undefined ? {} : { maxSeconds: maxLifeDays * daySeconds }),
      },
    },
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

import type { Database } from 'bun:sqlite'
import { Value } from '@sinclair/typebox/value'
import type { Clock } from '../lib/clock.ts'
import { isPermission, type RolePermissions } from '../lib/permission.ts'
import type { CeilingOptions } from './ceilings.ts'
import type { EventListener } from './events.ts'
import { checkFailureLimits, type FailureLimits } from './failures.ts'
import type { FeedLog } from './feed-log.ts'
import type { KeyLimit } from './key-record.ts'
import type { SecretHashCost } from './keys.ts'
import { isWithinCeiling, KeyLimits } from './limits-model.ts'
import type { StaleMode } from './staleness.ts'
import { prefixPattern } from './token.ts'
import type { TokenSource } from './token-source.ts'

export type ApikeyOptions<Permission extends string> = TokenSource & {
  /** The id of this service: what `aud` of a token must contain. */
  readonly audience: string
  /** A path, which the plugin opens, migrates and closes; or a database of the host's, which it migrates. */
  readonly database: string | Database
  /** What each role may do. */
  readonly roles: RolePermissions<Permission>
  /** Begins every key, `lk` by default. */
  readonly prefix?: string
  /** Keys that one owner may have, 100 by default. */
  readonly keysPerOwner?: number
  /** What people may give their keys at most, and how long a key lives unless its maker says so. */
  readonly ceilings?: CeilingOptions<Permission>
  /** Limits of keys that have none of their own: 6,000 requests in 60 s by default, and `[]` for none. */
  readonly defaultLimits?: readonly KeyLimit[]
  /**
   * Days that the audit trail goes back, and that a key is kept once it was revoked or has expired: 400 by default, null
   * for ever.
   */
  readonly auditDays?: number | null
  /** Bytes of a JSON body on a guarded route, 65,536 by default. */
  readonly maxBodyBytes?: number
  /** Whether bodies other than JSON are left to the app's own parsers (the default) or refused with 415. */
  readonly otherBodies?: boolean
  /** Allows plain http to an issuer that is not on this machine. Everyone on the way could then forge its keys. */
  readonly allowInsecureLogin?: boolean
  /** How long `login` may go unheard before it matters, 300 s by default and 3 at least. */
  readonly maxStalenessSeconds?: number
  /** What happens then: go on with what is known (`allow`, the default), or refuse everybody with 503 (`deny`). */
  readonly staleMode?: StaleMode
  /** Told how following the feed goes. By default that is logged, as JSON on standard output. */
  readonly log?: FeedLog
  /** Told of what happens to keys, after the fact and apart from requests. */
  readonly onEvent?: EventListener
  /** How long before its expiry a key is told to expire soon, 7 days by default. */
  readonly expiringSoonSeconds?: number
  /**
   * Verified keys and tokens that are remembered, 100,000 by default and about 1 KB each. 0 verifies every request anew.
   */
  readonly cacheEntries?: number
  /** Failing requests a minute that are told why they fail; those beyond are answered 429. Right credentials always pass. */
  readonly failures?: FailureLimits
  /**
   * Addresses and networks (CIDR) of the proxies before this app, none by default. Of a request that comes from one of
   * these, `X-Forwarded-For` says who the client is; from anybody else that header means nothing.
   */
  readonly trustedProxies?: readonly string[]
  readonly clock?: Clock
  readonly secretHashCost?: SecretHashCost
}

export const defaultPrefix = 'lk'
export const defaultMaxStalenessSeconds = 300
export const defaultExpiringSoonSeconds = 7 * 86_400
export const defaultCacheEntries = 100_000
export const defaultKeysPerOwner = 100
/** So that each day of the last year can be held against the same of the year before. */
export const defaultAuditDays = 400
/** 100 a second on average: more than most programs ask for, and little enough that none of them stops a service. */
export const defaultKeyLimits: readonly KeyLimit[] = [{ name: 'default', limit: 6_000, windowSeconds: 60 }]

/** @throws Error */
const checkLimits = (name: string, limits: readonly KeyLimit[]): void => {
  if (Value.Check(KeyLimits, limits) && new Set(limits.map(limit => limit.name)).size === limits.length)
    return
  throw new Error(
    `${name} must be up to 5 limits of different names, such as { name: 'burst', limit: 100, windowSeconds: 10 }.`,
  )
}

/** @throws Error */
const checkCeilings = (
  { life: { defaultSeconds, maxSeconds } = {}, limits = [], grantable = [] }: CeilingOptions,
  defaultLimits: readonly KeyLimit[],
): void => {
  for (const seconds of [defaultSeconds, maxSeconds]) {
    if (seconds === undefined || (Number.isInteger(seconds) && seconds > 0)) continue
    throw new Error('ceilings.life must be whole numbers of seconds above 0.')
  }
  if ((defaultSeconds ?? 0) > (maxSeconds ?? Number.POSITIVE_INFINITY)) {
    throw new Error('ceilings.life.defaultSeconds must not be more than maxSeconds.')
  }
  checkLimits('ceilings.limits', limits)
  // Who gives a key no limits gives it those of the service.
  if (!isWithinCeiling(defaultLimits, limits)) {
    throw new Error('defaultLimits must hold to ceilings.limits.')
  }
  const bad = grantable.find(permission => !isPermission(permission))
  if (bad !== undefined) {
    throw new Error(`ceilings.grantable has ${JSON.stringify(bad)}, which is not resource:action.`)
  }
}

/** @throws Error for options that can't be right, with the reason. */
export const checkOptions = ({
  prefix = defaultPrefix,
  audience,
  roles,
  maxStalenessSeconds = defaultMaxStalenessSeconds,
  cacheEntries = defaultCacheEntries,
  expiringSoonSeconds = defaultExpiringSoonSeconds,
  defaultLimits = defaultKeyLimits,
  ceilings = {},
  failures = {},
  auditDays = defaultAuditDays,
}: ApikeyOptions<string>): void => {
  if (!prefixPattern.test(prefix)) throw new Error(`The prefix of keys must match ${prefixPattern.source}.`)
  if (audience === '') throw new Error('The audience must name this service.')
  for (const [role, permissions] of Object.entries<readonly string[]>(roles)) {
    const bad = permissions.find(permission => !isPermission(permission))
    if (bad !== undefined)
      throw new Error(`The role ${role} has ${JSON.stringify(bad)}, which is not resource:action.`)
  }
  if (!(Number.isFinite(maxStalenessSeconds) && maxStalenessSeconds >= 3)) {
    throw new Error('maxStalenessSeconds must be 3 or more.')
  }
  if (!(Number.isInteger(cacheEntries) && cacheEntries >= 0 && cacheEntries <= 10_000_000)) {
    throw new Error('cacheEntries must be a whole number up to 10,000,000.')
  }
  if (!(Number.isFinite(expiringSoonSeconds) && expiringSoonSeconds > 0)) {
    throw new Error('expiringSoonSeconds must be more than 0.')
  }
  checkLimits('defaultLimits', defaultLimits)
  checkCeilings(ceilings, defaultLimits)
  checkFailureLimits(failures)
  if (auditDays !== null && !(Number.isInteger(auditDays) && auditDays >= 1 && auditDays <= 36_500)) {
    throw new Error('auditDays must be a whole number from 1 to 36,500, or null for ever.')
  }
}

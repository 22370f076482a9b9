import type { Clock } from '../lib/clock.ts'
import type { Limiter } from '../lib/limiter.ts'
import type { RolePermissions } from '../lib/permission.ts'
import type { VerifiedCache } from '../lib/verified-cache.ts'
import type { Admissions } from './admission.ts'
import type { CredentialJudge, Remembered } from './authenticate.ts'
import type { Ceilings } from './ceilings.ts'
import type { Failures } from './failures.ts'
import type { Keys } from './keys.ts'
import type { Ledger } from './ledger.ts'
import type { KeyStore } from './store.ts'
import type { AuditTrail } from './store-audit.ts'
import type { FeedStatus, SubjectFeed } from './subject-feed.ts'
import type { Usage } from './usage.ts'

/** Whether requests can be judged, and how long ago `login` was last heard (null for never, or where none is followed). */
export type Health = { readonly status: FeedStatus; readonly feedLagSeconds: number | null }

/** What the management routes and the host's health check need of an installed plugin. */
export type ApikeyInternals = {
  readonly keys: () => Keys
  readonly store: () => KeyStore
  readonly usage: () => Usage
  readonly limiter: () => Limiter
  readonly ledger: () => Ledger
  /** Takes what a request uses of a key. */
  readonly admissions: Admissions
  readonly audit: () => AuditTrail
  /** Judges the text of a key as the guard does, and remembers as the guard does. @throws as the guard's judge. */
  readonly judgeKey: CredentialJudge['key']
  /** Counts a use or a refusal, and tells of it who asked to be told. */
  readonly noteUse: Usage['record']
  /** What was verified a moment ago. */
  readonly cache: VerifiedCache<Remembered>
  /** Counts requests whose credential is not right, and throttles them. */
  readonly failures: Failures
  readonly clock: Clock
  readonly roles: RolePermissions
  /** What callers may give keys, by whether they manage those of others. */
  readonly ceilings: (isManager: boolean) => Ceilings
  /** The change feed, and what it told of owners and callers; null where none is followed. */
  readonly feed: () => SubjectFeed | null
  /** `unavailable` unless the database answers, some key to verify with is known and the feed has told enough. */
  readonly health: () => Promise<Health>
  /** Ends following and writes what is in memory alone. The plugin does so when the app stops, but no app waits for it. */
  readonly stop: () => Promise<void>
}

const internals = new WeakMap<object, ApikeyInternals>()

/** Makes them known under what the host holds of the plugin. */
export const setInternals = (auth: object, made: ApikeyInternals): void => {
  internals.set(auth, made)
}

/** @throws TypeError for anything that `apikey` did not make. */
export const internalsOf = (auth: object): ApikeyInternals => {
  const found = internals.get(auth)
  if (found === undefined) throw new TypeError('Expected what apikey() returned')
  return found
}

import type { Database } from 'bun:sqlite'
import { readChanges } from '../lib/changes-schema.ts'
import { createClientTokens } from '../lib/client-token.ts'
import type { Clock } from '../lib/clock.ts'
import { Failure } from '../lib/failure.ts'
import { createFollower, type FollowerEvent } from '../lib/follower.ts'
import type { RemoteKeys } from '../lib/jwt/jwks.ts'
import type { Followed } from './authenticate.ts'
import { createStaleness, type StaleMode } from './staleness.ts'
import { createSubjectStore } from './subject-store.ts'
import type { Issuer } from './token-source.ts'

/** Where messages about the feed go; pino's loggers are of this form. */
export type FeedLog = {
  info(details: object, message: string): void
  warn(details: object, message: string): void
}

export type SubjectFeedOptions = {
  readonly feed: NonNullable<Issuer['feed']>
  readonly remoteKeys: RemoteKeys | null
  readonly database: Database
  /** The id of this service. */
  readonly audience: string
  readonly maxStalenessSeconds: number
  readonly staleMode: StaleMode
  readonly clock: Clock
  readonly log: FeedLog
}

/** `unavailable`: nobody is judged. `degraded`: callers are judged by what may be out of date. */
export type FeedStatus = 'ok' | 'degraded' | 'unavailable'

export type SubjectFeed = Followed & {
  start(): void
  /** Ends following, and writes what was heard. */
  stop(): Promise<void>
  status(): FeedStatus
  /** Seconds since the last moment of which everything is known; null for never. */
  lagSeconds(): number | null
  /** Whether `login` answered when it was last asked. */
  isUp(): boolean
}

const round = (seconds: number): number => Math.round(seconds * 1_000) / 1_000

/** Says in words what happens with the feed. */
const tell =
  (log: FeedLog) =>
  (event: FollowerEvent): void => {
    if (event.kind === 'began') log.info({}, 'following the change feed of login')
    else if (event.kind === 'lost')
      log.warn({ error: event.error }, 'the change feed of login is out of reach')
    else if (event.kind === 'back')
      log.info({ afterSeconds: round(event.afterSeconds) }, 'the change feed of login is back')
    else if (event.kind === 'resync') {
      const say = event.reason === 'no_position' ? log.info : log.warn
      say.call(log, { reason: event.reason }, 'reading everything from login anew')
    } else if (event.kind === 'resynced')
      log.info({ subjects: event.subjects }, 'everything was read from login')
    else if (event.kind === 'restored')
      log.warn(
        { ...event.restored },
        'login says that subjects are active which were not: what was taken from them is back',
      )
    else
      log.warn(
        { error: event.error },
        'what the change feed told could not be written; it counts until this process ends',
      )
  }

/** The change feed of a `login` as one service follows it, and what follows from that for callers. */
export const createSubjectFeed = ({
  feed: { url, clientId, clientSecret },
  remoteKeys,
  database,
  audience,
  maxStalenessSeconds,
  staleMode,
  clock,
  log,
}: SubjectFeedOptions): SubjectFeed => {
  const staleness = createStaleness({ maxStalenessSeconds, clock })
  const store = createSubjectStore({
    database,
    clock,
    staleness,
    service: audience,
    heardMilliseconds: Math.min(10_000, (maxStalenessSeconds * 1_000) / 3),
  })
  for (const kid of store.revokedKeys()) remoteKeys?.forget(kid)
  const follower = createFollower({
    url,
    tokens: createClientTokens({ url, clientId, clientSecret, scope: readChanges, clock }),
    store,
    // A few polls to each time that may pass without an answer.
    waitSeconds: Math.min(5, Math.max(1, Math.floor(maxStalenessSeconds / 3))),
    clock,
    onEvent: tell(log),
    onSigningKeyRevoked: kid => remoteKeys?.forget(kid),
    onResynced: () => remoteKeys?.refresh(),
  })

  const status = (): FeedStatus => {
    if (!store.isComplete()) return 'unavailable'
    if (!staleness.isStale()) return 'ok'
    return staleMode === 'deny' ? 'unavailable' : 'degraded'
  }

  return {
    find: store.find,
    isEnded: store.isEnded,
    requireCurrent: () => {
      if (store.isComplete() && (staleMode === 'allow' || !staleness.isStale())) return
      throw new Failure('unavailable', { retryAfterSeconds: 1 })
    },
    start: follower.start,
    stop: follower.stop,
    status,
    lagSeconds: staleness.lagSeconds,
    isUp: () => follower.isUp,
  }
}

import type { Database } from 'bun:sqlite'
import { readChanges } from '../lib/changes-schema.ts'
import { createClientTokens } from '../lib/client-token.ts'
import type { Clock } from '../lib/clock.ts'
import { Failure } from '../lib/failure.ts'
import { createFollower, type FollowerEvent } from '../lib/follower.ts'
import type { RemoteKeys } from '../lib/jwt/jwks.ts'
import type { Followed } from './authenticate.ts'
import type { KeyEvent } from './events.ts'
import type { FeedLog } from './feed-log.ts'
import { createStaleness, type StaleMode } from './staleness.ts'
import { createStalenessWatch } from './staleness-watch.ts'
import { createSubjectStore } from './subject-store.ts'
import type { ChangeListener } from './subjects-memory.ts'
import type { Issuer } from './token-source.ts'

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
  readonly onChange: ChangeListener
  readonly emit?: ((event: KeyEvent) => void) | undefined
}

/** `unavailable`: nobody is judged. `degraded`: callers are judged by what may be out of date. */
export type FeedStatus = 'ok' | 'degraded' | 'unavailable'

export type SubjectFeed = Followed & {
  /** Whether a signing key was revoked, however that came to be known here. */
  isKeyRevoked(kid: string): boolean
  /** Returns at once. What is started stays so until it is stopped. */
  start(): void
  /** Ends following, and writes what was heard. */
  stop(): Promise<void>
  status(): FeedStatus
  /** Seconds since the last moment of which everything is known; null for never. */
  lagSeconds(): number | null
  /** Whether `login` answered when it was last asked. */
  isUp(): boolean
}

/** How often it is looked at whether `login` has gone unheard for too long; lines of the log are no more exact. */
const watchMilliseconds = 1_000

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
      say.call(log, { reason: event.reason, count: event.count }, 'reading everything from login anew')
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
  onChange,
  emit,
}: SubjectFeedOptions): SubjectFeed => {
  const staleness = createStaleness({ maxStalenessSeconds, clock })
  const store = createSubjectStore({
    database,
    clock,
    staleness: {
      ...staleness,
      heard: at => {
        staleness.heard(at)
        watch()
      },
    },
    service: audience,
    onChange,
    emit,
    heardMilliseconds: Math.min(10_000, (maxStalenessSeconds * 1_000) / 3),
  })
  const follower = createFollower({
    url,
    tokens: createClientTokens({ url, clientId, clientSecret, scope: readChanges, clock }),
    store,
    // A poll that is lost without a word is noticed when its answer is due: the shorter it waits, the sooner.
    waitSeconds: Math.min(2, Math.max(1, Math.floor(maxStalenessSeconds / 3))),
    clock,
    onEvent: tell(log),
    onSigningKeyRevoked: kid => remoteKeys?.forget(kid),
    onResynced: () => remoteKeys?.refresh(),
  })

  /**
   * What an earlier process knew does not count until `login` was asked what happened since: it answers at once. Where
   * it does not, the rules for what is out of date hold.
   */
  const isJudging = (): boolean => store.isComplete() && (staleness.hasHeard() || follower.hasFailed)

  const watch = createStalenessWatch({ staleness, isJudging, staleMode, maxStalenessSeconds, log })
  let timer: ReturnType<typeof setInterval> | null = null

  const status = (): FeedStatus => {
    watch()
    if (!isJudging()) return 'unavailable'
    if (!staleness.isStale()) return 'ok'
    return staleMode === 'deny' ? 'unavailable' : 'degraded'
  }

  return {
    find: store.find,
    isEnded: store.isEnded,
    isKeyRevoked: store.isKeyRevoked,
    requireCurrent: () => {
      if (isJudging() && (staleMode === 'allow' || !staleness.isStale())) return
      throw new Failure('unavailable', { retryAfterSeconds: 1 })
    },
    start: () => {
      timer ??= setInterval(watch, watchMilliseconds)
      timer.unref()
      follower.start()
    },
    stop: () => {
      if (timer !== null) clearInterval(timer)
      timer = null
      return follower.stop()
    },
    status,
    lagSeconds: staleness.lagSeconds,
    isUp: () => follower.isUp,
  }
}

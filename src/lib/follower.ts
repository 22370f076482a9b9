import type { ClientTokens, Fetch } from './client-token.ts'
import type { Clock } from './clock.ts'
import { createPace, createTelling, type Elapsed } from './follower-pace.ts'
import { createFeedReader } from './follower-reader.ts'
import { createResync } from './follower-resync.ts'
import { createFeedSource, ResyncNeeded, type ResyncReason, StatusError } from './follower-source.ts'
import { type FeedPosition, type FollowerStore, type Restored, Superseded } from './follower-store.ts'

/** What there is to tell of a feed, for logs. */
export type FollowerEvent =
  | { readonly kind: 'began' }
  /** Once an outage, and only of one that lasts a second: less is a `login` that starts. */
  | { readonly kind: 'lost'; readonly error: unknown }
  /** After `lost`. */
  | { readonly kind: 'back'; readonly afterSeconds: number }
  /** Once a minute for each reason, with how many there were since the last one that was told. */
  | { readonly kind: 'resync'; readonly reason: ResyncReason; readonly count: number }
  /** After a `resync` that was told. */
  | { readonly kind: 'resynced'; readonly subjects: number }
  /** A snapshot made subjects active that were not: what had been taken from them is theirs again. */
  | { readonly kind: 'restored'; readonly restored: Restored }
  /** What was heard counts, but could not be written. Once until it can. */
  | { readonly kind: 'unsaved'; readonly error: unknown }

export type FollowerOptions = {
  /** Address of `login`, without a slash at its end. */
  readonly url: string
  readonly tokens: ClientTokens
  readonly store: FollowerStore
  /** Seconds that a poll waits for something to happen, 1 to 20. */
  readonly waitSeconds: number
  readonly clock: Clock
  readonly onEvent: (event: FollowerEvent) => void
  readonly onSigningKeyRevoked?: (kid: string) => void
  /** Everything was read anew: what else was taken from `login` may be as old. */
  readonly onResynced?: () => void
  readonly fetch?: Fetch
  readonly sleep?: (milliseconds: number, signal: AbortSignal) => Promise<void>
  readonly random?: () => number
  readonly elapsed?: Elapsed
  /** How long an answer may take beyond what it waits on purpose, 1.5 s by default. */
  readonly patienceMilliseconds?: number
  /** Things in a snapshot, 5 million by default. */
  readonly maxSnapshotItems?: number
}

export type Follower = {
  /** Returns at once. */
  start(): void
  /** Ends what is under way and writes what was heard. @throws what the database has against that. */
  stop(): Promise<void>
  /** Whether the last thing that was asked of `login` was answered. */
  readonly isUp: boolean
  /** Whether any attempt to ask `login` has failed since the start. */
  readonly hasFailed: boolean
}

const firstPause = 50
const longestPause = 1_000
const outageMilliseconds = 1_000
/** How much longer one try of four may take during an outage. */
const longTryMilliseconds = 3_000

/** Resolves early when the signal says so. */
const pauseFor = (milliseconds: number, signal: AbortSignal): Promise<void> =>
  new Promise(resolve => {
    const finish = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', finish)
      resolve()
    }
    const timer = setTimeout(finish, milliseconds)
    signal.addEventListener('abort', finish)
    if (signal.aborted) finish()
  })

/**
 * Follows the change feed of a `login`: a snapshot where there is no position, then one long poll after the other.
 * Nothing hangs on the order or number of times in which changes come, since each fact is held against what is known;
 * whatever an answer is that it should not be, the position stays, and it is asked again after a pause with full
 * jitter of at most a second.
 */
export const createFollower = ({
  url,
  tokens,
  store,
  waitSeconds,
  clock,
  onEvent,
  onSigningKeyRevoked = () => {},
  onResynced = () => {},
  fetch,
  sleep = pauseFor,
  random = Math.random,
  elapsed = () => performance.now(),
  patienceMilliseconds = 1_500,
  maxSnapshotItems,
}: FollowerOptions): Follower => {
  const aborter = new AbortController()
  const { signal } = aborter
  const source = createFeedSource({ url, tokens, ...(fetch === undefined ? {} : { fetch }) })
  const reader = createFeedReader({ source, name: () => store.name, clock, onSigningKeyRevoked })
  const takeSnapshot = createResync({
    source,
    reader,
    store,
    clock,
    sleep,
    signal,
    patienceMilliseconds,
    ...(maxSnapshotItems === undefined ? {} : { maxItems: maxSnapshotItems }),
  })
  const pace = createPace(elapsed)
  const telling = createTelling<ResyncReason>(elapsed)
  let running: Promise<void> | null = null
  let isUp = false
  let hasFailed = false
  let isCaughtUp = false
  let hasBegun = false
  let lostAt: number | null = null
  let isLossTold = false
  let failures = 0
  let isUnsaved = false
  let hasAskedFormer = false

  /** In the background: what is in memory counts already, and a slow disk must not hold up the next change. */
  const save = (): void => {
    store.save().then(
      () => {
        isUnsaved = false
      },
      (error: unknown) => {
        if (!isUnsaved && !signal.aborted) onEvent({ kind: 'unsaved', error })
        isUnsaved = true
      },
    )
  }

  /** While `login` is lost, short tries find it soon after it is back; a long one now and then suits a slow link. */
  const timeout = (wait: number): number =>
    wait * 1_000 + patienceMilliseconds + (failures > 0 && failures % 4 === 0 ? longTryMilliseconds : 0)

  /**
   * Shows `login` a position that is of no use here any more, once. To a database that was restored from a backup it
   * can tell that there were later changes, and a snapshot of it should be taken after it has found out.
   */
  const showFormer = async (): Promise<void> => {
    const former = store.former()
    if (hasAskedFormer || former === null) return
    try {
      const poll = { after: former.cursor, limit: 1, wait: 0, follower: store.name }
      await source.poll(poll, timeout(0), signal)
    } catch (error) {
      // Whatever it is, it was answered.
      if (!(error instanceof ResyncNeeded || error instanceof StatusError)) throw error
    }
    hasAskedFormer = true
  }

  const resync = async (reason: ResyncReason): Promise<void> => {
    const pause = pace.beforeResync()
    if (pause > 0) await sleep(pause, signal)
    if (signal.aborted) return
    await showFormer()
    let isTold = false
    const { subjects, restored } = await takeSnapshot(() => {
      pace.resyncBegan()
      const count = telling.countOf(reason)
      isTold = count !== null
      if (count !== null) onEvent({ kind: 'resync', reason, count })
    })
    onResynced()
    if (isTold) onEvent({ kind: 'resynced', subjects })
    if (restored.count > 0) onEvent({ kind: 'restored', restored })
  }

  const poll = async (position: FeedPosition): Promise<void> => {
    const wait = isUp && isCaughtUp ? waitSeconds : 0
    const begun = elapsed()
    const reading = await reader.read(position, { wait, timeoutMilliseconds: timeout(wait), signal })
    const took = elapsed() - begun
    isCaughtUp = reading.isCaughtUp
    let { facts } = reading
    if (reading.unknown.length > 0) {
      // What is understood counts at once, whatever comes of the rest; if that fails, the page is asked for again.
      store.apply(facts, null, null)
      save()
      facts = await reader.lookUp(reading.unknown, position.generation, signal)
    }
    store.apply(facts, reading.position, isCaughtUp ? reading.askedAt : null)
    save()
    answered()
    const pause = pace.afterAnswer(reading, wait * 1_000, took)
    if (pause > 0) await sleep(pause, signal)
  }

  const answered = (): void => {
    failures = 0
    if (isUp) return
    isUp = true
    if (isLossTold && lostAt !== null) onEvent({ kind: 'back', afterSeconds: (elapsed() - lostAt) / 1_000 })
    else if (!hasBegun) onEvent({ kind: 'began' })
    hasBegun = true
    isLossTold = false
    lostAt = null
  }

  const failed = (error: unknown): void => {
    isUp = false
    failures += 1
    hasFailed = true
    lostAt ??= elapsed()
    if (isLossTold || elapsed() - lostAt < outageMilliseconds) return
    isLossTold = true
    onEvent({ kind: 'lost', error })
  }

  const pause = (): Promise<void> =>
    sleep(random() * Math.min(longestPause, firstPause * 2 ** Math.min(failures, 10)), signal)

  const run = async (): Promise<void> => {
    let reason: ResyncReason | null = null
    let resyncs = 0
    while (!signal.aborted) {
      try {
        const position = store.position()
        if (reason !== null || position === null) {
          await resync(reason ?? 'no_position')
          reason = null
        } else {
          await poll(position)
          resyncs = 0
        }
      } catch (error) {
        if (signal.aborted) return
        if (error instanceof Superseded) {
          reason = null
        } else if (error instanceof ResyncNeeded) {
          reason = error.reason
          resyncs += 1
          // One snapshot after the other, without a change read between them, would be a flood.
          if (resyncs > 1) failed(error)
        } else {
          failed(error)
        }
        if (failures > 0) await pause()
      }
    }
  }

  return {
    start: () => {
      running ??= run()
    },
    stop: async () => {
      aborter.abort()
      await running
      await store.save()
    },
    get isUp() {
      return isUp
    },
    get hasFailed() {
      return hasFailed
    },
  }
}

import { type Change, changeTypes, longestTokenSeconds, type SnapshotItem } from './changes-schema.ts'
import type { ClientTokens, Fetch } from './client-token.ts'
import type { Clock } from './clock.ts'
import { createFeedSource, ResyncNeeded, type ResyncReason } from './follower-source.ts'
import { type Fact, type FollowerStore, type Restored, Superseded } from './follower-store.ts'

/** What there is to tell of a feed, for logs. */
export type FollowerEvent =
  | { readonly kind: 'began' }
  /** Once an outage. */
  | { readonly kind: 'lost'; readonly error: unknown }
  | { readonly kind: 'back'; readonly afterSeconds: number }
  | { readonly kind: 'resync'; readonly reason: ResyncReason }
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
  /** How long an answer may take beyond what it waits on purpose, 3 s by default. */
  readonly patienceMilliseconds?: number
}

export type Follower = {
  /** Returns at once. */
  start(): void
  /** Ends what is under way and writes what was heard. @throws what the database has against that. */
  stop(): Promise<void>
  /** Whether the last thing that was asked of `login` was answered. */
  readonly isUp: boolean
}

const limit = 500
const maxSnapshotPages = 10_000
const knownTypes: ReadonlySet<string> = new Set(Object.values(changeTypes))
/** What can be a caller or an owner, so that a change to it which is not understood has to be looked up. */
const subjectId = /^(usr|cli)_[\w-]{1,120}$/
const firstPause = 50
const longestPause = 1_000
const asideRequests = 8

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

const timeOf = (text: string): number => {
  const time = Date.parse(text)
  if (Number.isNaN(time)) throw new Error('The answer has a time that is none')
  return time
}

/** Everything that a change carries counts, of whatever type it is. */
const factsOf = (change: Change, now: number): Fact[] => {
  const { type, subjectId: id, state, sessionId, tokenId, sequence } = change
  const facts: Fact[] = []
  if (state !== null) facts.push({ kind: 'subject', id, state, sequence })
  if (sessionId !== null || tokenId !== null) {
    const end =
      change.expiresAt === null
        ? Math.max(now, timeOf(change.at)) + longestTokenSeconds * 1_000
        : timeOf(change.expiresAt)
    for (const ended of [sessionId, tokenId]) {
      if (ended !== null) facts.push({ kind: 'ended', id: ended, expiresAt: end })
    }
  }
  if (type === changeTypes.signingKeyRevoked) facts.push({ kind: 'signingKey', kid: id })
  return facts
}

const factOf = (item: SnapshotItem, sequence: number): Fact =>
  item.kind === 'subject'
    ? { kind: 'subject', id: item.id, state: item.state, sequence }
    : { kind: 'ended', id: item.id, expiresAt: timeOf(item.expiresAt) }

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
  patienceMilliseconds = 3_000,
}: FollowerOptions): Follower => {
  const aborter = new AbortController()
  const { signal } = aborter
  const source = createFeedSource({ url, tokens, signal, ...(fetch === undefined ? {} : { fetch }) })
  let running: Promise<void> | null = null
  let isUp = false
  let isCaughtUp = false
  let hasBegun = false
  let lostAt: number | null = null
  let failures = 0
  let isUnsaved = false
  let announced: ResyncReason | null = null

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

  const resync = async (reason: ResyncReason): Promise<void> => {
    const askedAt = clock()
    const first = await source.snapshot(null)
    if (announced !== reason) onEvent({ kind: 'resync', reason })
    announced = reason
    const { generation, cursor } = first
    const run = store.beginSnapshot(generation)
    let subjects = 0
    for (let page = first, pages = 1; ; pages += 1) {
      if (page.generation !== generation) throw new ResyncNeeded('generation_changed')
      if (pages > maxSnapshotPages) throw new Error('The snapshot does not end')
      const { items, sequence, nextPage } = page
      await run.add(items.map(item => factOf(item, sequence)))
      subjects += items.filter(({ kind }) => kind === 'subject').length
      if (nextPage === null) break
      page = await source.snapshot(nextPage)
    }
    const restored = await run.finish({ generation, cursor }, first.sequence, askedAt)
    announced = null
    onResynced()
    onEvent({ kind: 'resynced', subjects })
    if (restored.count > 0) onEvent({ kind: 'restored', restored })
  }

  /** The subjects of changes that are not understood, as they are now. */
  const lookUp = async (items: readonly Change[], generation: string): Promise<Fact[]> => {
    const unknown = items.filter(({ type, subjectId: id }) => !knownTypes.has(type) && subjectId.test(id))
    const ids = [...new Set(unknown.map(({ subjectId: id }) => id))]
    const facts: Fact[] = []
    for (let from = 0; from < ids.length; from += asideRequests) {
      const answers = await Promise.all(ids.slice(from, from + asideRequests).map(id => source.subject(id)))
      for (const [index, answer] of answers.entries()) {
        if (answer.generation !== generation) throw new ResyncNeeded('generation_changed')
        if (answer.id !== ids[from + index]) throw new Error('The answer is about another subject')
        facts.push({ kind: 'subject', id: answer.id, state: answer.state, sequence: answer.sequence })
      }
    }
    return facts
  }

  /** While `login` is lost, short tries find it soon after it is back; a long one now and then suits a slow link. */
  const timeout = (wait: number): number =>
    wait * 1_000 + (failures % 4 === 0 ? patienceMilliseconds : Math.min(1_000, patienceMilliseconds))

  const poll = async ({ generation, cursor }: { generation: string; cursor: string }): Promise<void> => {
    const wait = isUp && isCaughtUp ? waitSeconds : 0
    // What `login` acknowledged before it was asked is known once it answers; of later changes that can't be said.
    const askedAt = clock()
    const page = await source.poll({ after: cursor, limit, wait, follower: store.name }, timeout(wait))
    if (page.generation !== generation) throw new ResyncNeeded('generation_changed')
    const facts = page.items.flatMap(change => factsOf(change, askedAt))
    for (const fact of facts) if (fact.kind === 'signingKey') onSigningKeyRevoked(fact.kid)
    isCaughtUp = page.items.length < limit
    try {
      const others = await lookUp(page.items, generation)
      const position = { generation, cursor: page.nextCursor }
      store.apply([...facts, ...others], position, isCaughtUp ? askedAt : null)
    } catch (error) {
      // What is understood counts nevertheless; the page is asked for again.
      store.apply(facts, null, null)
      save()
      throw error
    }
    save()
  }

  const answered = (): void => {
    failures = 0
    if (isUp) return
    isUp = true
    if (lostAt !== null) onEvent({ kind: 'back', afterSeconds: (performance.now() - lostAt) / 1_000 })
    else if (!hasBegun) onEvent({ kind: 'began' })
    hasBegun = true
    lostAt = null
  }

  const failed = (error: unknown): void => {
    isUp = false
    failures += 1
    if (lostAt !== null) return
    lostAt = performance.now()
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
          answered()
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
  }
}

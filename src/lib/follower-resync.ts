import type { Clock } from './clock.ts'
import { factsOfSnapshot } from './follower-facts.ts'
import type { FeedReader } from './follower-reader.ts'
import { type FeedSource, ResyncNeeded } from './follower-source.ts'
import type { FollowerStore, Restored, SnapshotRun } from './follower-store.ts'

export type ResyncOptions = {
  readonly source: FeedSource
  readonly reader: FeedReader
  readonly store: FollowerStore
  readonly clock: Clock
  readonly sleep: (milliseconds: number, signal: AbortSignal) => Promise<void>
  /** Ends what is under way. */
  readonly signal: AbortSignal
  /** How long an answer about changes may take. */
  readonly patienceMilliseconds: number
  /** Things in a snapshot, 5 million by default: no `login` may fill our memory. */
  readonly maxItems?: number
}

const maxPages = 10_000
const triesPerPage = 3
const changesEveryMilliseconds = 200
/** Pages of changes that are read at the end; what is left then is read as always. */
const maxLastPages = 100

/**
 * Takes over a snapshot page by page, and meanwhile hears what changes: of many subjects it takes long, and whoever is
 * disabled in that time must not wait for its end.
 */
export const createResync = ({
  source,
  reader,
  store,
  clock,
  sleep,
  signal,
  patienceMilliseconds,
  maxItems = 5_000_000,
}: ResyncOptions) => {
  /** Changes since the snapshot began, which belong to the same run. */
  const createListener = (run: SnapshotRun, generation: string, cursor: string) => {
    let position = { generation, cursor }
    let heardAt: number | null = null

    /** @returns whether there is nothing to read at once. */
    const hear = async (ended: AbortSignal): Promise<boolean> => {
      const reading = await reader.read(position, {
        wait: 0,
        timeoutMilliseconds: patienceMilliseconds,
        signal: ended,
      })
      // It counts at once. What can't be written is tried again with the next page and the end, which wait for it.
      run.add(reading.facts).catch(() => {})
      if (reading.unknown.length > 0) {
        run.add(await reader.lookUp(reading.unknown, generation, ended)).catch(() => {})
      }
      position = reading.position
      if (reading.isCaughtUp) heardAt = reading.askedAt
      return reading.isCaughtUp || reading.isStuck
    }

    return {
      /** Ends with the signal. @throws ResyncNeeded when the snapshot leads nowhere any more. */
      keepHearing: async (ended: AbortSignal): Promise<void> => {
        let isAll = true
        while (!ended.aborted) {
          if (isAll) await sleep(changesEveryMilliseconds, ended)
          if (ended.aborted) return
          isAll = true
          try {
            isAll = await hear(ended)
          } catch (error) {
            if (error instanceof ResyncNeeded) throw error
          }
        }
      },
      /** Hears the rest. @throws ResyncNeeded as above; another failure is for the next poll to tell. */
      catchUp: async (): Promise<void> => {
        try {
          for (let pages = 0; pages < maxLastPages && !(await hear(signal)); pages += 1);
        } catch (error) {
          if (error instanceof ResyncNeeded) throw error
        }
      },
      position: () => position,
      heardAt: () => heardAt,
    }
  }

  /** The next page, after some tries: to begin anew would take everything again, and hear nothing until it has begun. */
  const nextPage = async (page: string, ended: AbortSignal) => {
    for (let tries = 1; ; tries += 1) {
      try {
        return await source.snapshot(page, ended)
      } catch (error) {
        if (error instanceof ResyncNeeded || ended.aborted || tries === triesPerPage) throw error
        await sleep(changesEveryMilliseconds, ended)
      }
    }
  }

  /**
   * @param onBegun is called when the first page is there.
   * @throws ResyncNeeded when it has to begin anew, Superseded, or why it could not be taken.
   */
  return async (onBegun: () => void): Promise<{ subjects: number; restored: Restored }> => {
    const askedAt = clock()
    const first = await source.snapshot(null, signal)
    onBegun()
    const { generation, cursor } = first
    const run = store.beginSnapshot(generation)
    const listener = createListener(run, generation, cursor)
    const over = new AbortController()
    const ended = AbortSignal.any([signal, over.signal])
    let subjects = 0

    const takePages = async (): Promise<void> => {
      let count = 0
      for (let page = first, pages = 1; ; pages += 1) {
        ended.throwIfAborted()
        if (page.generation !== generation) throw new ResyncNeeded('generation_changed')
        count += page.items.length
        if (pages > maxPages || count > maxItems) throw new Error('The snapshot does not end')
        const facts = factsOfSnapshot(page)
        await run.add(facts)
        subjects += facts.filter(({ kind }) => kind === 'subject').length
        if (page.nextPage === null) return
        page = await nextPage(page.nextPage, ended)
      }
    }

    const listening = listener.keepHearing(ended)
    try {
      await Promise.race([takePages(), listening])
    } finally {
      over.abort()
      await listening.catch(() => {})
    }
    signal.throwIfAborted()
    await listener.catchUp()
    const restored = await run.finish(listener.position(), first.sequence, listener.heardAt() ?? askedAt)
    return { subjects, restored }
  }
}

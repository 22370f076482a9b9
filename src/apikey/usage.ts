import type { Clock } from '../lib/clock.ts'
import type { KeyStore } from './store.ts'

/** When keys were last used: kept in memory, and written to the database in the background. */
export type Usage = {
  /** A key was let in. On the path of each request, so it only takes a note. */
  record(keyId: string): void
  /**
   * Writes every note that there was when it was called, in short transactions with turns of the event loop between
   * them. What could not be written is kept for the next time.
   *
   * @throws Failure `unavailable` when another process holds the file for too long.
   */
  flush(): Promise<void>
}

export type UsageOptions = {
  readonly store: Pick<KeyStore, 'recordUses'>
  readonly clock: Clock
  /** Notes that are kept at most. From half of that on they are written without being asked for. */
  readonly maxEntries?: number
}

/** Keys of one transaction, about 33 µs each: that long the event loop stands still. */
const batchSize = 100

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

/** Notes of uses. It sets no timer: whoever owns it says when to flush. */
export const createUsage = ({ store, clock, maxEntries = 20_000 }: UsageOptions): Usage => {
  const notes = new Map<string, number>()

  const write = async (): Promise<void> => {
    const ids = [...notes.keys()]
    for (let start = 0; start < ids.length; start += batchSize) {
      await turn()
      const uses = ids.slice(start, start + batchSize).flatMap(id => {
        const at = notes.get(id)
        return at === undefined ? [] : [{ id, at }]
      })
      await store.recordUses(uses)
      // A use that came in between has another time, and its note stays.
      for (const { id, at } of uses) if (notes.get(id) === at) notes.delete(id)
    }
  }

  let active: Promise<void> = Promise.resolve()
  let queued: Promise<void> | null = null
  // One at a time; who asks while one is at work shares the next, which begins with all notes taken until then.
  const flush = (): Promise<void> => {
    queued ??= active
      .catch(() => undefined)
      .then(() => {
        queued = null
        active = write()
        return active
      })
    return queued
  }

  let isEarly = false
  const flushEarly = async (): Promise<void> => {
    isEarly = true
    await flush().catch(() => undefined)
    isEarly = false
  }

  return {
    record: keyId => {
      notes.set(keyId, clock())
      if (notes.size * 2 <= maxEntries) return
      if (!isEarly) void flushEarly()
      if (notes.size <= maxEntries) return
      const [oldest] = notes.keys()
      if (oldest !== undefined) notes.delete(oldest)
    },
    flush,
  }
}

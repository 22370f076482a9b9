import type { Clock } from '../lib/clock.ts'
import {
  addUse,
  createNote,
  createSheet,
  dayOf,
  type Note,
  putBack,
  type Sheet,
  takeOldest,
  toKeyUses,
  usesIn,
} from './usage-notes.ts'
import type { UsageOutcome } from './usage-outcomes.ts'
import type { DayCount, UsageStore } from './usage-store.ts'

/** How often keys were used, when last and from where: kept in memory, and written to the database in the background. */
export type Usage = {
  /**
   * Somebody who holds the secret of a key presented it. On the path of each request, so it only takes a note. Never for
   * a key that is unknown or whose secret is wrong: whoever makes up keys must cause no write.
   */
  record(keyId: string, outcome: UsageOutcome, address: string | null): void
  /**
   * Writes every note that there was when it was called, in short transactions with turns of the event loop between
   * them. What could not be written is kept for the next time.
   *
   * @throws Failure `unavailable` when another process holds the file for too long.
   */
  flush(): Promise<void>
  /** Writes what is noted of one key, in a transaction of its own. @throws Failure `unavailable` as {@link flush} does. */
  flushKey(keyId: string): Promise<void>
  /** What is written of a key from one day (since the epoch, UTC) to another, both included. */
  countsOf(keyId: string, fromDay: number, toDay: number): Promise<readonly DayCount[]>
  /** Uses that were never counted, since there were more notes than are kept. */
  lost(): number
}

export type UsageOptions = {
  readonly store: UsageStore
  readonly clock: Clock
  /**
   * Notes that are kept at most, one a key and day, of about 220 bytes. Once half of them are taken they are written
   * without being asked for.
   */
  readonly maxEntries?: number
}

/** A note, off its sheet. */
type Taken = readonly [from: Sheet, keyId: string, note: Note]

/** Notes that are given to the store at a time; how many of them it writes in a transaction is its own affair. */
const batchSize = 100

/** How long notes are left alone after they were written early, milliseconds: the file may be one that can't be written. */
const earlyPause = 1_000

/** Days that counts are kept, so that each day of the last year can be held against the same of the year before. */
export const keptDays = 400

/** Transactions of a flush that remove counts which are too old. */
const mostPrunes = 10

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

/** Notes of uses. It sets no timer: whoever owns it says when to flush. */
export const createUsage = ({ store, clock, maxEntries = 400_000 }: UsageOptions): Usage => {
  let sheet: Sheet = createSheet(dayOf(clock()))
  /** Sheets that nothing is added to any more, oldest first. */
  const full: Sheet[] = []
  const underWay = new Set<Promise<void>>()
  let lost = 0

  const turnSheet = (day: number): void => {
    if (sheet.notes.size > 0) full.push(sheet)
    sheet = createSheet(day)
  }

  const remove = (empty: Sheet): void => {
    const index = full.indexOf(empty)
    if (index !== -1) full.splice(index, 1)
  }

  const write = async (batch: readonly Taken[]): Promise<void> => {
    let written = 0
    try {
      written = await store.recordUses(batch.map(([{ day }, id, note]) => toKeyUses(id, day, note)))
    } finally {
      for (const [from, id, note] of batch.slice(written)) {
        putBack(from, id, note)
        // It may have looked empty meanwhile.
        if (from !== sheet && !full.includes(from)) full.unshift(from)
      }
    }
  }

  /** The notes are off their sheets while they are written, so that no use is written twice and none goes under. */
  const writeSlice = async (batch: readonly Taken[]): Promise<void> => {
    const slice = write(batch)
    underWay.add(slice)
    try {
      await slice
    } finally {
      underWay.delete(slice)
    }
  }

  const drain = async (): Promise<void> => {
    for (;;) {
      const [first] = full
      if (first === undefined) return
      await turn()
      const batch: Taken[] = []
      for (let taken = takeOldest(first); taken !== null; taken = takeOldest(first)) {
        batch.push([first, ...taken])
        if (batch.length === batchSize) break
      }
      if (batch.length > 0) await writeSlice(batch)
      if (first.notes.size === 0) remove(first)
    }
  }

  const prune = async (): Promise<void> => {
    for (let count = 0; count < mostPrunes; count += 1) {
      if (!(await store.pruneUses(dayOf(clock()) - keptDays))) return
      await turn()
    }
  }

  const writeAll = async (): Promise<void> => {
    // What failed before goes first, so that of a key there are never more than two notes a day.
    await drain()
    turnSheet(dayOf(clock()))
    await drain()
    await prune()
  }

  let active: Promise<void> = Promise.resolve()
  let queued: Promise<void> | null = null
  // One at a time; who asks while one is at work shares the next, which begins with all notes taken until then.
  const flush = (): Promise<void> => {
    queued ??= active
      .catch(() => undefined)
      .then(() => {
        queued = null
        active = writeAll()
        return active
      })
    return queued
  }

  let isEarly = false
  let earlyAgainAt = Number.NEGATIVE_INFINITY
  const flushEarly = async (): Promise<void> => {
    isEarly = true
    await flush().catch(() => undefined)
    isEarly = false
    earlyAgainAt = clock() + earlyPause
  }

  const forgetOldest = (): void => {
    const taken = takeOldest(full.find(({ notes }) => notes.size > 0) ?? sheet)
    if (taken !== null) lost += usesIn(taken[1])
  }

  /** The first use of a key since its last note was written. */
  const begin = (keyId: string, now: number): Note => {
    if (full.reduce((sum, { notes }) => sum + notes.size, sheet.notes.size) >= maxEntries) forgetOldest()
    const note = createNote()
    sheet.notes.set(keyId, note)
    if (!isEarly && sheet.notes.size * 2 > maxEntries && now >= earlyAgainAt) void flushEarly()
    return note
  }

  return {
    record: (keyId, outcome, address) => {
      const now = clock()
      if (now >= sheet.endsAt || now < sheet.startsAt) turnSheet(dayOf(now))
      addUse(sheet.notes.get(keyId) ?? begin(keyId, now), outcome, address, now)
    },

    flush,

    flushKey: async keyId => {
      for (const from of [...full, sheet]) {
        // What is being written may be of this key, and comes back if that fails.
        while (underWay.size > 0) await Promise.allSettled(underWay)
        const note = from.notes.get(keyId)
        if (note === undefined) continue
        from.notes.delete(keyId)
        await writeSlice([[from, keyId, note]])
      }
    },

    countsOf: (keyId, fromDay, toDay) => store.countsOf(keyId, fromDay, toDay),

    lost: () => lost,
  }
}

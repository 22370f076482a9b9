import type { Database } from 'bun:sqlite'
import { asc, eq, lte, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import type { WindowRow } from '../lib/limiter.ts'
import { retryBusy } from '../lib/sqlite.ts'
import { keyWindows } from './schema.ts'

/** Where what was admitted within windows is kept from the stop of a process to the start of the next. */
export type WindowStore = {
  /**
   * Takes out what processes left that stopped, and what is over: in one step, so that of two that start at once each
   * row goes to one. Of more than 100,000 rows the rest is left to the next start. Synchronous, for before the first
   * request.
   *
   * @throws SQLiteError when another process holds the file.
   */
  takeAll(now: number): WindowRow[]
  /**
   * Writes rows in their order, in short transactions with turns of the event loop between, for 2 s at most.
   *
   * @returns how many there was time for.
   * @throws Failure `unavailable` when another process holds the file for too long.
   */
  write(rows: readonly WindowRow[]): Promise<number>
}

export type WindowStoreOptions = {
  readonly database: Database
  /** Milliseconds that only go forward. */
  readonly monotonic?: () => number
}

const mostRows = 100_000
const mostWritten = 100
/** Work of one transaction, milliseconds. The commit comes on top of it. */
const workMilliseconds = 2
/** Of a stop, milliseconds: whoever ends the process may not wait for long. */
const mostMilliseconds = 2_000

/** The limits of a line all look at the same times, so one row has them for all. */
const ofAllLimits = '*'

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

export const createWindowStore = ({
  database,
  monotonic = () => performance.now(),
}: WindowStoreOptions): WindowStore => {
  const db = drizzle({ client: database })
  const takeRows = (now: number): WindowRow[] => {
    db.delete(keyWindows).where(lte(keyWindows.expiresAt, now)).run()
    const rows = db
      .select()
      .from(keyWindows)
      .where(eq(sql`typeof(${keyWindows.admitted})`, 'blob'))
      .orderBy(asc(keyWindows.id))
      .limit(mostRows)
      .all()
    const last = rows.at(-1)
    if (last !== undefined) db.delete(keyWindows).where(lte(keyWindows.id, last.id)).run()
    return rows.map(({ lineageId, admitted, expiresAt }) => ({ id: lineageId, admitted, expiresAt }))
  }

  /** Writes rows from this one on, for as long as a transaction may take; returns where it stopped. */
  const writeSlice = (rows: readonly WindowRow[], from: number): number => {
    const startedAt = monotonic()
    let next = from
    const end = Math.min(from + mostWritten, rows.length)
    while (next < end) {
      const row = rows[next]
      if (row !== undefined) {
        const { id: lineageId, admitted, expiresAt } = row
        db.insert(keyWindows)
          .values({ lineageId, name: ofAllLimits, admitted: Buffer.from(admitted), expiresAt })
          .run()
      }
      next += 1
      if (monotonic() - startedAt >= workMilliseconds) break
    }
    return next
  }

  return {
    takeAll: now => {
      // Most often there is nothing, and then nobody has to be waited for.
      if (db.select({ id: keyWindows.id }).from(keyWindows).limit(1).all().length === 0) return []
      return db.transaction(() => takeRows(now), { behavior: 'immediate' })
    },

    write: async rows => {
      const startedAt = monotonic()
      let written = 0
      while (written < rows.length && monotonic() - startedAt < mostMilliseconds) {
        if (written > 0) await turn()
        const from = written
        written = await retryBusy(() =>
          db.transaction(() => writeSlice(rows, from), { behavior: 'immediate' }),
        )
      }
      return written
    },
  }
}

import type { Database } from 'bun:sqlite'
import { asc, gt, lte, max, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import { keyChanges } from './schema.ts'
import type { KeyTransaction } from './store-rows.ts'

/** Told which keys changed; null for "any of them may have". */
export type KeyListener = (ids: readonly string[] | null) => void

export type KeyWatch = {
  /**
   * Tells of what other writers on the file have committed until now: of each change once. Synchronous, about 3 µs
   * where there is nothing to tell.
   *
   * @throws SQLiteError when the database can't be read: what was told before may be out of date.
   */
  catchUp(): void
  stop(): void
}

/** Rows that are kept for other processes. Who is further behind takes everything for changed. */
const maxKept = 10_000
const pruneEvery = 1_000
/** Changes that are told one by one; beyond that it is quicker to take everything for changed. */
const maxTold = 1_000

/**
 * Which keys changed, for whoever remembers something of them: changes of this process are announced in the step that
 * has committed them, and those of other processes are read from the log that each change is written to.
 */
export const createKeyChanges = (database: Database) => {
  const db = drizzle({ client: database })
  const listeners = new Set<KeyListener>()

  const insert = db
    .insert(keyChanges)
    .values({ keyId: sql.placeholder('keyId') })
    .returning({ revision: keyChanges.revision })
    .prepare()
  const readNewest = db
    .select({ revision: max(keyChanges.revision) })
    .from(keyChanges)
    .prepare()
  const readAfter = db
    .select()
    .from(keyChanges)
    .where(gt(keyChanges.revision, sql.placeholder('revision')))
    .orderBy(asc(keyChanges.revision))
    .limit(maxTold + 1)
    .prepare()

  const newest = (): number => readNewest.get()?.revision ?? 0

  return {
    /** Writes down that a key changed, in the transaction that changes it. */
    append: (tx: KeyTransaction, keyId: string): void => {
      const { revision } = insert.get({ keyId })
      if (revision % pruneEvery === 0) {
        tx.delete(keyChanges)
          .where(lte(keyChanges.revision, revision - maxKept))
          .run()
      }
    },

    /** Tells the listeners of this process, once it is committed. */
    announce: (ids: readonly string[]): void => {
      if (ids.length > 0) for (const listener of listeners) listener(ids)
    },

    watch: (listener: KeyListener): KeyWatch => {
      let seen = newest()
      listeners.add(listener)
      return {
        catchUp: () => {
          const latest = newest()
          if (latest === seen) return
          const rows = latest > seen ? readAfter.all({ revision: seen }) : []
          const isWhole = rows.length <= maxTold && rows[0]?.revision === seen + 1
          listener(isWhole ? rows.map(({ keyId }) => keyId) : null)
          seen = isWhole ? (rows.at(-1)?.revision ?? latest) : latest
        },
        stop: () => {
          listeners.delete(listener)
        },
      }
    },
  }
}

export type KeyChanges = ReturnType<typeof createKeyChanges>

import type { Database } from 'bun:sqlite'
import { asc, gt, max, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import { keyChanges } from './schema.ts'

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

/** Changes that are told one by one; beyond that it is quicker to take everything for changed. */
const maxTold = 1_000

/**
 * Which keys changed, for whoever remembers something of them: changes of this process are announced in the step that
 * has committed them, and those of other writers are read from the log. Triggers of the database keep it (see
 * `db/apikey`), so that nobody can change a key without it: not another release, nor an operator with SQL.
 */
export const createKeyChanges = (database: Database) => {
  const db = drizzle({ client: database })
  const listeners = new Set<KeyListener>()

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
    /** Tells the listeners of this process of a change, once it is committed. */
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

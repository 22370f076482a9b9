import { Database } from 'bun:sqlite'
import { existsSync, statSync } from 'node:fs'
import { systemClock } from './clock.ts'
import { type MigrationSet, migrate, migrationTable } from './migrate.ts'
import { openDatabase, settle } from './sqlite.ts'
import { StartError } from './start-error.ts'

/** What a file must be for a command beside the service that it belongs to. */
export type OwnDatabase = {
  /** The sets that the file has; it is known by the first. */
  readonly sets: readonly [MigrationSet, ...MigrationSet[]]
  /** Whose it is, such as `a login`. */
  readonly owner: string
  /** What brings it up to this release, such as `the login`. */
  readonly service: string
}

/** How long a command that only reads waits for a service that just starts, milliseconds. Nothing else waits for it. */
const readBusyTimeout = 2_000

/** Null where the set was never applied. */
const appliedOf = (database: Database, set: MigrationSet): number | null => {
  const table = migrationTable(set)
  const isThere = database.query("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?").get(table)
  return isThere === null
    ? null
    : (database.query<{ number: number }, []>(`SELECT count(*) AS number FROM ${table}`).get()?.number ?? 0)
}

const openReadOnly = (path: string): Database => {
  try {
    const database = new Database(path, { readonly: true, strict: true })
    database.run(`PRAGMA busy_timeout = ${readBusyTimeout}`)
    return database
  } catch (error) {
    throw new StartError(`${path} can not be opened as a database.`, { cause: error })
  }
}

/** @throws StartError for a file of somebody else, or of another release. Nothing is written. */
const check = (path: string, { sets, owner, service }: OwnDatabase, mayMigrate: boolean): void => {
  const database = openReadOnly(path)
  try {
    const [first, ...others] = sets
    const applied = appliedOf(database, first)
    if (applied === null)
      throw new StartError(`${path} is not the database of ${owner}. Nothing was changed.`)
    const isCurrent =
      applied === first.migrations.length &&
      others.every(set => appliedOf(database, set) === set.migrations.length)
    if (!isCurrent && !mayMigrate) {
      throw new StartError(
        `${path} was written by another release: start ${service} of this one on it first.`,
      )
    }
  } finally {
    database.close()
  }
}

/**
 * Opens the database of a service for a command beside it: to read, to write, or to write where one may be made that is
 * not there, and one of an earlier release is brought up to this one.
 *
 * @throws StartError where there is none, or something else.
 */
export const openOwnDatabase = (
  path: string,
  kind: OwnDatabase,
  mode: 'read' | 'write' | 'make',
): Database => {
  if (existsSync(path)) {
    // An empty file has words of its own.
    if (statSync(path).size > 0) check(path, kind, mode === 'make')
  } else if (mode !== 'make') {
    // SQLite would make one, and nothing in it would be what was looked for.
    throw new StartError(`There is no database at ${path}.`)
  }
  if (mode === 'read' && statSync(path).size > 0) {
    const database = openReadOnly(path)
    database.run('PRAGMA query_only = ON')
    return database
  }
  const database = openDatabase(path)
  if (mode === 'make') {
    for (const set of kind.sets.toReversed()) migrate(database, set, systemClock)
  }
  settle(database)
  return database
}

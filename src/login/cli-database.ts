import { Database } from 'bun:sqlite'
import { existsSync, statSync } from 'node:fs'
import { migrations } from '../../db/login/index.ts'
import { systemClock } from '../lib/clock.ts'
import { type MigrationSet, migrate } from '../lib/migrate.ts'
import { openDatabase, settle } from '../lib/sqlite.ts'
import { StartError } from '../lib/start-error.ts'
import { migrations as userdbMigrations } from '../userdb/index.ts'

/** Null where the set was never applied. */
const appliedOf = (database: Database, { name }: MigrationSet): number | null => {
  const table = `migrations_${name}`
  const isThere = database.query("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?").get(table)
  return isThere === null
    ? null
    : (database.query<{ number: number }, []>(`SELECT count(*) AS number FROM ${table}`).get()?.number ?? 0)
}

/** @throws StartError for a file that is not a login's, or not of this release. Nothing is written. */
const requireLogin = (path: string, mayMigrate: boolean): void => {
  let database: Database
  try {
    database = new Database(path, { readonly: true })
  } catch (error) {
    throw new StartError(`${path} can not be opened as a database.`, { cause: error })
  }
  try {
    const applied = appliedOf(database, migrations)
    if (applied === null) {
      throw new StartError(`${path} is not the database of a login. Nothing was changed.`)
    }
    const isCurrent =
      applied === migrations.migrations.length &&
      appliedOf(database, userdbMigrations) === userdbMigrations.migrations.length
    if (!isCurrent && !mayMigrate) {
      throw new StartError(`${path} was written by another release: start the login of this one on it first.`)
    }
  } finally {
    database.close()
  }
}

/**
 * Opens the database of a login for a command beside it. Only with `makesDatabase` is one made where there is none, or
 * brought up to this release.
 *
 * @throws StartError where there is none, or something else.
 */
export const openLoginFile = (path: string, makesDatabase: boolean): Database => {
  if (existsSync(path)) {
    // An empty file has words of its own.
    if (statSync(path).size > 0) requireLogin(path, makesDatabase)
  } else if (!makesDatabase) {
    // SQLite would make one, and nothing in it would be what was looked for.
    throw new StartError(`There is no database at ${path}.`)
  }
  const database = openDatabase(path)
  if (makesDatabase) {
    migrate(database, userdbMigrations, systemClock)
    migrate(database, migrations, systemClock)
  }
  settle(database)
  return database
}

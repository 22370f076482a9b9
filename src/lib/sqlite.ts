import { Database, SQLiteError } from 'bun:sqlite'
import {
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { Failure } from './failure.ts'
import { StartError } from './start-error.ts'

/** How long a start waits for another process that holds the file, milliseconds. Nothing is served yet. */
const startBusyTimeout = 5_000

/**
 * Makes a new file, whole from the moment it has its name: of two processes that start at once, the second one would
 * find it empty or locked otherwise.
 */
const createFile = (path: string): void => {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const draft = `${path}.${crypto.randomUUID()}`
  closeSync(openSync(draft, 'wx', 0o600))
  try {
    const database = new Database(draft)
    database.run('PRAGMA journal_mode = WAL')
    database.close(true)
    try {
      // Unlike a rename it fails when the other process was first.
      linkSync(draft, path)
    } catch {
      if (!existsSync(path)) renameSync(draft, path)
    }
  } finally {
    rmSync(draft, { force: true })
  }
}

const open = (path: string): Database => {
  if (path !== ':memory:') {
    if (!existsSync(path)) {
      createFile(path)
    } else if (statSync(path).size === 0 && !existsSync(`${path}-wal`)) {
      throw new StartError(
        `${path} is empty. Restore it from a backup; if it never held anything, remove it.`,
      )
    }
  }
  // A copy that was put back, say, made by somebody with another umask.
  if (path !== ':memory:') chmodSync(path, 0o600)
  const database = new Database(path, { create: true, readwrite: true, strict: true })
  // First of all: everything after it may have to wait for another process that starts on the same file.
  database.run(`PRAGMA busy_timeout = ${startBusyTimeout}`)
  database.run('PRAGMA journal_mode = WAL')
  database.run('PRAGMA synchronous = FULL')
  database.run('PRAGMA foreign_keys = ON')
  // Pages that are kept in memory, 64 MiB at most: a look at one of a million keys takes two thirds of the time.
  database.run('PRAGMA cache_size = -65536')
  database.run('PRAGMA trusted_schema = OFF')
  return database
}

/**
 * Opens a database file (0600, its folder made) or `:memory:`, with the settings that every role relies on.
 * Call {@link settle} once it is migrated.
 *
 * @throws StartError when the file can't be opened as a database, or is there but empty: SQLite would take it for a
 * new one, and what was in it would be gone without a word.
 */
export const openDatabase = (path: string): Database => {
  try {
    return open(path)
  } catch (error) {
    if (error instanceof StartError || !(error instanceof Error)) throw error
    throw new StartError(`${path} can not be opened as a database: ${error.message}`, { cause: error })
  }
}

/** Closes a database with everything in its one file, where nobody else has it open. */
export const closeDatabase = (database: Database): void => {
  database.run('PRAGMA wal_checkpoint(TRUNCATE)')
  database.close()
}

/** From here on requests are served: SQLite's own wait would stop the event loop, so it must not wait. */
export const settle = (database: Database): void => {
  database.run('PRAGMA busy_timeout = 0')
}

/**
 * Runs a step of a start, which waits for another process that holds the file as long as opening does; afterwards the
 * database waits as long as it did before. For one that may be settled already, or is a host's own.
 */
export const patiently = <Result>(database: Database, step: () => Result): Result => {
  const before = database.query<{ timeout: number }, []>('PRAGMA busy_timeout').get()?.timeout ?? 0
  database.run(`PRAGMA busy_timeout = ${Math.max(before, startBusyTimeout)}`)
  try {
    return step()
  } finally {
    database.run(`PRAGMA busy_timeout = ${before}`)
  }
}

const isBusy = (error: unknown): boolean =>
  error instanceof SQLiteError && (error.code ?? '').startsWith('SQLITE_BUSY')

/** Whether an error says that the file can't be used just now, rather than that the statement is wrong. */
export const isDatabaseUnavailable = (error: unknown): boolean =>
  error instanceof StartError
    ? isDatabaseUnavailable(error.cause)
    : error instanceof SQLiteError &&
      /^SQLITE_(BUSY|LOCKED|FULL|READONLY|IOERR|CORRUPT|NOTADB|CANTOPEN|NOMEM|PROTOCOL)/.test(
        error.code ?? '',
      )

/** Whether a write broke a unique index. */
export const isUniqueViolation = (error: unknown): boolean =>
  error instanceof SQLiteError &&
  (error.code === 'SQLITE_CONSTRAINT_UNIQUE' || error.code === 'SQLITE_CONSTRAINT_PRIMARYKEY')

const busyLimit = 2_000

/**
 * Runs a short synchronous write, and runs it again with jitter while another process holds the file.
 *
 * @throws Failure `unavailable` after 2 s.
 */
export const retryBusy = async <Result>(write: () => Result): Promise<Result> => {
  const start = performance.now()
  for (let pause = 2; ; pause = Math.min(pause * 2, 100)) {
    try {
      return write()
    } catch (error) {
      if (!isBusy(error)) throw error
      if (performance.now() - start > busyLimit) {
        throw new Failure('unavailable', { retryAfterSeconds: 1, cause: error })
      }
      await Bun.sleep(pause * (0.5 + Math.random()))
    }
  }
}

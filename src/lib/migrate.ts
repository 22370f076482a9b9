import type { Database } from 'bun:sqlite'
import { StartError } from './start-error.ts'

/** One file that drizzle-kit wrote, embedded as text. */
export type Migration = {
  /** The file's name without `.sql`. */
  readonly tag: string
  readonly sql: string
}

/** The migrations of one part, oldest first. Each set has a table of its own: several share a file. */
export type MigrationSet = { readonly name: string; readonly migrations: readonly Migration[] }

type AppliedRow = { position: number; tag: string; hash: string }

/** The table in which the migrations of a set are noted. */
export const migrationTable = ({ name }: MigrationSet): string => `migrations_${name.replaceAll('-', '_')}`

const fingerprint = (sql: string): string => Bun.SHA256.hash(sql, 'hex')

const statements = (sql: string): string[] =>
  sql
    .split('--> statement-breakpoint')
    .map(statement => statement.trim())
    .filter(statement => statement !== '')

/**
 * Brings a database up to the last migration of a set, all or nothing.
 *
 * Foreign keys are off meanwhile, since a table that is rebuilt would else take its children's rows along
 * (and SQLite ignores the pragma inside a transaction), then checked, then on.
 *
 * @throws StartError when a migration that was applied has been edited, when the file was written by a newer
 * release, or when rows are left that point nowhere. Nothing is changed then.
 */
export const migrate = (database: Database, set: MigrationSet, clock: () => number): void => {
  const { name, migrations } = set
  const table = migrationTable(set)
  // The database may be a host's own, with a setting of its own.
  const before = database.query<{ foreign_keys: number }, []>('PRAGMA foreign_keys').get()?.foreign_keys ?? 1
  database.run('PRAGMA foreign_keys = OFF')
  try {
    // Immediate, so that of two processes that start at once the second one waits and then finds it done.
    database
      .transaction(() => {
        database.run(
          `CREATE TABLE IF NOT EXISTS ${table} (position INTEGER PRIMARY KEY, tag TEXT NOT NULL, hash TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT`,
        )
        const applied = database
          .query<AppliedRow, []>(`SELECT position, tag, hash FROM ${table} ORDER BY position`)
          .all()
        if (applied.length > migrations.length) {
          throw new StartError(
            `The database was written by a newer release: its ${name} tables have ${applied.length} migrations, this release knows ${migrations.length}. Start that release, or restore a backup.`,
          )
        }
        for (const [position, { tag, sql }] of migrations.entries()) {
          const row = applied[position]
          if (row === undefined) {
            for (const statement of statements(sql)) database.run(statement)
            database
              .query(`INSERT INTO ${table} (position, tag, hash, applied_at) VALUES (?, ?, ?, ?)`)
              .run(position, tag, fingerprint(sql), clock())
          } else if (row.tag !== tag || row.hash !== fingerprint(sql)) {
            throw new StartError(
              `Migration ${name}/${tag} is not the one that was applied to this database (${row.tag}).`,
            )
          }
        }
        if (applied.length === migrations.length) return
        const orphan = database.query<{ table: string }, []>('PRAGMA foreign_key_check').get()
        if (orphan)
          throw new StartError(`Migrating ${name} would leave rows in ${orphan.table} that point nowhere.`)
      })
      .immediate()
  } finally {
    database.run(`PRAGMA foreign_keys = ${before}`)
  }
}

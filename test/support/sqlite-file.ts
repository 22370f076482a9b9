import { Database, type SQLQueryBindings } from 'bun:sqlite'

/** Does something with a database file that a service has open, or had, and closes it again. */
export const withDatabase = <Result>(path: string, use: (database: Database) => Result): Result => {
  const database = new Database(path, { readwrite: true, create: false })
  try {
    database.run('PRAGMA busy_timeout = 2000')
    return use(database)
  } finally {
    database.close()
  }
}

/** The first column of the first row; undefined where there is none. */
export const readValue = (path: string, query: string, ...bindings: SQLQueryBindings[]): unknown =>
  withDatabase(path, database => {
    const [row] = database.query<Record<string, unknown>, SQLQueryBindings[]>(query).all(...bindings)
    return row === undefined ? undefined : Object.values(row)[0]
  })

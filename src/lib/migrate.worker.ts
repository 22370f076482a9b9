import { createId } from './id.ts'
import { migrate } from './migrate.ts'
import { openDatabase } from './sqlite.ts'

// A process that starts on a file: `bun migrate.worker.ts <path> <migrations it knows>`. It writes nothing unless
// something is wrong.
const [, , path = '', count] = process.argv

// Slow enough that the others come while it runs, and able to run once only.
const slow = `INSERT INTO rows WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) SELECT i FROM n`

const database = openDatabase(path)
migrate(
  database,
  {
    name: 'race',
    migrations: [
      { tag: '0000', sql: 'CREATE TABLE started (id TEXT)' },
      { tag: '0001', sql: 'CREATE TABLE rows (id INTEGER PRIMARY KEY)' },
      { tag: '0002', sql: slow },
    ].slice(0, Number(count)),
  },
  Date.now,
)
database.query('INSERT INTO started VALUES (?)').run(createId('run', Date.now))
database.close()

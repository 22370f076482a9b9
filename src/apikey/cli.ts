import { Database, SQLiteError } from 'bun:sqlite'
import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { systemClock } from '../lib/clock.ts'
import type { Env } from '../lib/config.ts'
import { parseAddress } from '../lib/networks.ts'
import { isPermission } from '../lib/permission.ts'
import { explainKey, type Presented } from './explain.ts'
import { createExplainRows } from './explain-rows.ts'
import { formatExplanation } from './explain-text.ts'

const usage = `Usage: latchkey keys explain [key_…] [--permission resource:action] [--address IP] [--json]

Says of a key what the service does with it now: each check in order, passed or failed, and
since when. The key itself comes on standard input, never as an argument, where others on
the machine could read it; a name (key_…) is explained without a look at the secret.
A key with allowed networks is judged by them for a caller at --address.

Reads the database at DATABASE_PATH (./data/service-a.sqlite), also while the service runs.
Exit code: 0 for a key that is let in, 1 for one that is not, 2 where that can't be said.
`

const idForm = /^key_[0-9A-Za-z]{16}$/

const refuse = (text: string): number => {
  process.stderr.write(text)
  return 2
}

type Order = {
  readonly id: string | null
  readonly permission: string | null
  readonly address: string | null
  readonly asJson: boolean
}

/** Null for arguments that make no sense. They are not repeated to anybody: one may be a key. */
const readOrder = (args: readonly string[]): Order | null => {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { json: { type: 'boolean' }, permission: { type: 'string' }, address: { type: 'string' } },
      allowPositionals: true,
    })
    const [verb, id = null, ...rest] = positionals
    const permission = values.permission ?? null
    const address = values.address ?? null
    if (address !== null && parseAddress(address) === null) return null
    if (verb !== 'explain' || rest.length > 0 || (permission !== null && !isPermission(permission))) {
      return null
    }
    return { id, permission, address, asJson: values.json ?? false }
  } catch {
    return null
  }
}

/** What SQLite says names tables and columns, no values. */
const reasonOf = (error: unknown): string => {
  if (!(error instanceof SQLiteError)) return 'something in it is not as it should be'
  return /no such (table|column)/.test(error.message)
    ? 'it is of an older release, which this one brings up to date at its start, or of no service with keys'
    : error.message
}

/** Beside a service that runs: only for reading, and with time to wait for one that just starts. */
const openForReading = (path: string): Database => {
  const database = new Database(path, { readonly: true, strict: true })
  database.run('PRAGMA busy_timeout = 2000')
  database.run('PRAGMA query_only = ON')
  return database
}

const maxStalenessOf = ({ MAX_STALENESS_SECONDS: text = '' }: Env): number =>
  /^\d{1,9}$/.test(text) ? Number(text) : 300

/**
 * `latchkey keys …`: asks the database of a service about a key.
 *
 * @returns the exit code: 0 a good key, 1 a bad one, 2 no answer.
 */
export const run = async (
  args: readonly string[],
  env: Env,
  stdin: () => Promise<string>,
): Promise<number> => {
  const order = readOrder(args)
  if (order === null) return refuse(usage)
  const { id, permission, address, asJson } = order
  if (id !== null && !idForm.test(id)) {
    return refuse(
      `The argument is not the name of a key (key_ and 16 characters). A key itself goes on standard input.\n`,
    )
  }
  const presented: Presented = id === null ? { text: (await stdin()).trim() } : { id }
  if ('text' in presented && presented.text === '') return refuse('There is no key on standard input.\n')
  const path = env.DATABASE_PATH || './data/service-a.sqlite'
  if (!existsSync(path)) return refuse(`There is no database at ${path}. Set DATABASE_PATH.\n`)
  let database: Database | null = null
  try {
    database = openForReading(path)
    const explanation = await explainKey(presented, {
      rows: createExplainRows(database),
      clock: systemClock,
      permission,
      address,
      maxStalenessSeconds: maxStalenessOf(env),
      staleMode: env.STALE_MODE === 'deny' ? 'deny' : 'allow',
    })
    process.stdout.write(
      asJson ? `${JSON.stringify(explanation, null, 2)}\n` : formatExplanation(explanation),
    )
    return explanation.accepted ? 0 : 1
  } catch (error) {
    return refuse(`The keys in ${path} can't be read: ${reasonOf(error)}.\n`)
  } finally {
    database?.close()
  }
}

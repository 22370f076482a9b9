import type { Database } from 'bun:sqlite'
import { copyFileSync, statSync } from 'node:fs'
import { migrations } from '../db/apikey/index.ts'
import type { KeyLimit } from '../src/apikey/key-record.ts'
import { lowestCost } from '../src/apikey/keys.ts'
import { formatKey, generateKey, publicId, startOf } from '../src/apikey/token.ts'
import { systemClock } from '../src/lib/clock.ts'
import { migrate } from '../src/lib/migrate.ts'
import { closeDatabase, openDatabase } from '../src/lib/sqlite.ts'
import { hotKeys } from './cases.ts'
import { shuffle } from './statistics.ts'

/** Keys that lie in a database, and their texts, which only whoever made them knows. */
export type Seed = {
  readonly database: string
  /** In no order: one after the other they lie far apart in the file. */
  readonly good: readonly string[]
  readonly revoked: readonly string[]
  /** Each with a limit of its own, as much as the others have by default. */
  readonly limited: readonly string[]
  /** Each with a balance that nobody empties, and a limit that lets a thousand a second by. */
  readonly metered: readonly string[]
}

type Kind = 'good' | 'revoked' | 'limited' | 'metered'

const prefix = 'lk'
const owners = 5_000
const batch = 10_000

/** Revoked ones beside the good ones. */
const revokedKeys = 1_000

const limitedKeys = hotKeys
const meteredKeys = 33

/** Credits of each metered key. */
const granted = 1_000_000_000

const limitsOf: Readonly<Record<Kind, readonly KeyLimit[] | null>> = {
  good: null,
  revoked: null,
  limited: [{ name: 'minute', limit: 6_000, windowSeconds: 60 }],
  metered: [{ name: 'second', limit: 10_000, windowSeconds: 1 }],
}

const createKey = () => {
  const parts = generateKey(prefix)
  const text = formatKey(parts)
  const secretHash = Bun.password.hashSync(parts.secret, { algorithm: 'argon2id', ...lowestCost })
  return { id: publicId(parts.id), start: startOf(parts), last4: text.slice(-4), secretHash, text }
}

/** Adds rows as the store of the plugin writes them, each with a secret and a hash of its own. */
const addKeys = (database: Database, count: number, kind: Kind): string[] => {
  const insert = database.query(
    `INSERT INTO api_keys (id, prefix, start, last4, secret_hash, name, owner_id, created_by, permissions, enabled,
      created_at, updated_at, revoked_at, limits, is_metered)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, '["items:read"]', 1, ?, ?, ?, ?, ?)`,
  )
  const grant = database.query(
    'INSERT INTO api_key_credits (lineage_id, remaining, granted, refilled_at) VALUES (?, ?, ?, ?)',
  )
  const limits = limitsOf[kind] === null ? null : JSON.stringify(limitsOf[kind])
  const isMetered = kind === 'metered'
  const texts: string[] = []
  const add = database.transaction((size: number) => {
    for (let index = 0; index < size; index += 1) {
      const { id, start, last4, secretHash, text } = createKey()
      const ownerId = `usr_${texts.length % owners}`
      const now = Date.now()
      insert.run(
        id,
        prefix,
        start,
        last4,
        secretHash,
        'bench',
        ownerId,
        ownerId,
        now,
        now,
        kind === 'revoked' ? now : null,
        limits,
        isMetered ? 1 : 0,
      )
      if (isMetered) grant.run(id, granted, granted, now)
      texts.push(text)
    }
  })
  while (texts.length < count) add(Math.min(batch, count - texts.length))
  return texts
}

/** Makes a database of keys, by adding to a copy of a smaller one where there is one. */
export const seedKeys = (path: string, stored: number, smaller?: Seed): Seed => {
  if (smaller !== undefined) copyFileSync(smaller.database, path)
  const database = openDatabase(path)
  migrate(database, migrations, systemClock)
  // A crash would lose nothing that could not be made again.
  database.run('PRAGMA synchronous = OFF')
  const revoked = smaller?.revoked ?? addKeys(database, revokedKeys, 'revoked')
  const limited = smaller?.limited ?? addKeys(database, limitedKeys, 'limited')
  const metered = smaller?.metered ?? addKeys(database, meteredKeys, 'metered')
  const good = smaller?.good ?? []
  const added = addKeys(database, stored - good.length, 'good')
  closeDatabase(database)
  return { database: path, good: shuffle([...good, ...added]), revoked, limited, metered }
}

/** A copy for one more server, since each writes to its own. */
export const copySeed = (seed: Seed, path: string): string => {
  copyFileSync(seed.database, path)
  return path
}

export const databaseBytes = (path: string): number => statSync(path).size

/** Well-formed keys that nobody made. */
export const unknownKeys = (count: number): string[] =>
  Array.from({ length: count }, () => formatKey(generateKey(prefix)))

/** Keys with a typo: of the right form, and of the wrong checksum. */
export const garbageKeys = (count: number): string[] =>
  unknownKeys(count).map(text => `${text.slice(0, -1)}${text.endsWith('x') ? 'y' : 'x'}`)

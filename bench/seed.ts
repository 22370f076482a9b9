import type { Database } from 'bun:sqlite'
import { copyFileSync, statSync } from 'node:fs'
import { migrations } from '../db/apikey/index.ts'
import { lowestCost } from '../src/apikey/keys.ts'
import { formatKey, generateKey, publicId, startOf } from '../src/apikey/token.ts'
import { systemClock } from '../src/lib/clock.ts'
import { migrate } from '../src/lib/migrate.ts'
import { closeDatabase, openDatabase } from '../src/lib/sqlite.ts'
import { shuffle } from './statistics.ts'

/** Keys that lie in a database, and their texts, which only whoever made them knows. */
export type Seed = {
  readonly database: string
  /** In no order: one after the other they lie far apart in the file. */
  readonly good: readonly string[]
  readonly revoked: readonly string[]
}

const prefix = 'lk'
const owners = 5_000
const batch = 10_000

/** Revoked ones beside the good ones. */
const revokedKeys = 1_000

const createKey = () => {
  const parts = generateKey(prefix)
  const text = formatKey(parts)
  const secretHash = Bun.password.hashSync(parts.secret, { algorithm: 'argon2id', ...lowestCost })
  return { id: publicId(parts.id), start: startOf(parts), last4: text.slice(-4), secretHash, text }
}

/** Adds rows as the store of the plugin writes them, each with a secret and a hash of its own. */
const addKeys = (database: Database, count: number, isRevoked: boolean): string[] => {
  const insert = database.query(
    `INSERT INTO api_keys (id, prefix, start, last4, secret_hash, name, owner_id, created_by, permissions, enabled,
      created_at, updated_at, revoked_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, '["items:read"]', 1, ?, ?, ?)`,
  )
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
        isRevoked ? now : null,
      )
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
  const revoked = smaller?.revoked ?? addKeys(database, revokedKeys, true)
  const good = smaller?.good ?? []
  const added = addKeys(database, stored - good.length, false)
  closeDatabase(database)
  return { database: path, good: shuffle([...good, ...added]), revoked }
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

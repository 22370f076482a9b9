import type { Database } from 'bun:sqlite'
import { migrations } from '../../db/apikey/index.ts'
import { systemClock } from '../lib/clock.ts'
import { migrate } from '../lib/migrate.ts'
import { openDatabase, settle } from '../lib/sqlite.ts'
import type { KeyMaterial, NewKey } from './key-record.ts'
import { formatKey, generateKey, publicId, startOf } from './token.ts'
import { createUsageStore } from './usage-store.ts'

/** Opens a migrated database as a service does, for tests. */
export const openKeyDatabase = (path = ':memory:'): Database => {
  const database = openDatabase(path)
  migrate(database, migrations, systemClock)
  settle(database)
  return database
}

/** A hash that can be told anywhere it turns up. */
export const secretHash = '$argon2id$the-hash'

/** What a new key is made of, with a hash of nothing. */
export const newMaterial = (prefix = 'lk'): KeyMaterial => {
  const parts = generateKey(prefix)
  return {
    id: publicId(parts.id),
    prefix,
    start: startOf(parts),
    last4: formatKey(parts).slice(-4),
    secretHash,
  }
}

/** A key to insert. */
export const newKey = (ownerId: string, changes: Partial<NewKey> = {}): NewKey => ({
  ...newMaterial(),
  name: 'test',
  ownerId,
  createdBy: ownerId,
  permissions: [],
  expiresAt: null,
  ...changes,
})

/** Writes that a key was let in. */
export const writeUse = (database: Database, id: string, lastUsedAt: number): Promise<number> =>
  createUsageStore({ database }).recordUses([
    { id, day: 0, lastUsedAt, lastUsedAddress: null, counts: [{ outcome: 'accepted', uses: 1 }] },
  ])

/** The code of the Failure that a promise is rejected with, or null when it is fulfilled. */
export const codeOf = async (promise: Promise<unknown>): Promise<unknown> => {
  try {
    await promise
    return null
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error
  }
}

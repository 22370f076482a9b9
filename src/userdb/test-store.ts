import type { Database } from 'bun:sqlite'
import { migrations } from '../../db/userdb/index.ts'
import { systemClock } from '../lib/clock.ts'
import { createId } from '../lib/id.ts'
import { migrate } from '../lib/migrate.ts'
import { openDatabase, settle } from '../lib/sqlite.ts'
import type { NewUser } from './store.ts'

/** Opens a migrated database as a service does, for tests. */
export const openUserDatabase = (path = ':memory:'): Database => {
  const database = openDatabase(path)
  migrate(database, migrations, systemClock)
  settle(database)
  return database
}

/** A user to insert, whose hash can be told anywhere it turns up. */
export const newUser = (email: string, changes: Partial<NewUser> = {}): NewUser => ({
  id: createId('usr', systemClock),
  email,
  displayName: null,
  roles: ['user'],
  passwordHash: '$argon2id$secret',
  ...changes,
})

/** The code of the Failure that a promise is rejected with, or null when it is fulfilled. */
export const codeOf = async (promise: Promise<unknown>): Promise<unknown> => {
  try {
    await promise
    return null
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error
  }
}

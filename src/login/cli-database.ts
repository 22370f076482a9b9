import type { Database } from 'bun:sqlite'
import { migrations } from '../../db/login/index.ts'
import { type OwnDatabase, openOwnDatabase } from '../lib/own-database.ts'
import { migrations as userdbMigrations } from '../userdb/index.ts'

const loginDatabase: OwnDatabase = {
  sets: [migrations, userdbMigrations],
  owner: 'a login',
  service: 'the login',
}

/**
 * Opens the database of a login for a command beside it. Only with `makesDatabase` is one made where there is none, or
 * brought up to this release.
 *
 * @throws StartError where there is none, or something else.
 */
export const openLoginFile = (path: string, makesDatabase: boolean): Database =>
  openOwnDatabase(path, loginDatabase, makesDatabase ? 'make' : 'write')

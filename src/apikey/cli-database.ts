import type { Database } from 'bun:sqlite'
import { Type } from '@sinclair/typebox'
import { migrations } from '../../db/apikey/index.ts'
import { systemClock } from '../lib/clock.ts'
import { commonSettings, type Env, readConfig, setting } from '../lib/config.ts'
import { type OwnDatabase, openOwnDatabase } from '../lib/own-database.ts'
import { createExplainRows, type ExplainRows } from './explain-rows.ts'
import { createKeys, type Keys, lowestCost } from './keys.ts'
import { defaultKeysPerOwner, defaultPrefix } from './options.ts'
import { createSqliteKeyStore, type KeyStore } from './store.ts'
import { prefixPattern } from './token.ts'

const keyDatabase: OwnDatabase = {
  sets: [migrations],
  owner: 'a service with API keys',
  service: 'the service',
}

const { DATABASE_PATH } = commonSettings({ port: 3001, database: './data/service-a.sqlite' })

const Settings = Type.Object({
  DATABASE_PATH,
  API_KEY_PREFIX: setting.text({
    description: 'Begins every key that is made here.',
    mend: 'a small letter, then up to 15 of a-z, 0-9 and _',
    default: defaultPrefix,
    pattern: prefixPattern.source,
  }),
})

/** @throws ConfigError */
export const databasePathOf = (env: Env): string => readConfig(Settings, env).DATABASE_PATH

/** What a verb works with: that with which the service itself works, on a connection of its own. */
export type Parts = {
  readonly database: Database
  readonly store: KeyStore
  readonly keys: Keys
  readonly rows: ExplainRows
}

/**
 * Opens the database of a service beside it, which may run: what is changed here counts there as what another of its
 * processes does. None is made or migrated: a key for a service that never started would be of no use, and a file that
 * is brought up to this release under a service of another one would be of harm.
 *
 * @throws StartError where there is none, or something else.
 */
export const openParts = (env: Env, mode: 'read' | 'write'): Parts & Disposable => {
  const { DATABASE_PATH: path, API_KEY_PREFIX: prefix } = readConfig(Settings, env)
  const database = openOwnDatabase(path, keyDatabase, mode)
  const store = createSqliteKeyStore({ database, clock: systemClock })
  return {
    database,
    store,
    keys: createKeys({
      store,
      clock: systemClock,
      prefix,
      cost: lowestCost,
      keysPerOwner: defaultKeysPerOwner,
    }),
    rows: createExplainRows(database),
    [Symbol.dispose]: () => database.close(),
  }
}

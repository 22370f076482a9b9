import { availableParallelism } from 'node:os'
import { migrations } from '../../db/login/index.ts'
import { bySystem } from '../lib/audit.ts'
import { systemClock } from '../lib/clock.ts'
import type { Env } from '../lib/config.ts'
import { Failure } from '../lib/failure.ts'
import { createLog } from '../lib/log.ts'
import { migrate } from '../lib/migrate.ts'
import { serve } from '../lib/server.ts'
import { closeDatabase, openDatabase, settle } from '../lib/sqlite.ts'
import { StartError } from '../lib/start-error.ts'
import {
  createPasswords,
  createSqliteUserStore,
  createUsers,
  migrations as userdbMigrations,
} from '../userdb/index.ts'
import { createLoginApp } from './app.ts'
import { type LoginConfig, readLoginConfig } from './config.ts'
import { createSqliteSessionStore } from './session-store.ts'
import { createSetupTokens } from './setup.ts'
import { createSecretKeys, loadSigningKeys } from './signing-keys.ts'
import { withUserEvent } from './user-events.ts'

/** What a person at the terminal has to know, and no log should hold. */
const invite = (token: string, issuer: string): string =>
  [
    '',
    'There is no administrator yet. Whoever has this token can become one, once, within 24 hours:',
    '',
    `  curl ${issuer}/auth/setup -H 'content-type: application/json' \\`,
    `    -d '{"token":"${token}","email":"you@example.com","password":"a long password of yours"}'`,
    '',
    '',
  ].join('\n')

/** What is wrong with ADMIN_EMAIL or ADMIN_PASSWORD, by name and without the value. */
const refuseAdmin = (error: unknown): never => {
  if (!(error instanceof Failure)) throw error
  const { code, detail = code, errors = [] } = error
  const faults = errors.map(({ field, rule }) => `ADMIN_${field.toUpperCase()} ${rule}.`)
  throw new StartError(
    `The first administrator can not be made: ${faults.length > 0 ? faults.join(' ') : detail}`,
  )
}

const open = async (config: LoginConfig) => {
  const clock = systemClock
  const database = openDatabase(config.DATABASE_PATH)
  migrate(database, userdbMigrations, clock)
  migrate(database, migrations, clock)
  settle(database)

  const userStore = createSqliteUserStore({ database, clock, inTransaction: withUserEvent })
  const passwords = createPasswords({
    concurrency: config.HASH_CONCURRENCY,
    parameters: { memoryCost: config.PASSWORD_MEMORY_KIB, timeCost: 2 },
    minimumLength: config.PASSWORD_MIN_LENGTH,
  })
  const users = createUsers({ store: userStore, passwords, clock })
  const sessions = createSqliteSessionStore({ database, clock })
  const setup = createSetupTokens({ database, clock })
  const signingKeys =
    config.JWT_SECRET === undefined
      ? await loadSigningKeys(database, clock)
      : createSecretKeys(config.JWT_SECRET)
  return { clock, database, userStore, users, sessions, setup, signingKeys }
}

/** Starts the role `login` and returns once it listens. @throws ConfigError */
export const start = async (env: Env): Promise<void> => {
  const config = readLoginConfig(env, availableParallelism())
  const log = createLog({ level: config.LOG_LEVEL, service: 'login' })
  const { clock, database, userStore, users, sessions, setup, signingKeys } = await open(config)

  if (config.ADMIN_EMAIL !== undefined && config.ADMIN_PASSWORD !== undefined) {
    const { ADMIN_EMAIL: email, ADMIN_PASSWORD: password } = config
    const admin = await users.createFirstAdmin({ email, password }, bySystem).catch(refuseAdmin)
    if (admin !== null) log.info({ userId: admin.id }, 'the first administrator was made')
  }

  const lifecycle = { draining: false }
  const app = createLoginApp({
    users,
    userStore,
    sessions,
    setup,
    signingKeys,
    issuer: config.ISSUER,
    audiences: config.AUDIENCES,
    accessTokenSeconds: config.ACCESS_TOKEN_SECONDS,
    describeApi: config.OPENAPI,
    ready: async () => {
      database.query('SELECT 1').get()
      return true
    },
    lifecycle,
    clock,
    log,
  })
  serve({
    app,
    host: config.HOST,
    port: config.PORT,
    drainSeconds: config.DRAIN_SECONDS,
    log,
    lifecycle,
    close: () => closeDatabase(database),
  })

  if (!(await userStore.hasAdmin())) {
    process.stderr.write(invite(await setup.create(), config.ISSUER))
  }
}

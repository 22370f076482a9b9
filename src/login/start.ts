import { availableParallelism } from 'node:os'
import { migrations } from '../../db/login/index.ts'
import { bySystem } from '../lib/audit.ts'
import { trustedProxies } from '../lib/client-address.ts'
import { systemClock } from '../lib/clock.ts'
import type { Env } from '../lib/config.ts'
import { Failure } from '../lib/failure.ts'
import { createLog, type Log } from '../lib/log.ts'
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
import { createChangeLog } from './change-log.ts'
import { createPolls } from './changes-poll.ts'
import { createClientRegistry } from './client-registry.ts'
import { createSecretChecker } from './client-secret.ts'
import { createSqliteClientStore } from './client-store.ts'
import { type LoginConfig, readLoginConfig } from './config.ts'
import { createFeed } from './feed.ts'
import { createFeedRetention, pruneHourly } from './feed-retention.ts'
import { createSqliteSessionStore } from './session-store.ts'
import { createSetupTokens } from './setup.ts'
import { createSecretKeys, loadSigningKeys } from './signing-keys.ts'
import { createTokenRevocation } from './token-revocation.ts'
import { createUserEvents } from './user-events.ts'

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

const open = async (config: LoginConfig, log: Log) => {
  const clock = systemClock
  const database = openDatabase(config.DATABASE_PATH)
  migrate(database, userdbMigrations, clock)
  migrate(database, migrations, clock)
  const feed = createFeed({ database, clock, log })
  settle(database)

  const changes = createChangeLog(database)
  const userStore = createSqliteUserStore({ database, clock, inTransaction: createUserEvents(changes) })
  const passwords = createPasswords({
    concurrency: config.HASH_CONCURRENCY,
    parameters: { memoryCost: config.PASSWORD_MEMORY_KIB, timeCost: 2 },
    minimumLength: config.PASSWORD_MIN_LENGTH,
  })
  const users = createUsers({ store: userStore, passwords, clock })
  const sessions = createSqliteSessionStore({ database, clock, changes })
  const clients = createSqliteClientStore({ database, clock, changes })
  const revocation = createTokenRevocation({ database, clock, changes })
  const setup = createSetupTokens({ database, clock })
  const signingKeys =
    config.JWT_SECRET === undefined
      ? await loadSigningKeys({ database, clock, changes })
      : createSecretKeys(config.JWT_SECRET)
  return {
    clock,
    database,
    changes,
    feed,
    clients,
    revocation,
    userStore,
    users,
    sessions,
    setup,
    signingKeys,
  }
}

/** Starts the role `login` and returns once it listens. @throws ConfigError */
export const start = async (env: Env): Promise<void> => {
  const config = readLoginConfig(env, availableParallelism())
  const log = createLog({ level: config.LOG_LEVEL, service: 'login' })
  const {
    clock,
    database,
    changes,
    feed,
    clients,
    revocation,
    userStore,
    users,
    sessions,
    setup,
    signingKeys,
  } = await open(config, log)

  if (config.ADMIN_EMAIL !== undefined && config.ADMIN_PASSWORD !== undefined) {
    const { ADMIN_EMAIL: email, ADMIN_PASSWORD: password } = config
    const admin = await users.createFirstAdmin({ email, password }, bySystem).catch(refuseAdmin)
    if (admin !== null) log.info({ userId: admin.id }, 'the first administrator was made')
  }

  if (config.CLIENT_ID !== undefined && config.CLIENT_SECRET !== undefined) {
    const { CLIENT_ID: clientId, CLIENT_SECRET: secret } = config
    const registry = createClientRegistry({ store: clients, checker: createSecretChecker(), clock })
    const outcome = await registry.ensure(clientId, secret)
    if (outcome === 'created') log.info({ clientId }, 'the client that CLIENT_ID names was registered')
    if (outcome === 'secret_differs') log.warn({ clientId }, 'CLIENT_SECRET is not a secret of CLIENT_ID')
    if (outcome === 'deleted') log.warn({ clientId }, 'CLIENT_ID names a client that was deleted')
  }

  pruneHourly(createFeedRetention({ database, clock, retentionHours: config.CHANGE_RETENTION_HOURS }), log)

  const lifecycle = { draining: false }
  const polls = createPolls({ changes })
  const app = createLoginApp({
    users,
    userStore,
    sessions,
    clients,
    revocation,
    feed,
    polls,
    setup,
    signingKeys,
    issuer: config.ISSUER,
    audiences: config.AUDIENCES,
    accessTokenSeconds: config.ACCESS_TOKEN_SECONDS,
    describeApi: config.OPENAPI,
    metricsToken: config.METRICS_TOKEN,
    proxies: trustedProxies(config.TRUSTED_PROXIES),
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
    onDrain: polls.end,
    close: () => closeDatabase(database),
  })

  if (!(await userStore.hasAdmin())) {
    process.stderr.write(invite(await setup.create(), config.ISSUER))
  }
}

import { migrations } from '../../db/service-a/index.ts'
import { internalsOf } from '../apikey/index.ts'
import { trustedProxies } from '../lib/client-address.ts'
import { systemClock } from '../lib/clock.ts'
import type { Env } from '../lib/config.ts'
import { createLog } from '../lib/log.ts'
import { migrate } from '../lib/migrate.ts'
import { serve } from '../lib/server.ts'
import { closeDatabase, openDatabase, settle } from '../lib/sqlite.ts'
import { createServiceApp } from './app.ts'
import { readServiceConfig } from './config.ts'
import { createServiceGuard } from './guard.ts'
import { createLoginGateway } from './login-gateway.ts'

/** Starts the role `service-a` and returns once it listens. @throws ConfigError */
export const start = async (env: Env): Promise<void> => {
  const config = readServiceConfig(env)
  const log = createLog({ level: config.LOG_LEVEL, service: 'service-a' })
  const clock = systemClock
  const database = openDatabase(config.DATABASE_PATH)
  migrate(database, migrations, clock)
  settle(database)

  const lifecycle = { draining: false }
  const guard = createServiceGuard(config, { database, clock, log })
  const { health, stop } = internalsOf(guard)
  const app = createServiceApp({
    guard,
    login: createLoginGateway({ url: config.LOGIN_URL }),
    database,
    describeApi: config.OPENAPI,
    metricsToken: config.METRICS_TOKEN,
    proxies: trustedProxies(config.TRUSTED_PROXIES),
    ready: async () => {
      const { status } = await health()
      // Without a feed nobody tells that a user was disabled.
      if (status === 'degraded' || (status === 'ok' && config.CLIENT_ID === undefined)) return 'degraded'
      return status === 'ok'
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
    close: async () => {
      await stop()
      closeDatabase(database)
    },
  })
}

/**
 * The app of `without-auth.ts` behind `apikey()`: a permission named on the route, limits kept, usage counted, every
 * request logged.
 * What differs between the cases comes as JSON in the first argument.
 */
import { Elysia } from 'elysia'
import { apikey, internalsOf, keyRoutes, problems } from '../../src/apikey/index.ts'
import { createLog } from '../../src/lib/log.ts'
import type { AddressSource } from '../../src/lib/request.ts'
import { appConfig, identify, observe, securityHeaders, serve } from '../../src/lib/server.ts'
import { audience, readSettings } from '../settings.ts'
import { answer, costlyPath, path } from './answer.ts'

const { database, issuer, secret, jwksUrl, cacheEntries, tellsAllFailures } = readSettings(
  process.argv[2] ?? '',
)
const log = createLog({ level: 'info', service: 'bench' })
const auth = apikey({
  issuer,
  jwt: jwksUrl === undefined ? { secret } : { jwksUrl },
  audience,
  database,
  roles: { user: ['items:read'], admin: ['items:*', 'api-keys:*'] },
  // Keys are made here by the thousand.
  keysPerOwner: 1_000_000,
  ...(tellsAllFailures === true ? { failures: { perAddress: null, perKey: null } } : {}),
  log,
  ...(cacheEntries === undefined ? {} : { cacheEntries }),
})
const installed = problems({ onUnexpected: error => log.error({ error }, 'unexpected error') })
const app = new Elysia(appConfig)
  .headers(securityHeaders)
  .wrap(observe(log, (): AddressSource => app.server))
  .onRequest(identify)
  .use(installed)
  .use(auth)
  .use(keyRoutes({ auth, problems: installed }))
  .get(path, answer, { permission: 'items:read' })
  .get(costlyPath, answer, { permission: 'items:read', cost: 1 })

serve({
  app,
  host: '127.0.0.1',
  port: 0,
  drainSeconds: 1,
  log,
  lifecycle: { draining: false },
  close: () => internalsOf(auth).stop(),
})

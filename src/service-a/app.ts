import type { Database } from 'bun:sqlite'
import { Elysia } from 'elysia'
import { apikeyProblems, authCheckRoute, internalsOf, keyRoutes } from '../apikey/index.ts'
import type { TrustedProxies } from '../lib/client-address.ts'
import type { Clock } from '../lib/clock.ts'
import { health, type Ready } from '../lib/health.ts'
import type { Log } from '../lib/log.ts'
import { metrics } from '../lib/metrics.ts'
import { apiDescription } from '../lib/openapi.ts'
import type { AddressSource } from '../lib/request.ts'
import { appConfig, identify, type Lifecycle, observe, securityHeaders } from '../lib/server.ts'
import { accountRoutes } from './account.ts'
import { documentRoutes } from './documents.ts'
import { serviceProblems } from './errors.ts'
import type { ServiceGuard } from './guard.ts'
import type { LoginGateway } from './login-gateway.ts'
import { createServiceProblems } from './problems.ts'

export type ServiceDeps = {
  readonly guard: ServiceGuard
  readonly login: LoginGateway
  readonly database: Database
  readonly describeApi: boolean
  readonly metricsToken?: string | undefined
  /** Whose word is taken for where a request comes from. */
  readonly proxies?: TrustedProxies | null
  readonly ready: Ready
  readonly lifecycle: Lifecycle
  readonly clock: Clock
  readonly log: Log
}

/** The app of the role `service-a`. Builds and does nothing: no file, no port, no signal. */
export const createServiceApp = ({
  guard,
  login,
  database,
  describeApi,
  metricsToken,
  proxies = null,
  ready,
  lifecycle,
  clock,
  log,
}: ServiceDeps) => {
  const problems = createServiceProblems(log)
  const description = apiDescription({
    title: 'Latchkey service-a',
    description: 'An example of a service: documents, guarded by access tokens and API keys.',
    apiKeys: true,
    app: () => app,
    codes: Object.keys({ ...apikeyProblems, ...serviceProblems }),
  })

  const app = new Elysia(appConfig)
    .headers(securityHeaders)
    .wrap(observe(log, (): AddressSource => app.server, proxies))
    .onRequest(identify)
    .use(problems)
    .use(describeApi ? description : new Elysia())
    .use(health({ problems, ready, lifecycle }))
    .use(
      metrics({
        problems,
        service: 'service-a',
        token: metricsToken,
        feed: () => internalsOf(guard).feed(),
        keys: {
          usageLost: () => internalsOf(guard).usage().lost(),
          limitOverflows: () => internalsOf(guard).limiter().overflows(),
          cache: internalsOf(guard).cache,
        },
        failures: internalsOf(guard).failures,
      }),
    )
    .use(
      keyRoutes({
        auth: guard,
        problems,
        findOwner: async (ownerId, { headers }) => {
          const authorization = headers.get('authorization') ?? ''
          if (ownerId.startsWith('cli_')) return login.findClient(ownerId, authorization)
          const user = await login.findUser(ownerId, authorization)
          return user?.status === 'active' ? user : null
        },
      }),
    )
    .use(authCheckRoute({ auth: guard, problems }))
    .use(accountRoutes({ problems, guard, login, database }))
    .use(documentRoutes({ problems, guard, database, clock }))
  return app
}

export type ServiceApp = ReturnType<typeof createServiceApp>

import { Elysia } from 'elysia'
import type { Clock } from '../lib/clock.ts'
import { health } from '../lib/health.ts'
import { createVerifier } from '../lib/jwt/verifier.ts'
import type { Log } from '../lib/log.ts'
import { apiDescription } from '../lib/openapi.ts'
import { commonProblems } from '../lib/problem.ts'
import type { AddressSource } from '../lib/request.ts'
import { appConfig, type Lifecycle, observe, securityHeaders } from '../lib/server.ts'
import type { UserStore, Users } from '../userdb/index.ts'
import { loginProblems } from './errors.ts'
import { createLoginGuard } from './guard.ts'
import { jwksRoute } from './jwks.ts'
import { createLoginProblems } from './problems.ts'
import type { SessionStore } from './session-store.ts'
import { sessionRoutes } from './sessions.ts'
import { type SetupTokens, setupRoutes } from './setup.ts'
import type { SigningKeys } from './signing-keys.ts'
import { createAccessTokens } from './tokens.ts'
import { userRoutes } from './users.ts'

export type LoginDeps = {
  readonly users: Users
  readonly userStore: Pick<UserStore, 'findById'>
  readonly sessions: SessionStore
  readonly setup: SetupTokens
  readonly signingKeys: SigningKeys
  readonly issuer: string
  readonly audiences: readonly string[]
  readonly accessTokenSeconds: number
  readonly describeApi: boolean
  readonly ready: () => Promise<boolean>
  readonly lifecycle: Lifecycle
  readonly clock: Clock
  readonly log: Log
}

/** The app of the role `login`. Builds and does nothing: no file, no port, no signal. */
export const createLoginApp = ({
  users,
  userStore,
  sessions,
  setup,
  signingKeys,
  issuer,
  audiences,
  accessTokenSeconds,
  describeApi,
  ready,
  lifecycle,
  clock,
  log,
}: LoginDeps) => {
  const problems = createLoginProblems(log)
  const { signer, source, published } = signingKeys
  const verifier = createVerifier({ keys: source, issuer, audience: issuer, clock })
  const guard = createLoginGuard({ verifier, sessions, users: userStore })
  const tokens = createAccessTokens({ signer, issuer, audiences, lifetimeSeconds: accessTokenSeconds, clock })
  const description = apiDescription({
    title: 'Latchkey login',
    description: 'Sign-in, sessions, access tokens and the management of users.',
    apiKeys: false,
    app: () => app,
    codes: Object.keys({ ...commonProblems, ...loginProblems }),
  })

  const app = new Elysia(appConfig)
    .headers(securityHeaders)
    .wrap(observe(log, (): AddressSource => app.server))
    .use(problems)
    .use(describeApi ? description : new Elysia())
    .use(health({ problems, ready, lifecycle }))
    .use(jwksRoute({ problems, published }))
    .use(sessionRoutes({ problems, users, sessions, tokens }))
    .use(setupRoutes({ problems, users, setup }))
    .use(userRoutes({ problems, guard, users }))
  return app
}

export type LoginApp = ReturnType<typeof createLoginApp>

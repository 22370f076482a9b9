import { Elysia } from 'elysia'
import type { TrustedProxies } from '../lib/client-address.ts'
import type { Clock } from '../lib/clock.ts'
import { health } from '../lib/health.ts'
import { createVerifier } from '../lib/jwt/verifier.ts'
import type { Log } from '../lib/log.ts'
import { metrics } from '../lib/metrics.ts'
import { apiDescription } from '../lib/openapi.ts'
import { commonProblems } from '../lib/problem.ts'
import type { AddressSource } from '../lib/request.ts'
import { appConfig, identify, type Lifecycle, observe, securityHeaders } from '../lib/server.ts'
import type { UserStore, Users } from '../userdb/index.ts'
import { changesRoutes } from './changes.ts'
import type { Polls } from './changes-poll.ts'
import { createClientGuard, judgeClient } from './client-guard.ts'
import { createClientRegistry } from './client-registry.ts'
import { createSecretChecker } from './client-secret.ts'
import type { ClientStore } from './client-store.ts'
import { clientRoutes } from './clients.ts'
import { loginProblems } from './errors.ts'
import type { Feed } from './feed.ts'
import { createFollowers } from './follower-registry.ts'
import { followerRoutes } from './follower-routes.ts'
import { createLoginGuard } from './guard.ts'
import { jwksRoute } from './jwks.ts'
import { metadataRoute } from './metadata.ts'
import { oauthRoutes } from './oauth.ts'
import { createLoginProblems } from './problems.ts'
import type { SessionStore } from './session-store.ts'
import { sessionRoutes } from './sessions.ts'
import { type SetupTokens, setupRoutes } from './setup.ts'
import { signingKeyRoutes } from './signing-key-routes.ts'
import type { SigningKeys } from './signing-keys.ts'
import { createTokenHolders } from './token-holder.ts'
import type { TokenRevocation } from './token-revocation.ts'
import { createAccessTokens } from './tokens.ts'
import { userRoutes } from './users.ts'

export type LoginDeps = {
  readonly users: Users
  readonly userStore: Pick<UserStore, 'findById'>
  readonly sessions: SessionStore
  readonly clients: ClientStore
  readonly revocation: TokenRevocation
  readonly feed: Feed
  readonly polls: Polls
  readonly setup: SetupTokens
  readonly signingKeys: SigningKeys
  readonly issuer: string
  readonly audiences: readonly string[]
  readonly accessTokenSeconds: number
  readonly describeApi: boolean
  readonly metricsToken?: string | undefined
  /** Whose word is taken for where a request comes from. */
  readonly proxies?: TrustedProxies | null
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
  clients,
  revocation,
  feed,
  polls,
  setup,
  signingKeys,
  issuer,
  audiences,
  accessTokenSeconds,
  describeApi,
  metricsToken,
  proxies = null,
  ready,
  lifecycle,
  clock,
  log,
}: LoginDeps) => {
  const problems = createLoginProblems(log)
  const { signer, source, published } = signingKeys
  const verifier = createVerifier({ keys: source, issuer, audience: issuer, clock })
  const holders = createTokenHolders({ sessions, users: userStore, clients, revocation })
  const guard = createLoginGuard({ verifier, holders })
  const clientGuard = createClientGuard({ verifier, holders })
  const followers = createFollowers({ clock })
  const checker = createSecretChecker()
  const registry = createClientRegistry({ store: clients, checker, clock })
  const tokens = createAccessTokens({ signer, issuer, audiences, lifetimeSeconds: accessTokenSeconds, clock })
  const description = apiDescription({
    title: 'Latchkey login',
    description: 'Sign-in, sessions, access tokens, and the management of users and service accounts.',
    apiKeys: false,
    oauth: true,
    app: () => app,
    codes: Object.keys({ ...commonProblems, ...loginProblems }),
  })

  const app = new Elysia(appConfig)
    .headers(securityHeaders)
    .wrap(observe(log, (): AddressSource => app.server, proxies))
    .onRequest(identify)
    .use(problems)
    .use(describeApi ? description : new Elysia())
    .use(health({ problems, ready, lifecycle }))
    .use(metrics({ problems, service: 'login', token: metricsToken }))
    .use(jwksRoute({ problems, published }))
    .use(metadataRoute({ problems, issuer }))
    .use(sessionRoutes({ problems, users, sessions, tokens }))
    .use(
      oauthRoutes({
        clients,
        checker,
        verifier,
        holders,
        sessions,
        users: userStore,
        revocation,
        tokens,
        issuer,
        audiences,
        clock,
        log,
      }),
    )
    .use(setupRoutes({ problems, users, setup }))
    .use(userRoutes({ problems, guard, users }))
    .use(clientRoutes({ problems, guard, store: clients, registry }))
    .use(
      changesRoutes({
        problems,
        clientGuard,
        feed,
        polls,
        followers,
        judge: async request => judgeClient(request, { verifier, holders }),
      }),
    )
    .use(signingKeyRoutes({ problems, guard, signingKeys }))
    .use(followerRoutes({ problems, guard, feed, followers }))
  return app
}

export type LoginApp = ReturnType<typeof createLoginApp>

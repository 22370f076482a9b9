import { Elysia, t } from 'elysia'
import { introspectTokens } from '../lib/changes-schema.ts'
import type { Clock } from '../lib/clock.ts'
import type { TokenVerifier } from '../lib/jwt/verifier.ts'
import type { Log } from '../lib/log.ts'
import { auditContextOf, factsOf } from '../lib/request.ts'
import type { UserStore } from '../userdb/index.ts'
import { createClientAuthentication, requireClient } from './client-authentication.ts'
import type { SecretChecker } from './client-secret.ts'
import type { ClientStore } from './client-store.ts'
import { createAnswerForm, OAuthError, requireOne } from './oauth-error.ts'
import { createIntrospection } from './oauth-introspection.ts'
import {
  ClientTokenAnswer,
  formOperation,
  IntrospectionAnswer,
  IntrospectionForm,
  RevocationForm,
  TokenForm,
} from './oauth-model.ts'
import { createRevocation } from './oauth-revocation.ts'
import { answerTokenRequest, refuseOtherGrants } from './oauth-token.ts'
import type { SessionStore } from './session-store.ts'
import type { TokenHolders } from './token-holder.ts'
import type { TokenRevocation } from './token-revocation.ts'
import type { AccessTokens } from './tokens.ts'

export type OAuthRoutesOptions = {
  readonly clients: Pick<ClientStore, 'find' | 'findCredential'>
  readonly checker: SecretChecker
  readonly verifier: TokenVerifier
  readonly holders: TokenHolders
  readonly sessions: Pick<SessionStore, 'inspect' | 'isLive' | 'signOut'>
  readonly users: Pick<UserStore, 'findById'>
  readonly revocation: TokenRevocation
  readonly tokens: AccessTokens
  readonly issuer: string
  readonly audiences: readonly string[]
  readonly clock: Clock
  readonly log: Log
}

/**
 * What machines sign in by: forms in, and the errors of RFC 6749 out, instead of the JSON and the problems of all other
 * routes. Each answers itself whatever is wrong, and leaves nothing for an error hook to say in another language.
 */
export const oauthRoutes = ({
  clients,
  checker,
  verifier,
  holders,
  sessions,
  users,
  revocation,
  tokens,
  issuer,
  audiences,
  clock,
  log,
}: OAuthRoutesOptions) => {
  const answerForm = createAnswerForm(log)
  const { authenticate } = createClientAuthentication({ store: clients, checker })
  const introspect = createIntrospection({ verifier, holders, sessions, users, issuer, clock })
  const revoke = createRevocation({ verifier, sessions, revocation })

  const routes = new Elysia({ name: 'login/oauth', prefix: '/oauth', tags: ['OAuth'] })
  routes
    .post(
      '/token',
      async ({ request }) =>
        answerForm(request, async form => {
          refuseOtherGrants(form)
          const client = requireClient(await authenticate(request.headers, form))
          factsOf(request).actorId = client.id
          return answerTokenRequest(client, form, { tokens, issuer, audiences, clients, clock })
        }),
      {
        parse: 'none',
        response: { 200: ClientTokenAnswer },
        detail: {
          summary: 'Sign a service account in',
          description: 'RFC 6749 section 4.4. There is no refresh token: ask again.',
          ...formOperation(TokenForm),
        },
      },
    )
    .post(
      '/introspect',
      async ({ request }) =>
        answerForm(request, async form => {
          const client = requireClient(await authenticate(request.headers, form))
          factsOf(request).actorId = client.id
          if (!client.scopes.includes(introspectTokens)) {
            throw new OAuthError('insufficient_scope', `The client lacks the scope ${introspectTokens}.`)
          }
          return introspect(requireOne(form, 'token'))
        }),
      {
        parse: 'none',
        response: { 200: IntrospectionAnswer },
        detail: {
          summary: 'Ask whether a token is good, and for what',
          description: 'RFC 7662. Whatever is not good is `{"active":false}` and no more.',
          ...formOperation(IntrospectionForm),
        },
      },
    )
    .post(
      '/revoke',
      async ({ request, server }) =>
        answerForm(request, async form => {
          const client = await authenticate(request.headers, form)
          if (client !== null) factsOf(request).actorId = client.id
          const context = auditContextOf(request, server, client?.id ?? null)
          await revoke(requireOne(form, 'token'), client, context)
          return {}
        }),
      {
        parse: 'none',
        response: { 200: t.Object({}) },
        detail: {
          summary: 'Revoke a token',
          description:
            'RFC 7009. A refresh token ends its session. Whoever has a user’s token may revoke it; a service account’s is for itself to revoke. The answer is the same for a token that is not good.',
          ...formOperation(RevocationForm, { anonymous: true }),
        },
      },
    )
  // Typed as it was before it had routes: Eden, which sends JSON, does not show them.
  return routes
}

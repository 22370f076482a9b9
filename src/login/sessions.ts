import { Elysia, status, t } from 'elysia'
import { jsonBody } from '../lib/body.ts'
import { Failure } from '../lib/failure.ts'
import { Refusal } from '../lib/problem-answer.ts'
import { auditContextOf } from '../lib/request.ts'
import type { Users } from '../userdb/index.ts'
import type { LoginCode } from './errors.ts'
import { RefreshBody, SignInBody, SignOutBody, TokenAnswer } from './model.ts'
import type { LoginProblems } from './problems.ts'
import type { SessionStore, StartedSession } from './session-store.ts'
import type { AccessTokens } from './tokens.ts'

export type SessionRoutesOptions = {
  readonly problems: LoginProblems
  readonly users: Users
  readonly sessions: SessionStore
  readonly tokens: AccessTokens
}

/** RFC 9110 section 15.5.2: a 401 says how to do better. */
const refuse = (code: LoginCode) => new Refusal<LoginCode>(code, { 'www-authenticate': 'Bearer' })

/** Signing in and out, and staying signed in. Open to anyone: what is asked for is in the body. */
export const sessionRoutes = ({ problems, users, sessions, tokens }: SessionRoutesOptions) => {
  const answer = async (
    { sessionId, refreshToken }: StartedSession,
    user: { id: string; roles: string[] },
  ) => ({
    access_token: await tokens.issue(user, sessionId),
    token_type: 'Bearer' as const,
    expires_in: tokens.lifetime,
    refresh_token: refreshToken,
  })

  return new Elysia({ name: 'login/sessions', prefix: '/auth', tags: ['Sessions'] })
    .use(problems)
    .use(jsonBody())
    .post(
      '/login',
      async ({ body, request, server, set }) => {
        set.headers['cache-control'] = 'no-store'
        const authentication = await users.authenticate(body.email, body.password)
        if (!authentication.ok) throw refuse('credentials_invalid')
        const { user } = authentication
        const session = await sessions.start(user.id, auditContextOf(request, server, user.id))
        if (session === null) throw refuse('credentials_invalid')
        return answer(session, user)
      },
      {
        body: SignInBody,
        response: { 200: TokenAnswer },
        detail: { summary: 'Sign in with email address and password' },
      },
    )
    .post(
      '/refresh',
      async ({ body, request, server, set }) => {
        set.headers['cache-control'] = 'no-store'
        const session = await sessions.refresh(body.refresh_token, auditContextOf(request, server, null))
        if (session === null) throw refuse('refresh_token_invalid')
        const user = await users.get(session.userId).catch((error: unknown) => {
          // Any other failure says nothing about the token.
          if (error instanceof Failure && error.code === 'user_not_found') return null
          throw error
        })
        if (user?.status !== 'active') throw refuse('refresh_token_invalid')
        return answer(session, user)
      },
      {
        body: RefreshBody,
        response: { 200: TokenAnswer },
        detail: {
          summary: 'Trade a refresh token for new tokens',
          description:
            'Each refresh token is good once. Within 10 seconds a second use gets the same successor again; a later one ends the session.',
        },
      },
    )
    .post(
      '/logout',
      async ({ body, request, server }) => {
        await sessions.signOut(
          body.refresh_token,
          body.scope ?? 'local',
          auditContextOf(request, server, null),
        )
        return status(204, undefined)
      },
      {
        body: SignOutBody,
        response: { 204: t.Void() },
        detail: { summary: 'Sign out', description: 'The answer is the same whatever the token.' },
      },
    )
}

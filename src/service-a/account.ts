import type { Database } from 'bun:sqlite'
import { eq } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import { Elysia, status, t } from 'elysia'
import { internalsOf, type Principal } from '../apikey/index.ts'
import type { AuditContext } from '../lib/audit.ts'
import { Failure } from '../lib/failure.ts'
import { auditContextOf } from '../lib/request.ts'
import { retryBusy } from '../lib/sqlite.ts'
import type { ServiceCode } from './errors.ts'
import type { ServiceGuard } from './guard.ts'
import { type LoginGateway, Profile } from './login-gateway.ts'
import type { ServiceProblems } from './problems.ts'
import { documents } from './schema.ts'

const Whoami = t.Object({
  kind: t.Union([t.Literal('user'), t.Literal('service'), t.Literal('key')]),
  ownerId: t.String(),
  permissions: t.Array(t.String()),
  roles: t.Array(t.String()),
  userId: t.Optional(t.String()),
  clientId: t.Optional(t.String()),
  keyId: t.Optional(t.String()),
  sessionId: t.Optional(t.String()),
})

// Its own object: an app that names unknown fields marks the schemas of its routes as closed.
const ProfileView = t.Object(Profile.properties)

const ChangeBody = t.Object(
  // What makes a good name is for `login` to say.
  { displayName: t.Optional(t.Nullable(t.String({ minLength: 1, maxLength: 400 }))) },
  { additionalProperties: false },
)

const toWhoami = ({ permissions, roles, ...principal }: Principal): typeof Whoami.static => ({
  ...principal,
  permissions: [...permissions],
  roles: [...roles],
})

/** @throws Failure `login_bad_answer` for the profile of anybody but the caller. */
const own = ({ ownerId }: Principal, profile: Profile): Profile => {
  if (profile.id === ownerId) return profile
  throw new Failure<ServiceCode>('login_bad_answer', { cause: new Error('the answer is about another user') })
}

export type AccountOptions = {
  readonly problems: ServiceProblems
  readonly guard: ServiceGuard
  readonly login: LoginGateway
  readonly database: Database
}

/** The caller, and their account on `login`, to which the caller's own token is passed on. */
export const accountRoutes = ({ problems, guard, login, database }: AccountOptions) => {
  const db = drizzle({ client: database })
  // The guard let the request in by this header, so it is there.
  const authorizationOf = ({ headers }: Request): string => headers.get('authorization') ?? ''

  const clear = async (ownerId: string, context: AuditContext): Promise<void> => {
    await internalsOf(guard).store().revokeOwned(ownerId, context)
    await retryBusy(() => db.delete(documents).where(eq(documents.ownerId, ownerId)).run())
  }

  // The caller can't ask again, their token is dead on `login`; so what failed here is tried for ten minutes.
  const keepClearing = async (ownerId: string, context: AuditContext): Promise<void> => {
    for (let tries = 0; tries < 600; tries += 1) {
      await Bun.sleep(1_000)
      const isDone = await clear(ownerId, context).then(
        () => true,
        () => false,
      )
      if (isDone) return
    }
  }

  return new Elysia({ name: 'service-a/account', tags: ['Account'] })
    .use(problems)
    .use(guard)
    .get('/whoami', ({ principal }) => toWhoami(principal), {
      permission: 'any',
      response: { 200: Whoami },
      detail: { summary: 'Who the credential stands for, and what it may do' },
    })
    .get(
      '/account',
      async ({ principal, request }) => own(principal, await login.ownProfile(authorizationOf(request))),
      {
        permission: 'any',
        credential: 'jwt',
        response: { 200: ProfileView },
        detail: { summary: 'Read one’s profile' },
      },
    )
    .patch(
      '/account',
      async ({ principal, request, body }) =>
        own(principal, await login.changeOwnProfile(body, authorizationOf(request))),
      {
        permission: 'any',
        credential: 'jwt',
        body: ChangeBody,
        response: { 200: ProfileView },
        detail: { summary: 'Change one’s profile' },
      },
    )
    .delete(
      '/account',
      async ({ principal: { ownerId }, request, server }) => {
        // First there: once it is closed nobody can sign in, and what is left here can be cleared at leisure.
        await login.closeOwnAccount(authorizationOf(request))
        const context = auditContextOf(request, server, ownerId)
        await clear(ownerId, context).catch((error: unknown) => {
          void keepClearing(ownerId, context)
          throw error
        })
        return status(204, undefined)
      },
      {
        permission: 'any',
        credential: 'jwt',
        response: { 204: t.Void() },
        detail: { summary: 'Close one’s account; keys are revoked and documents deleted' },
      },
    )
}

import { Elysia, t } from 'elysia'
import { isoTime, isoTimeOrNull } from '../lib/clock.ts'
import { auditContextOf } from '../lib/request.ts'
import type { LoginGuard } from './guard.ts'
import type { LoginProblems } from './problems.ts'
import type { SigningKeyEntry, SigningKeys } from './signing-keys.ts'

const SigningKeyView = t.Object(
  {
    kid: t.String(),
    algorithm: t.Literal('ES256'),
    state: t.Union([t.Literal('active'), t.Literal('revoked')]),
    createdAt: t.String({ format: 'date-time' }),
    revokedAt: t.Nullable(t.String({ format: 'date-time' })),
  },
  { title: 'SigningKey' },
)

/** Every member is named, so that a private one stays inside. */
const toView = ({ kid, algorithm, state, createdAt, revokedAt }: SigningKeyEntry) => ({
  kid,
  algorithm,
  state,
  createdAt: isoTime(createdAt),
  revokedAt: isoTimeOrNull(revokedAt),
})

export type SigningKeyRoutesOptions = {
  readonly problems: LoginProblems
  readonly guard: LoginGuard
  readonly signingKeys: Pick<SigningKeys, 'list' | 'revoke'>
}

/** The keys that tokens are signed with, for administrators. */
export const signingKeyRoutes = ({ problems, guard, signingKeys }: SigningKeyRoutesOptions) =>
  new Elysia({ name: 'login/signing-keys', prefix: '/signing-keys', tags: ['Keys'] })
    .use(problems)
    .use(guard)
    .get('', () => ({ items: signingKeys.list().map(toView) }), {
      permission: 'signing-keys:manage',
      response: { 200: t.Object({ items: t.Array(SigningKeyView) }) },
      detail: {
        summary: 'List the signing keys, newest first',
        description: 'Empty where services share a secret with this one.',
      },
    })
    .post(
      '/:kid/revoke',
      async ({ principal, params, request, server }) =>
        toView(await signingKeys.revoke(params.kid, auditContextOf(request, server, principal.userId))),
      {
        permission: 'signing-keys:manage',
        response: { 200: SigningKeyView },
        detail: {
          summary: 'Revoke a signing key',
          description:
            'Nothing that it signed is good from now on: everybody has to refresh their access token. A new key signs in its place.',
        },
      },
    )

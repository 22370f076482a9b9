import { defaultBodyLimits } from '../lib/body.ts'
import { readCredential } from '../lib/credential.ts'
import { createGuard, type Outcome } from '../lib/guard.ts'
import type { TokenVerifier } from '../lib/jwt/verifier.ts'
import { permissionsOf, type RolePermissions } from '../lib/permission.ts'
import { Refusal } from '../lib/problem.ts'
import type { UserStore } from '../userdb/index.ts'
import { type LoginCode, loginProblems } from './errors.ts'
import type { SessionStore } from './session-store.ts'

/** A signed-in user, as the database knows them now. */
export type LoginPrincipal = {
  readonly kind: 'user'
  readonly ownerId: string
  readonly userId: string
  readonly sessionId: string
  readonly roles: readonly string[]
  readonly permissions: readonly string[]
}

/** What a role may do on `login` beyond one's own account. */
const rolePermissions = { admin: ['users:manage'] } as const satisfies RolePermissions

const refuse = (code: LoginCode): Outcome<LoginPrincipal> => {
  const { status } = loginProblems[code]
  const challenge = status === 400 ? 'Bearer' : 'Bearer error="invalid_token"'
  return { ok: false, refusal: new Refusal(code, { 'www-authenticate': challenge }) }
}

export type LoginGuardOptions = {
  readonly verifier: TokenVerifier
  readonly sessions: Pick<SessionStore, 'isLive'>
  readonly users: Pick<UserStore, 'findById'>
}

/**
 * Guards the routes of users. A token says who calls and no more: whether the session goes on, whether the user may
 * sign in, and what they may do is asked of the database each time, since a shared secret lets others sign too.
 */
export const createLoginGuard = ({ verifier, sessions, users }: LoginGuardOptions) =>
  createGuard<LoginPrincipal, 'users:manage'>({
    name: 'login',
    table: loginProblems,
    body: defaultBodyLimits,
    otherBodies: false,
    authenticate: async ({ headers }) => {
      const presented = readCredential(headers, () => false)
      if (presented.kind === 'refused') return refuse(presented.code)
      if (presented.kind === 'key') return refuse('credential_unsupported')
      const verification = await verifier.verify(presented.token)
      if (!verification.ok) return refuse(verification.code)
      const { sub, sid } = verification.claims
      if (sid === undefined || !(await sessions.isLive(sid, sub))) return refuse('token_invalid')
      const user = await users.findById(sub)
      if (user?.status !== 'active') return refuse('token_invalid')
      return {
        ok: true,
        principal: {
          kind: 'user',
          ownerId: user.id,
          userId: user.id,
          sessionId: sid,
          roles: user.roles,
          permissions: permissionsOf(rolePermissions, user.roles),
        },
      }
    },
  })

export type LoginGuard = ReturnType<typeof createLoginGuard>

import { defaultBodyLimits } from '../lib/body.ts'
import { readCredential } from '../lib/credential.ts'
import { createGuard, type Outcome } from '../lib/guard.ts'
import type { AccessTokenClaims } from '../lib/jwt/claims.ts'
import type { TokenVerifier } from '../lib/jwt/verifier.ts'
import { permissionsOf, type RolePermissions } from '../lib/permission.ts'
import { Refusal } from '../lib/problem-answer.ts'
import { type LoginCode, loginProblems } from './errors.ts'
import type { TokenHolder, TokenHolders } from './token-holder.ts'

/** A signed-in user, as the database knows them now. */
export type LoginPrincipal = {
  readonly kind: 'user'
  readonly ownerId: string
  readonly userId: string
  readonly sessionId: string
  readonly roles: readonly string[]
  readonly permissions: readonly string[]
}

export type LoginPermission = 'users:manage' | 'clients:manage' | 'signing-keys:manage' | 'changes:inspect'

/** What a role may do on `login` beyond one's own account. */
const rolePermissions = {
  admin: ['users:manage', 'clients:manage', 'signing-keys:manage', 'changes:inspect'],
} as const satisfies RolePermissions<LoginPermission>

type Refused = { readonly ok: false; readonly refusal: Refusal }

const refuse = (code: LoginCode): Refused => {
  const { status } = loginProblems[code]
  const challenge = status === 400 ? 'Bearer' : 'Bearer error="invalid_token"'
  return { ok: false, refusal: new Refusal(code, { 'www-authenticate': challenge }) }
}

/** For a token that is good, at a door that its holder has no business at. */
export const refuseHolder = (): Refused => ({
  ok: false,
  refusal: new Refusal<LoginCode>('insufficient_permission', {
    'www-authenticate': 'Bearer error="insufficient_scope"',
  }),
})

export type LoginGuardOptions = {
  readonly verifier: TokenVerifier
  readonly holders: TokenHolders
}

/** Whoever the one access token of a request speaks for, and what it says; or why nobody. */
export const judgeToken = async (
  { headers }: Request,
  { verifier, holders }: LoginGuardOptions,
): Promise<
  Refused | { readonly ok: true; readonly holder: TokenHolder; readonly claims: AccessTokenClaims }
> => {
  const presented = readCredential(headers, () => false)
  if (presented.kind === 'refused') return refuse(presented.code)
  if (presented.kind === 'key') return refuse('credential_unsupported')
  const verification = await verifier.verify(presented.text)
  if (!verification.ok) return refuse(verification.code)
  const { claims } = verification
  const holder = await holders.find(claims)
  return holder === null ? refuse('token_invalid') : { ok: true, holder, claims }
}

/** Guards the routes of users. A service account's token is good, and yet holds no right over users. */
export const createLoginGuard = (options: LoginGuardOptions) =>
  createGuard<LoginPrincipal, LoginPermission>({
    name: 'login',
    table: loginProblems,
    body: defaultBodyLimits,
    otherBodies: false,
    authenticate: async (request): Promise<Outcome<LoginPrincipal>> => {
      const judged = await judgeToken(request, options)
      if (!judged.ok) return judged
      const { holder } = judged
      if (holder.kind !== 'user') return refuseHolder()
      const { user, sessionId } = holder
      return {
        ok: true,
        principal: {
          kind: 'user',
          ownerId: user.id,
          userId: user.id,
          sessionId,
          roles: user.roles,
          permissions: permissionsOf(rolePermissions, user.roles),
        },
      }
    },
  })

export type LoginGuard = ReturnType<typeof createLoginGuard>

import { defaultBodyLimits } from '../lib/body.ts'
import { createGuard, type Outcome } from '../lib/guard.ts'
import { ownScopes } from './client-model.ts'
import { loginProblems } from './errors.ts'
import { judgeToken, type LoginGuardOptions, refuseHolder } from './guard.ts'

/** A service account that calls `login` by a token of its own. */
export type ClientPrincipal = {
  readonly kind: 'service'
  readonly ownerId: string
  readonly clientId: string
  /** What both its token and its registration name, of what clients can hold here at all. */
  readonly permissions: readonly string[]
  readonly roles: readonly string[]
}

/** The service account behind a request, as it is now; or why it is none. Asked again where an answer took long. */
export const judgeClient = async (
  request: Request,
  options: LoginGuardOptions,
): Promise<Outcome<ClientPrincipal>> => {
  const judged = await judgeToken(request, options)
  if (!judged.ok) return judged
  const { holder, claims } = judged
  if (holder.kind !== 'client') return refuseHolder()
  const { id, scopes } = holder.client
  const inToken = claims.scope?.split(' ') ?? []
  return {
    ok: true,
    principal: {
      kind: 'service',
      ownerId: id,
      clientId: id,
      permissions: ownScopes.filter(scope => inToken.includes(scope) && scopes.includes(scope)),
      roles: [],
    },
  }
}

/** Guards the routes of service accounts. A user's token is good, and yet of no use here, whatever their roles. */
export const createClientGuard = (options: LoginGuardOptions) =>
  createGuard<ClientPrincipal, (typeof ownScopes)[number]>({
    name: 'login-client',
    table: loginProblems,
    body: defaultBodyLimits,
    otherBodies: false,
    authenticate: async request => judgeClient(request, options),
  })

export type ClientGuard = ReturnType<typeof createClientGuard>

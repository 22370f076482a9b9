import type { Clock } from '../lib/clock.ts'
import type { TokenVerifier } from '../lib/jwt/verifier.ts'
import type { UserStore } from '../userdb/index.ts'
import type { SessionStore } from './session-store.ts'
import type { TokenHolders } from './token-holder.ts'
import { firstPartyClientId } from './tokens.ts'

export type IntrospectionOptions = {
  readonly verifier: TokenVerifier
  readonly holders: TokenHolders
  readonly sessions: Pick<SessionStore, 'inspect'>
  readonly users: Pick<UserStore, 'findById'>
  readonly issuer: string
  readonly clock: Clock
}

/** Members as RFC 7662 section 2.2 names them; of a token that is not active, `active` alone. */
export type Introspection = {
  readonly active: boolean
  readonly scope?: string
  readonly client_id?: string
  readonly token_type?: 'Bearer'
  readonly exp?: number
  readonly iat?: number
  readonly sub?: string
  readonly aud?: string | string[]
  readonly iss?: string
  readonly jti?: string
}

/** Says nothing of why: the caller may have guessed the token (RFC 7662 section 4). */
const inactive: Introspection = { active: false }

/** What a token is good for now, asked by a service that can't or won't judge it by itself. */
export const createIntrospection = ({
  verifier,
  holders,
  sessions,
  users,
  issuer,
  clock,
}: IntrospectionOptions) => {
  const ofAccessToken = async (token: string): Promise<Introspection> => {
    const verification = await verifier.verify(token)
    if (!verification.ok) return inactive
    const { iss, sub, aud, exp, iat, jti, client_id, scope } = verification.claims
    // Verifiers bear with clocks that differ; this one is asked about its own.
    if (exp * 1_000 <= clock()) return inactive
    const holder = await holders.find(verification.claims)
    if (holder === null) return inactive
    const scopes =
      holder.kind === 'client' ? scope?.split(' ').filter(each => holder.client.scopes.includes(each)) : []
    return {
      active: true,
      ...(scopes === undefined || scopes.length === 0 ? {} : { scope: scopes.join(' ') }),
      client_id,
      token_type: 'Bearer',
      exp,
      iat,
      sub,
      aud,
      iss,
      jti,
    }
  }

  const ofRefreshToken = async (token: string): Promise<Introspection | null> => {
    const session = await sessions.inspect(token)
    if (session === null) return null
    const user = await users.findById(session.userId)
    if (user?.status !== 'active') return inactive
    return {
      active: true,
      client_id: firstPartyClientId,
      exp: Math.floor(session.expiresAt / 1_000),
      iat: Math.floor(session.refreshedAt / 1_000),
      sub: user.id,
      iss: issuer,
    }
  }

  /** `token_type_hint` could only save a look that costs little, so it is not asked for (section 2.1). */
  return async (token: string): Promise<Introspection> =>
    (await ofRefreshToken(token)) ?? (await ofAccessToken(token))
}

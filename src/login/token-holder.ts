import type { AccessTokenClaims } from '../lib/jwt/claims.ts'
import type { User, UserStore } from '../userdb/index.ts'
import type { Client } from './client-model.ts'
import type { ClientStore } from './client-store.ts'
import type { SessionStore } from './session-store.ts'
import type { TokenRevocation } from './token-revocation.ts'

/** Whoever an access token speaks for, as the database knows them now. */
export type TokenHolder =
  | { readonly kind: 'user'; readonly user: User; readonly sessionId: string }
  | { readonly kind: 'client'; readonly client: Client }

export type TokenHolders = {
  /**
   * Null where the token is good by itself and yet no more: revoked, session over, its holder disabled or gone, or
   * issued before all of its holder's tokens were ended.
   */
  find(claims: AccessTokenClaims): Promise<TokenHolder | null>
}

export type TokenHoldersOptions = {
  readonly sessions: Pick<SessionStore, 'isLive'>
  readonly users: Pick<UserStore, 'findById'>
  readonly clients: Pick<ClientStore, 'find'>
  readonly revocation: Pick<TokenRevocation, 'isRevoked'>
}

/**
 * A token says who calls and no more. Everything else is asked of the database each time, since where a secret is
 * shared others sign too: whether the session goes on, and whether the user or client is active.
 */
export const createTokenHolders = ({
  sessions,
  users,
  clients,
  revocation,
}: TokenHoldersOptions): TokenHolders => ({
  find: async ({ sub, sid, jti, iat, client_id: clientId }) => {
    if (await revocation.isRevoked(jti)) return null
    if (sid !== undefined) {
      if (!(await sessions.isLive(sid, sub))) return null
      const user = await users.findById(sub)
      return user?.status === 'active' ? { kind: 'user', user, sessionId: sid } : null
    }
    // RFC 9068 section 2.2: of a client by itself, `sub` is the client.
    if (sub !== clientId) return null
    const client = await clients.find(sub)
    if (client?.status !== 'active' || iat < (client.tokensSince ?? 0)) return null
    return { kind: 'client', client }
  },
})

import type { AuditContext } from '../lib/audit.ts'
import { clockLeewaySeconds, type TokenVerifier } from '../lib/jwt/verifier.ts'
import type { Client } from './client-model.ts'
import { OAuthError } from './oauth-error.ts'
import type { SessionStore } from './session-store.ts'
import type { TokenRevocation } from './token-revocation.ts'

export type RevocationOptions = {
  readonly verifier: TokenVerifier
  readonly sessions: Pick<SessionStore, 'isLive' | 'signOut'>
  readonly revocation: TokenRevocation
}

/** Ids of tokens that are made here are UUIDs; the cursors of the change feed have room for these. */
const tokenIdForm = /^[!-~]{1,96}$/

/**
 * Revokes a token as of RFC 7009: a refresh token ends its session, an access token alone is refused from now on (but
 * one of many that were revoked of a session ends it, which section 2 leaves to us). Of
 * a user's token possession is enough, since what signed them in is a public client; a client's token is for that
 * client to revoke (section 2.1). What is dead already, or was never a token, is as revoked as can be (section 2.2).
 *
 * @throws OAuthError `invalid_client`
 */
export const createRevocation =
  ({ verifier, sessions, revocation }: RevocationOptions) =>
  async (token: string, caller: Client | null, context: AuditContext): Promise<void> => {
    await sessions.signOut(token, 'local', context)
    const verification = await verifier.verify(token)
    if (!verification.ok) return
    const { jti, sub, sid, exp } = verification.claims
    if (sid === undefined && caller?.id !== sub) {
      throw new OAuthError('invalid_client', 'Only the client that the token belongs to may revoke it.')
    }
    // A session that is over does not come back.
    if (sid !== undefined && !(await sessions.isLive(sid, sub))) return
    // Where a secret is shared somebody else may sign with ids that services could not take.
    if (!tokenIdForm.test(jti)) return
    const expiresAt = (exp + clockLeewaySeconds) * 1_000
    await revocation.revoke(
      { tokenId: jti, subjectId: sub, sessionId: sid ?? null, expiresAt },
      { ...context, actorId: caller?.id ?? sub },
    )
  }

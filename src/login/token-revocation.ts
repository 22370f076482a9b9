import type { Database } from 'bun:sqlite'
import { and, eq, isNull, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import type { AuditContext } from '../lib/audit.ts'
import { changeTypes } from '../lib/changes-schema.ts'
import type { Clock } from '../lib/clock.ts'
import { clockLeewaySeconds, latestExpiry } from '../lib/jwt/verifier.ts'
import { retryBusy } from '../lib/sqlite.ts'
import type { UserTransaction } from '../userdb/index.ts'
import { writeAudit } from './audit.ts'
import type { ChangeLog } from './change-log.ts'
import { revokedTokens, sessions } from './schema.ts'
import { endedSession, endSession } from './session-endings.ts'

/**
 * Access tokens that may be revoked of one session. Each is a row here and one at every service, and whoever has the
 * session can refresh for as many as they like; one more ends the session, which is a single row.
 */
export const maxRevokedTokens = 20

export type RevokedToken = {
  readonly tokenId: string
  readonly subjectId: string
  /** Null for a token of a service account. */
  readonly sessionId: string | null
  /** When nobody takes the token any more, milliseconds since the epoch. */
  readonly expiresAt: number
}

/** Access tokens that were revoked before they expired, by `jti`: the text of a token has several spellings. */
export type TokenRevocation = {
  isRevoked(tokenId: string): Promise<boolean>
  /** Does nothing a second time, nor to a session that is over. Of a session with many of them it ends the session. */
  revoke(token: RevokedToken, context: AuditContext): Promise<void>
}

export type TokenRevocationOptions = {
  readonly database: Database
  readonly clock: Clock
  readonly changes: Pick<ChangeLog, 'append'>
}

export const createTokenRevocation = ({
  database,
  clock,
  changes,
}: TokenRevocationOptions): TokenRevocation => {
  const db = drizzle({ client: database })
  const byId = db
    .select({ id: revokedTokens.id })
    .from(revokedTokens)
    .where(eq(revokedTokens.id, sql.placeholder('id')))
    .prepare()

  /** Counts one more; undefined where the session is over. */
  const countToken = (tx: UserTransaction, sessionId: string) =>
    tx
      .update(sessions)
      .set({ revokedTokens: sql`${sessions.revokedTokens} + 1` })
      .where(and(eq(sessions.id, sessionId), isNull(sessions.endedAt)))
      .returning({ ...endedSession, userId: sessions.userId, revokedTokens: sessions.revokedTokens })
      .get()

  return {
    isRevoked: async tokenId => byId.get({ id: tokenId }) !== undefined,

    revoke: ({ tokenId, subjectId, sessionId, expiresAt }, context) =>
      retryBusy(() =>
        db.transaction(
          tx => {
            if (byId.get({ id: tokenId }) !== undefined) return
            const at = clock()
            if (sessionId !== null) {
              const session = countToken(tx, sessionId)
              if (session === undefined) return
              if (session.revokedTokens > maxRevokedTokens) {
                endSession(changes, tx, { session, reason: 'tokens_revoked', at }, context)
                return
              }
            }
            // No later than any token can end that is good now: the row is not to stay for ever, whoever signed it.
            const until = Math.min(expiresAt, (latestExpiry(at) + clockLeewaySeconds) * 1_000)
            tx.insert(revokedTokens).values({ id: tokenId, expiresAt: until }).run()
            writeAudit(tx, { at, action: 'token.revoked', subjectId, detail: { tokenId } }, context)
            changes.append(tx, [{ type: changeTypes.tokenRevoked, at, subjectId, tokenId, expiresAt: until }])
          },
          { behavior: 'immediate' },
        ),
      ),
  }
}

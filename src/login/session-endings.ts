import { and, eq, gt, sql } from 'drizzle-orm'
import type { AuditContext } from '../lib/audit.ts'
import { changeTypes, longestTokenSeconds } from '../lib/changes-schema.ts'
import type { UserTransaction } from '../userdb/index.ts'
import { writeAudit } from './audit.ts'
import type { ChangeLog } from './change-log.ts'
import { sessions } from './schema.ts'

/**
 * How long the access tokens of a session may live after its last refresh, or after its end, milliseconds. The minute
 * is for answers that were under way, for the grace of a refresh, and for clocks that differ.
 */
const tokenMilliseconds = longestTokenSeconds * 1_000 + 60_000

export type EndReason =
  | 'signed_out'
  | 'refresh_token_reused'
  | 'tokens_revoked'
  | 'user_disabled'
  | 'user_deleted'
  | 'password_changed'

/** What has to be known of a session that ended. */
export const endedSession = { id: sessions.id, refreshedAt: sessions.refreshedAt }
export type EndedSession = { readonly id: string; readonly refreshedAt: number }

/** When nothing of a session that ended at this time is good any more, milliseconds since the epoch. */
export const endingExpiry = (endedAt: number): number => endedAt + tokenMilliseconds

/** Those that ended and may have access tokens that live, as of a time: what a snapshot of the feed tells of sessions. */
export const haveTokens = (now: number) =>
  and(
    gt(sessions.endedAt, now - tokenMilliseconds),
    gt(sessions.refreshedAt, sql`${sessions.endedAt} - ${tokenMilliseconds}`),
  )

/** Tells the feed of the sessions of a user that ended, inside the transaction in which they do. */
export const appendEndings = (
  changes: Pick<ChangeLog, 'append'>,
  tx: UserTransaction,
  userId: string,
  ended: readonly EndedSession[],
  at: number,
): void => {
  const rows = ended
    // The tokens of the others have expired, and a user may have many that nobody used for days.
    .filter(({ refreshedAt }) => refreshedAt > at - tokenMilliseconds)
    .map(({ id }) => ({
      type: changeTypes.sessionRevoked,
      at,
      subjectId: userId,
      sessionId: id,
      expiresAt: endingExpiry(at),
    }))
  changes.append(tx, rows)
}

export type SessionEnding = {
  readonly session: EndedSession & { readonly userId: string }
  readonly reason: EndReason
  readonly at: number
}

/** Ends one session, with its audit row and the row of the feed, inside a transaction. */
export const endSession = (
  changes: Pick<ChangeLog, 'append'>,
  tx: UserTransaction,
  { session: { id, userId, refreshedAt }, reason, at }: SessionEnding,
  context: AuditContext,
): void => {
  tx.update(sessions).set({ endedAt: at, endReason: reason }).where(eq(sessions.id, id)).run()
  writeAudit(
    tx,
    { at, action: 'session.ended', subjectId: userId, detail: { sessionId: id, reason } },
    context,
  )
  appendEndings(changes, tx, userId, [{ id, refreshedAt }], at)
}

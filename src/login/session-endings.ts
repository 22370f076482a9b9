import { and, gt, sql } from 'drizzle-orm'
import { changeTypes, longestTokenSeconds } from '../lib/changes-schema.ts'
import type { UserTransaction } from '../userdb/index.ts'
import type { ChangeLog } from './change-log.ts'
import { sessions } from './schema.ts'

/**
 * How long the access tokens of a session may live after its last refresh, or after its end, milliseconds. The minute
 * is for answers that were under way, for the grace of a refresh, and for clocks that differ.
 */
const tokenMilliseconds = longestTokenSeconds * 1_000 + 60_000

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
  changes: ChangeLog,
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

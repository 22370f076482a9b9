import type { Database } from 'bun:sqlite'
import { and, eq, gt, isNull, ne, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import type { AuditContext } from '../lib/audit.ts'
import type { Clock } from '../lib/clock.ts'
import { createId } from '../lib/id.ts'
import { retryBusy } from '../lib/sqlite.ts'
import { isActiveUser, type UserTransaction } from '../userdb/index.ts'
import { writeAudit } from './audit.ts'
import type { ChangeLog } from './change-log.ts'
import {
  createRefreshKey,
  isAuthentic,
  type RefreshToken,
  readRefreshToken,
  writeRefreshToken,
} from './refresh-token.ts'
import { sessions } from './schema.ts'
import {
  appendEndings,
  type EndedSession,
  type EndReason,
  endedSession,
  endSession,
} from './session-endings.ts'

/** A session lives this long without a refresh (NIST SP 800-63B section 2.2.3 leaves it to the service)... */
export const idleMilliseconds = 14 * 86_400_000
/** ...and this long in all. */
export const absoluteMilliseconds = 30 * 86_400_000
/** How long the token before the last one gets the last one again: racing tabs, and answers that got lost. */
export const graceMilliseconds = 10_000

/** Which sessions a sign-out ends: this one, the user's others, or all. */
export type SignOutScope = 'local' | 'others' | 'global'

export type StartedSession = {
  readonly sessionId: string
  readonly userId: string
  readonly refreshToken: string
}

export type InspectedSession = {
  readonly userId: string
  /** When the token was given out, and until when it is good if it is not traded; milliseconds since the epoch. */
  readonly refreshedAt: number
  readonly expiresAt: number
}

export type SessionStore = {
  /** Null for a user who may not sign in, or not any more: their password was being checked meanwhile. */
  start(userId: string, context: AuditContext): Promise<StartedSession | null>
  /** Whether a session of this user goes on. */
  isLive(sessionId: string, userId: string): Promise<boolean>
  /**
   * Trades a refresh token for its successor; null for one that is not good. A token that was traded before, longer
   * ago than the grace, ends its session: somebody else has a copy (RFC 9700 section 4.14.2).
   */
  refresh(refreshToken: string, context: AuditContext): Promise<StartedSession | null>
  /** The session that a refresh token is good for now, null for a bad one. Neither trades it nor ends anything. */
  inspect(refreshToken: string): Promise<InspectedSession | null>
  /** Ends what the scope says; an unknown or dead token ends nothing. */
  signOut(refreshToken: string, scope: SignOutScope, context: AuditContext): Promise<void>
}

/** Ends every session of a user, inside the transaction of the change that asks for it; which those were. */
export const endSessions = (
  tx: UserTransaction,
  userId: string,
  reason: EndReason,
  at: number,
): EndedSession[] =>
  tx
    .update(sessions)
    .set({ endedAt: at, endReason: reason })
    .where(and(eq(sessions.userId, userId), isNull(sessions.endedAt)))
    .returning(endedSession)
    .all()

export const createSqliteSessionStore = ({
  database,
  clock,
  changes,
}: {
  database: Database
  clock: Clock
  changes: ChangeLog
}): SessionStore => {
  const db = drizzle({ client: database })
  const write = <Result>(decide: (tx: UserTransaction) => Result): Promise<Result> =>
    retryBusy(() => db.transaction(decide, { behavior: 'immediate' }))

  type Session = typeof sessions.$inferSelect

  const isOver = ({ endedAt, expiresAt, refreshedAt }: Session, now: number): boolean =>
    endedAt !== null || expiresAt <= now || refreshedAt + idleMilliseconds <= now

  // On the path of every request to a guarded route.
  const byId = db
    .select()
    .from(sessions)
    .where(eq(sessions.id, sql.placeholder('id')))
    .prepare()

  /** The session that a token is an authentic one of, and whether it is the last. */
  const find = (tx: UserTransaction, token: RefreshToken): { session: Session; behind: number } | null => {
    const session = tx.select().from(sessions).where(eq(sessions.id, token.sessionId)).get()
    if (!session || isOver(session, clock()) || !isAuthentic(token, session.refreshKey)) return null
    return { session, behind: session.refreshCounter - token.counter }
  }

  /** Whether a token was traded before, and longer ago than a lost answer or a second tab would explain. */
  const isReused = ({ session, behind }: { session: Session; behind: number }, now: number): boolean =>
    behind > 1 || (behind === 1 && now - session.refreshedAt > graceMilliseconds)

  const started = ({ id, userId, refreshKey }: Session, counter: number): StartedSession => ({
    sessionId: id,
    userId,
    refreshToken: writeRefreshToken(id, counter, refreshKey),
  })

  return {
    start: (userId, context) =>
      write(tx => {
        if (!isActiveUser(tx, userId)) return null
        const now = clock()
        const session = tx
          .insert(sessions)
          .values({
            id: createId('ses', clock),
            userId,
            refreshKey: createRefreshKey(),
            refreshCounter: 0,
            refreshedAt: now,
            createdAt: now,
            expiresAt: now + absoluteMilliseconds,
          })
          .returning()
          .get()
        const detail = { sessionId: session.id }
        writeAudit(
          tx,
          { at: now, action: 'session.started', subjectId: userId, detail },
          { ...context, actorId: userId },
        )
        return started(session, 0)
      }),

    isLive: async (sessionId, userId) => {
      const session = byId.get({ id: sessionId })
      return session !== undefined && session.userId === userId && !isOver(session, clock())
    },

    refresh: async (refreshToken, context) => {
      // Garbage takes no lock of the database.
      const token = readRefreshToken(refreshToken)
      if (token === null) return null
      return write(tx => {
        const found = find(tx, token)
        if (found === null) return null
        const { session, behind } = found
        const now = clock()
        if (behind === 0) {
          const counter = session.refreshCounter + 1
          tx.update(sessions)
            .set({ refreshCounter: counter, refreshedAt: now })
            .where(eq(sessions.id, session.id))
            .run()
          return started(session, counter)
        }
        // Committed, and refused: the session must be over even though nothing is given out.
        if (isReused(found, now)) {
          endSession(changes, tx, { session, reason: 'refresh_token_reused', at: now }, context)
          return null
        }
        return started(session, session.refreshCounter)
      })
    },

    inspect: async refreshToken => {
      const token = readRefreshToken(refreshToken)
      if (token === null) return null
      const session = byId.get({ id: token.sessionId })
      const now = clock()
      if (!session || isOver(session, now) || !isAuthentic(token, session.refreshKey)) return null
      if (isReused({ session, behind: session.refreshCounter - token.counter }, now)) return null
      const { userId, refreshedAt, expiresAt } = session
      return { userId, refreshedAt, expiresAt: Math.min(expiresAt, refreshedAt + idleMilliseconds) }
    },

    signOut: async (refreshToken, scope, context) => {
      const token = readRefreshToken(refreshToken)
      if (token === null) return
      return write(tx => {
        const found = find(tx, token)
        if (found === null) return
        const { id, userId } = found.session
        // A token that was traded long ago may be a stolen one: it ends its own session and no other.
        const isStale = isReused(found, clock())
        const mine = and(eq(sessions.userId, userId), isNull(sessions.endedAt))
        const chosen =
          isStale || scope === 'local'
            ? and(mine, eq(sessions.id, id))
            : scope === 'others'
              ? and(mine, ne(sessions.id, id))
              : mine
        const now = clock()
        const reason: EndReason = isStale ? 'refresh_token_reused' : 'signed_out'
        // One statement however many there are: nothing else is served meanwhile.
        const ended = tx
          .update(sessions)
          .set({ endedAt: now, endReason: reason })
          .where(and(chosen, gt(sessions.expiresAt, now)))
          .returning(endedSession)
          .all()
        if (ended.length === 0) return
        const detail = { sessionId: id, reason, scope: isStale ? 'local' : scope, sessions: ended.length }
        writeAudit(
          tx,
          { at: now, action: 'session.ended', subjectId: userId, detail },
          { ...context, actorId: userId },
        )
        appendEndings(changes, tx, userId, ended, now)
      })
    },
  }
}

import type { Database } from 'bun:sqlite'
import { and, eq, gt, inArray, isNull, lt, or, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import { bySystem } from '../lib/audit.ts'
import type { Clock } from '../lib/clock.ts'
import { retryBusy } from '../lib/sqlite.ts'
import type { KeyEvent } from './events.ts'
import { apiKeys, apikeyAudit, endedCredentials, feedPosition, subjects } from './schema.ts'
import type { Subject } from './subjects-memory.ts'

/** A subject to write, and what goes with it. */
export type UnsavedSubject = Subject & {
  /** Whether its keys are revoked along with it: it is gone, and will not come back. */
  readonly revokesKeys: boolean
  /** What it was before a snapshot made it active again. */
  readonly restoredFrom: 'disabled' | 'deleted' | null
}

/** The one row of `feed_position`. */
export type PositionRow = typeof feedPosition.$inferSelect

export type SubjectBatch = {
  readonly subjects: readonly UnsavedSubject[]
  readonly ended: readonly { readonly id: string; readonly expiresAt: number }[]
  /** Absent where more is to be written before it would be true. */
  readonly position: Omit<PositionRow, 'id'> | null
  /** What ended before this time is forgotten; null to leave that for later. */
  readonly pruneBefore: number | null
}

const pruneLimit = 1_000

export type SubjectRowsOptions = {
  readonly database: Database
  readonly clock: Clock
  /** Told of what was committed. */
  readonly emit?: ((event: KeyEvent) => void) | undefined
}

/**
 * Writes what the feed told to the database. A batch is one transaction: a crash leaves all of it or nothing.
 *
 * Two processes can do so on one file: a row is overwritten by what is newer than itself alone, and `write` writes
 * nothing and returns false when the position is of another epoch than expected, because the other process has
 * completed a snapshot meanwhile.
 */
export const createSubjectRows = ({ database, clock, emit = () => {} }: SubjectRowsOptions) => {
  const db = drizzle({ client: database })
  type Transaction = Parameters<Parameters<typeof db.transaction>[0]>[0]

  // Prepared once: a snapshot has a row for each user there is.
  const putSubject = db
    .insert(subjects)
    .values({
      id: sql.placeholder('id'),
      status: sql.placeholder('status'),
      roles: sql.placeholder('roles'),
      scopes: sql.placeholder('scopes'),
      tokensSince: sql.placeholder('tokensSince'),
      sequence: sql.placeholder('sequence'),
      epoch: sql.placeholder('epoch'),
      changedAt: sql.placeholder('changedAt'),
    })
    .onConflictDoUpdate({
      target: subjects.id,
      set: {
        status: sql`excluded.status`,
        roles: sql`excluded.roles`,
        scopes: sql`excluded.scopes`,
        tokensSince: sql`excluded.tokens_since`,
        sequence: sql`excluded.sequence`,
        epoch: sql`excluded.epoch`,
        changedAt: sql`excluded.changed_at`,
      },
      setWhere: sql`(excluded.epoch, excluded.sequence) > (${subjects.epoch}, ${subjects.sequence})`,
    })
    .prepare()
  const putEnded = db
    .insert(endedCredentials)
    .values({ id: sql.placeholder('id'), expiresAt: sql.placeholder('expiresAt') })
    .onConflictDoUpdate({
      target: endedCredentials.id,
      set: { expiresAt: sql`max(excluded.expires_at, ${endedCredentials.expiresAt})` },
    })
    .prepare()
  const readPosition = db.select().from(feedPosition).where(eq(feedPosition.id, 1)).prepare()

  const audit = (
    tx: Transaction,
    action: string,
    subjectId: string,
    detail: Record<string, unknown>,
    ownerId: string | null,
  ): void => {
    tx.insert(apikeyAudit)
      .values({ at: clock(), action, subjectId, detail, ownerId, ...bySystem })
      .run()
  }

  /** Returns what there is to tell of it. */
  const revokeKeys = (tx: Transaction, ownerId: string): KeyEvent[] => {
    const now = clock()
    const revoked = tx
      .update(apiKeys)
      .set({ revokedAt: now, updatedAt: now })
      .where(
        and(
          eq(apiKeys.ownerId, ownerId),
          isNull(apiKeys.revokedAt),
          or(isNull(apiKeys.expiresAt), gt(apiKeys.expiresAt, now)),
        ),
      )
      .returning({ id: apiKeys.id, name: apiKeys.name })
      .all()
    for (const { id, name } of revoked) {
      audit(tx, 'api_key.revoked', id, { name, ownerId, reason: 'owner_deleted' }, ownerId)
    }
    return [
      ...revoked.map(
        ({ id, name }): KeyEvent => ({
          type: 'api_key.revoked',
          at: now,
          keyId: id,
          ownerId,
          name,
          actorId: null,
        }),
      ),
      { type: 'owner.deleted', at: now, ownerId, keys: revoked.length },
    ]
  }

  const prune = (tx: Transaction, before: number): void => {
    const old = tx
      .select({ id: endedCredentials.id })
      .from(endedCredentials)
      .where(lt(endedCredentials.expiresAt, before))
      .limit(pruneLimit)
    tx.delete(endedCredentials).where(inArray(endedCredentials.id, old)).run()
  }

  return {
    position: (): PositionRow | null => readPosition.get() ?? null,

    /** @throws Failure `unavailable` when the file stays locked; otherwise what SQLite says. */
    write: (batch: SubjectBatch, expectedEpoch: number): Promise<boolean> =>
      retryBusy(() => {
        const events: KeyEvent[] = []
        const isWritten = db.transaction(
          tx => {
            if ((readPosition.get()?.epoch ?? 0) !== expectedEpoch) return false
            for (const subject of batch.subjects) {
              putSubject.run({ ...subject, tokensSince: subject.tokensSince ?? null })
              if (subject.revokesKeys) events.push(...revokeKeys(tx, subject.id))
              if (subject.restoredFrom !== null) {
                audit(tx, 'subject.restored', subject.id, { from: subject.restoredFrom }, null)
              }
            }
            for (const one of batch.ended) putEnded.run(one)
            if (batch.pruneBefore !== null) prune(tx, batch.pruneBefore)
            if (batch.position !== null) {
              const { follower, ...rest } = batch.position
              tx.insert(feedPosition)
                .values({ id: 1, follower, ...rest })
                .onConflictDoUpdate({ target: feedPosition.id, set: rest })
                .run()
            }
            return true
          },
          { behavior: 'immediate' },
        )
        for (const event of events) emit(event)
        return isWritten
      }),
  }
}

export type SubjectRows = ReturnType<typeof createSubjectRows>

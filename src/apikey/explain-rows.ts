import type { Database } from 'bun:sqlite'
import { and, desc, eq } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import type { SubjectState } from '../lib/changes-schema.ts'
import type { KeyRecord } from './key-record.ts'
import { apiKeys, apikeyAudit, feedPosition, subjects } from './schema.ts'
import { type Credits, readCredits } from './store-credits.ts'
import { recordColumns } from './store-rows.ts'

/** An owner as the change feed told of them. `changedAt` is when that was heard, milliseconds. */
export type FollowedOwner = SubjectState & { readonly changedAt: number }

/** How far the change feed has been read. `generation` is null before the first snapshot is complete. */
export type FeedState = { readonly generation: string | null; readonly heardAt: number | null }

/** A key before or after another in its rotations. */
export type Relative = Pick<KeyRecord, 'id' | 'createdAt' | 'expiresAt' | 'revokedAt' | 'lastUsedAt'>

export type ExplainRows = {
  credential(id: string): { readonly key: KeyRecord; readonly secretHash: string } | null
  /** When a key that is disabled was: the last change that did it; null where none is written. */
  disabledAt(id: string): number | null
  owner(id: string): FollowedOwner | null
  /** Null where no feed is followed. */
  feed(): FeedState | null
  /** What a key and its successors may spend, as of then; null for a key that is not metered. */
  credits(key: Pick<KeyRecord, 'isMetered' | 'lineageId'>, now: number): Credits | null
  /** The key among those that it came from and went into, oldest first. */
  lineage(key: KeyRecord): readonly Relative[]
}

/** Changes of one key that are searched at most, the last first. */
const mostChanges = 1_000
/** Keys of a lineage that are told on either side. */
const mostRelatives = 10

/** Whether a row of the audit trail tells how a key was turned off. */
const isTurningOff = (detail: Record<string, unknown>): boolean => {
  const enabledOf = (state: unknown): unknown =>
    typeof state === 'object' && state !== null && 'enabled' in state ? state.enabled : undefined
  return enabledOf(detail.before) === true && enabledOf(detail.after) === false
}

/** What the database of a service holds about a key. It only reads, beside a service that runs. */
export const createExplainRows = (database: Database): ExplainRows => {
  const db = drizzle({ client: database })

  const keyOf = (id: string): KeyRecord | undefined =>
    db.select(recordColumns).from(apiKeys).where(eq(apiKeys.id, id)).get()

  const walk = (start: KeyRecord, member: 'rotatedFrom' | 'rotatedTo'): KeyRecord[] => {
    const found: KeyRecord[] = []
    let next = start[member]
    while (next !== null && found.length < mostRelatives) {
      const key = keyOf(next)
      if (key === undefined) break
      found.push(key)
      next = key[member]
    }
    return found
  }

  return {
    credential: id =>
      db
        .select({ key: recordColumns, secretHash: apiKeys.secretHash })
        .from(apiKeys)
        .where(eq(apiKeys.id, id))
        .get() ?? null,
    disabledAt: id =>
      db
        .select({ at: apikeyAudit.at, detail: apikeyAudit.detail })
        .from(apikeyAudit)
        .where(and(eq(apikeyAudit.subjectId, id), eq(apikeyAudit.action, 'api_key.changed')))
        .orderBy(desc(apikeyAudit.at), desc(apikeyAudit.sequence))
        .limit(mostChanges)
        .all()
        .find(({ detail }) => isTurningOff(detail))?.at ?? null,
    owner: id => {
      const found = db
        .select({
          status: subjects.status,
          roles: subjects.roles,
          scopes: subjects.scopes,
          changedAt: subjects.changedAt,
          epoch: subjects.epoch,
        })
        .from(subjects)
        .where(eq(subjects.id, id))
        .get()
      if (found === undefined) return null
      const { epoch, ...owner } = found
      // As the service itself takes it: whom the last complete snapshot did not have is gone.
      const complete = db.select({ epoch: feedPosition.epoch }).from(feedPosition).limit(1).get()
      return epoch < (complete?.epoch ?? 0) ? { ...owner, status: 'deleted', roles: [], scopes: [] } : owner
    },
    feed: () =>
      db
        .select({ generation: feedPosition.generation, heardAt: feedPosition.heardAt })
        .from(feedPosition)
        .limit(1)
        .get() ?? null,
    credits: ({ isMetered, lineageId }, now) => (isMetered ? readCredits(db, lineageId, now) : null),
    lineage: key => [...walk(key, 'rotatedFrom').toReversed(), key, ...walk(key, 'rotatedTo')],
  }
}

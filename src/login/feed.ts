import type { Database } from 'bun:sqlite'
import { asc, desc, eq, gt, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import { bySystem } from '../lib/audit.ts'
import type { Change, ChangesPage, SnapshotPage, SubjectAnswer } from '../lib/changes-schema.ts'
import type { Clock } from '../lib/clock.ts'
import { Failure } from '../lib/failure.ts'
import type { Log } from '../lib/log.ts'
import { retryBusy } from '../lib/sqlite.ts'
import type { UserTransaction } from '../userdb/index.ts'
import { writeAudit } from './audit.ts'
import type { LoginCode } from './errors.ts'
import {
  decodePoint,
  decodePosition,
  encodePoint,
  encodePosition,
  type Generation,
  type Point,
} from './feed-cursor.ts'
import { firstPlace, readSnapshot, readSubject } from './feed-snapshot.ts'
import { feedTime, feedTimeOrNull } from './feed-time.ts'
import { changes, feed } from './schema.ts'

/** Items of a page of a snapshot: what is read in one go, about a millisecond in which nothing else is served. */
const defaultPageItems = 500

/** Where a follower was, and what happened since. */
export type FeedRead = {
  /** The last change that the reader has, by its cursor. */
  readonly acknowledged: number
  readonly page: ChangesPage
}

/** The change feed, to read. What is read together is of one moment. */
export type Feed = {
  /**
   * What happened after a cursor, oldest first.
   *
   * @throws Failure `cursor_invalid` for a text that is none of ours; `resync_required` where this history does not
   * hold what came after it; `unavailable`.
   */
  read(after: string, limit: number): Promise<FeedRead>
  /**
   * The page that a `nextPage` names, or the first one.
   *
   * @throws Failure `cursor_invalid`, `resync_required`.
   */
  snapshot(page: string | undefined): SnapshotPage
  subject(id: string): SubjectAnswer
  /** The number of the last change, 0 before the first. */
  latest(): { readonly generation: string; readonly sequence: number }
}

const randomText = (bytes: number): string =>
  Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString('base64url')

const newGeneration = (clock: Clock) => ({
  generation: randomText(16),
  cursorKey: randomText(32),
  beganAt: clock(),
})

const toChange = ({
  sequence,
  type,
  at,
  subjectId,
  state,
  sessionId,
  tokenId,
  expiresAt,
}: typeof changes.$inferSelect): Change => ({
  sequence,
  type,
  at: feedTime(at),
  subjectId,
  state,
  sessionId,
  tokenId,
  expiresAt: feedTimeOrNull(expiresAt),
})

export type FeedOptions = {
  readonly database: Database
  readonly clock: Clock
  readonly log: Log
  /** Items of a page of a snapshot. */
  readonly pageItems?: number
}

/** The change feed over SQLite; the first one on a file begins its history. */
export const createFeed = ({ database, clock, log, pageItems = defaultPageItems }: FeedOptions): Feed => {
  const db = drizzle({ client: database })

  // Prepared once: followers ask often, and mostly for nothing. They share the connection with the transactions, so
  // inside of one they read what it reads.
  const selectFeed = db.select().from(feed).where(eq(feed.id, 1)).prepare()
  const point = { sequence: changes.sequence, nonce: changes.nonce }
  const selectOldest = db.select(point).from(changes).orderBy(asc(changes.sequence)).limit(1).prepare()
  const selectNewest = db.select(point).from(changes).orderBy(desc(changes.sequence)).limit(1).prepare()
  const selectPoint = db
    .select(point)
    .from(changes)
    .where(eq(changes.sequence, sql.placeholder('sequence')))
    .prepare()
  const selectAfter = db
    .select()
    .from(changes)
    .where(gt(changes.sequence, sql.placeholder('sequence')))
    .orderBy(asc(changes.sequence))
    .limit(sql.placeholder('limit'))
    .prepare()

  const current = (): Generation => {
    const row = selectFeed.get()
    if (row === undefined) throw new Error('The database has lost its feed')
    return row
  }

  if (selectFeed.get() === undefined) {
    db.transaction(
      tx => {
        // Another process may have been first on the same file.
        tx.insert(feed)
          .values({ id: 1, ...newGeneration(clock) })
          .onConflictDoNothing()
          .run()
      },
      { behavior: 'immediate' },
    )
  }

  const newest = (): { sequence: number; nonce: string } => selectNewest.get() ?? { sequence: 0, nonce: '' }

  /**
   * What a point that we gave out says of our history. `pruned`: we no longer hold what came after it. `other`: we
   * would hold it, and do not, so an older copy took the place of this database.
   */
  const placeOf = ({ sequence, nonce }: Point): 'here' | 'pruned' | 'other' => {
    // The newest row is never pruned, so without rows nothing ever happened.
    const oldest = selectOldest.get()?.sequence ?? 1
    if (sequence === 0) return oldest === 1 ? 'here' : 'pruned'
    const found = selectPoint.get({ sequence })
    if (found !== undefined) return found.nonce === nonce ? 'here' : 'other'
    return sequence < oldest ? 'pruned' : 'other'
  }

  /** Makes every cursor that was given out a stranger, so that all take a snapshot of what is true now. */
  const beginGeneration = async (before: Point): Promise<void> => {
    const next = newGeneration(clock)
    const hasBegun = await retryBusy(() =>
      db.transaction(
        tx => {
          // Another follower, or another process, may have brought it to light before.
          if (current().generation !== before.generation || placeOf(before) !== 'other') return false
          tx.update(feed).set(next).where(eq(feed.id, 1)).run()
          const detail = {
            before: before.generation,
            after: next.generation,
            claimed: before.sequence,
            latest: newest().sequence,
          }
          writeAudit(
            tx,
            { at: next.beganAt, action: 'feed.generation_changed', subjectId: null, detail },
            bySystem,
          )
          return true
        },
        { behavior: 'immediate' },
      ),
    )
    if (hasBegun) {
      log.warn(
        { generation: next.generation, claimed: before.sequence },
        'a follower knows changes that are not in this database: it was replaced by an older copy, and all followers start again from a snapshot',
      )
    }
  }

  const toPage = (key: string, from: Point, rows: (typeof changes.$inferSelect)[]): ChangesPage => {
    const { generation } = from
    const last = rows.at(-1) ?? from
    return {
      generation,
      items: rows.map(toChange),
      nextCursor: encodePoint({ generation, sequence: last.sequence, nonce: last.nonce }, key),
    }
  }

  const inRead = <Result>(decide: (tx: UserTransaction) => Result): Result => db.transaction(decide)

  return {
    read: async (after, limit) => {
      const found = inRead(() => {
        const now = current()
        const from = decodePoint(after, now)
        const place = placeOf(from)
        const page =
          place === 'here'
            ? toPage(now.cursorKey, from, selectAfter.all({ sequence: from.sequence, limit }))
            : null
        return { from, place, page }
      })
      if (found.place === 'other') await beginGeneration(found.from)
      if (found.page === null) throw new Failure<LoginCode>('resync_required')
      return { acknowledged: found.from.sequence, page: found.page }
    },

    snapshot: page =>
      inRead(tx => {
        const now = current()
        const { generation, cursorKey } = now
        const { sequence, nonce } = newest()
        const from =
          page === undefined ? { generation, sequence, nonce, ...firstPlace } : decodePosition(page, now)
        const { items, next } = readSnapshot(tx, { after: from, limit: pageItems, now: clock() })
        return {
          generation,
          // Of the first page: what happened while the others were read is told again from there.
          cursor: encodePoint(from, cursorKey),
          sequence,
          items,
          nextPage: next === null ? null : encodePosition({ ...from, ...next }, cursorKey),
        }
      }),

    subject: id =>
      inRead(tx => ({
        generation: current().generation,
        sequence: newest().sequence,
        id,
        state: readSubject(tx, id),
      })),

    latest: () => inRead(() => ({ generation: current().generation, sequence: newest().sequence })),
  }
}

import type { Database } from 'bun:sqlite'
import { asc, desc, inArray, lt, lte } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import { retryBusy } from '../lib/sqlite.ts'
import { changes, revokedTokens } from './schema.ts'

/** Rows of one transaction: nothing else is served while it runs. */
const rowsAtOnce = 1_000

/** How long a row outlives its token, milliseconds: clocks of services differ, and snapshots take their time. */
const keptMilliseconds = 3_600_000

export type FeedRetention = {
  /**
   * Deletes what is older than the retention, and revoked tokens that expired an hour ago; how many rows.
   *
   * @throws Failure `unavailable`.
   */
  prune(): Promise<number>
}

export type FeedRetentionOptions = {
  readonly database: Database
  readonly clock: Clock
  readonly retentionHours: number
}

/** Keeps the history from growing for ever. Who needs what is gone takes a snapshot. */
export const createFeedRetention = ({
  database,
  clock,
  retentionHours,
}: FeedRetentionOptions): FeedRetention => {
  const db = drizzle({ client: database })
  type Transaction = Parameters<Parameters<typeof db.transaction>[0]>[0]

  /**
   * The oldest rows, up to the last one of them whose time is over, and never the newest of all: the cursor at it is
   * good however long nothing happens. Times may go back where a clock was set; the order of rows does not.
   */
  const pruneChanges = (tx: Transaction): number => {
    const before = clock() - retentionHours * 3_600_000
    const newest = tx
      .select({ sequence: changes.sequence })
      .from(changes)
      .orderBy(desc(changes.sequence))
      .limit(1)
      .get()
    if (newest === undefined) return 0
    const last = tx
      .select({ sequence: changes.sequence, at: changes.at })
      .from(changes)
      .where(lt(changes.sequence, newest.sequence))
      .orderBy(asc(changes.sequence))
      .limit(rowsAtOnce)
      .all()
      .findLast(({ at }) => at <= before)
    if (last === undefined) return 0
    return tx
      .delete(changes)
      .where(lte(changes.sequence, last.sequence))
      .returning({ sequence: changes.sequence })
      .all().length
  }

  const pruneTokens = (tx: Transaction): number => {
    const expired = tx
      .select({ id: revokedTokens.id })
      .from(revokedTokens)
      .where(lte(revokedTokens.expiresAt, clock() - keptMilliseconds))
      .limit(rowsAtOnce)
    return tx
      .delete(revokedTokens)
      .where(inArray(revokedTokens.id, expired))
      .returning({ id: revokedTokens.id })
      .all().length
  }

  const repeat = async (step: (tx: Transaction) => number): Promise<number> => {
    let all = 0
    for (;;) {
      const deleted = await retryBusy(() => db.transaction(step, { behavior: 'immediate' }))
      all += deleted
      if (deleted < rowsAtOnce) return all
      // A turn of the loop for everybody else.
      await Bun.sleep(1)
    }
  }

  return { prune: async () => (await repeat(pruneChanges)) + (await repeat(pruneTokens)) }
}

const hour = 3_600_000

/** Prunes now and about once an hour, so that processes on one file do not do it at the same moment. */
export const pruneHourly = (retention: FeedRetention, log: Log): void => {
  const run = async (): Promise<void> => {
    try {
      const rows = await retention.prune()
      if (rows > 0) log.info({ rows }, 'old changes were deleted')
    } catch (error) {
      // The next time will do: nothing is wrong with a longer history.
      log.warn({ error }, 'old changes could not be deleted')
    }
    setTimeout(() => void run(), hour * (0.9 + Math.random() * 0.2)).unref()
  }
  void run()
}

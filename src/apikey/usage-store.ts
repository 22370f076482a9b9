import type { Database } from 'bun:sqlite'
import { and, asc, between, eq, inArray, isNull, lt, or, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import { retryBusy } from '../lib/sqlite.ts'
import { apiKeys, keyUsage } from './schema.ts'
import { type Checkpoints, createCheckpoints } from './usage-checkpoints.ts'
import { isUsageOutcome, type UsageOutcome } from './usage-outcomes.ts'

/** Uses of a key on one day, which come to what is written already. */
export type KeyUses = {
  readonly id: string
  /** Days since the epoch, UTC. */
  readonly day: number
  /** When it was last let in, milliseconds, and from where; null where it was only refused. */
  readonly lastUsedAt: number | null
  readonly lastUsedAddress: string | null
  readonly counts: readonly { readonly outcome: UsageOutcome; readonly uses: number }[]
}

export type DayCount = { readonly day: number; readonly outcome: UsageOutcome; readonly uses: number }

/** Where the use of keys is written, without audit. Every write is one short transaction. */
export type UsageStore = {
  /**
   * Adds uses, of the first on and of as many as there is time for: one at least. Returns how many keys that were. The
   * time of a last use never goes back.
   *
   * @throws Failure `unavailable` when another process holds the file for too long; then nothing is written.
   */
  recordUses(uses: readonly KeyUses[]): Promise<number>
  /** The counts of a key from one day to another, both included, oldest first. */
  countsOf(keyId: string, fromDay: number, toDay: number): Promise<readonly DayCount[]>
  /** Removes a few counts of days before this one; returns whether there may be more. */
  pruneUses(beforeDay: number): Promise<boolean>
}

export type UsageStoreOptions = {
  readonly database: Database
  /** Milliseconds that only go forward. */
  readonly monotonic?: () => number
  readonly checkpoints?: Checkpoints
}

/** Work of one transaction, milliseconds. The commit comes on top of it. */
const workMilliseconds = 2
/** Longer than that a transaction with its commit should not take: the next one gets less to do. */
const sliceMilliseconds = 4
const mostKeys = 100
/** Rows that are removed at a time. */
const pruneRows = 32

export const createUsageStore = ({
  database,
  monotonic = () => performance.now(),
  checkpoints = createCheckpoints(database),
}: UsageStoreOptions): UsageStore => {
  const db = drizzle({ client: database })
  const at = sql.placeholder('at')

  const use = db
    .update(apiKeys)
    .set({ lastUsedAt: sql`${at}`, lastUsedAddress: sql`${sql.placeholder('address')}` })
    .where(
      and(eq(apiKeys.id, sql.placeholder('id')), or(isNull(apiKeys.lastUsedAt), lt(apiKeys.lastUsedAt, at))),
    )
    .prepare()

  const add = db
    .insert(keyUsage)
    .values({
      keyId: sql.placeholder('id'),
      day: sql.placeholder('day'),
      outcome: sql.placeholder('outcome'),
      uses: sql.placeholder('uses'),
    })
    .onConflictDoUpdate({
      target: [keyUsage.keyId, keyUsage.day, keyUsage.outcome],
      set: { uses: sql`${keyUsage.uses} + excluded.uses` },
    })
    .prepare()

  const counts = db
    .select({ day: keyUsage.day, outcome: keyUsage.outcome, uses: keyUsage.uses })
    .from(keyUsage)
    .where(
      and(
        eq(keyUsage.keyId, sql.placeholder('id')),
        between(keyUsage.day, sql.placeholder('from'), sql.placeholder('to')),
      ),
    )
    .orderBy(asc(keyUsage.day))
    .prepare()

  const old = db
    .select({ row: sql<number>`rowid`.as('row') })
    .from(keyUsage)
    .where(lt(keyUsage.day, sql.placeholder('before')))
    .limit(pruneRows)
    .prepare()

  /** How many keys the next transaction gets at most: fewer where the disk turned out to be slow. */
  let most = mostKeys

  /** Runs a write with the time that it began. */
  const slice = <Result>(work: (isOver: () => boolean) => Result): Promise<Result> =>
    retryBusy(() => {
      const startedAt = monotonic()
      const isOver = (): boolean => monotonic() - startedAt >= workMilliseconds
      const result = checkpoints.apart(() => db.transaction(() => work(isOver), { behavior: 'immediate' }))
      const took = monotonic() - startedAt
      if (took > sliceMilliseconds) most = Math.max(1, Math.floor(most / 2))
      else if (took < sliceMilliseconds / 2) most = Math.min(mostKeys, most * 2)
      return result
    })

  return {
    recordUses: async uses => {
      const written = await slice(isOver => {
        let count = 0
        for (const { id, day, lastUsedAt, lastUsedAddress, counts: added } of uses.slice(0, most)) {
          if (lastUsedAt !== null) use.run({ id, at: lastUsedAt, address: lastUsedAddress })
          for (const { outcome, uses: more } of added) add.run({ id, day, outcome, uses: more })
          count += 1
          if (isOver()) break
        }
        return count
      })
      await checkpoints.wrote(written)
      return written
    },

    countsOf: async (keyId, from, to) =>
      counts
        .all({ id: keyId, from, to })
        // A later release may count more than this one knows.
        .flatMap(({ day, outcome, uses }) => (isUsageOutcome(outcome) ? [{ day, outcome, uses }] : [])),

    pruneUses: async before => {
      const rows = old.all({ before }).map(({ row }) => row)
      if (rows.length === 0) return false
      await slice(() => db.delete(keyUsage).where(inArray(sql`rowid`, rows)).run())
      await checkpoints.wrote(rows.length)
      return rows.length === pruneRows
    },
  }
}

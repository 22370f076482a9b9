import type { Database } from 'bun:sqlite'
import { and, asc, desc, eq, inArray, isNull, lt, or, type SQL, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import type { Clock } from '../lib/clock.ts'
import { retryBusy } from '../lib/sqlite.ts'
import { ofLineage } from './credit-rows.ts'
import { apiKeys, apikeyAudit, keyCredits, keyUsage } from './schema.ts'
import type { KeyTransaction } from './store-rows.ts'
import { type Checkpoints, createCheckpoints } from './usage-checkpoints.ts'

/** Rows of the audit trail, or counts of a key's use, that one transaction deletes. */
const rowsAtOnce = 32
/** Dead keys that one transaction looks at. */
const keysAtOnce = 16
/** Transactions of each kind in one run. What is left is for the next. */
const mostSteps = 50

const dayMilliseconds = 86_400_000

export type Retention = {
  /**
   * Deletes some of what is past its time, in short transactions with turns of the event loop between them.
   *
   * @throws Failure `unavailable` when another process holds the file for too long.
   */
  prune(): Promise<void>
  /** Resolves when nothing is under way any more, and sees to it that nothing begins. */
  stop(): Promise<void>
}

export type RetentionOptions = {
  readonly database: Database
  readonly clock: Clock
  /** How long the audit trail goes back, and how long a dead key is kept; null for ever. */
  readonly auditDays: number | null
  readonly checkpoints?: Checkpoints
}

type DeadKey = {
  readonly row: number
  readonly id: string
  readonly rotatedFrom: string | null
  readonly rotatedTo: string | null
  readonly lineageId: string
  readonly diedAt: number
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

/**
 * Keeps the audit trail, and the rows of keys that are dead for good, from growing for ever. A key goes when it has been
 * dead for as long as the trail goes back, and what succeeded it has gone before: so every live key has all that it
 * came from, and the credits that it shares with them.
 */
export const createRetention = ({
  database,
  clock,
  auditDays,
  checkpoints = createCheckpoints(database),
}: RetentionOptions): Retention => {
  const db = drizzle({ client: database })
  /** What a power cut brings back is deleted the next time, so that nothing waits for the disk. */
  const write = async <Result>(decide: (tx: KeyTransaction) => Result): Promise<Result> => {
    const result = await retryBusy(() =>
      checkpoints.apart(() => db.transaction(decide, { behavior: 'immediate' })),
    )
    await checkpoints.wrote(rowsAtOnce)
    return result
  }

  const pruneTrail = async (before: number): Promise<boolean> => {
    const old = db
      .select({ sequence: apikeyAudit.sequence })
      .from(apikeyAudit)
      .where(lt(apikeyAudit.at, before))
      .orderBy(asc(apikeyAudit.at))
      .limit(rowsAtOnce)
      .all()
      .map(({ sequence }) => sequence)
    if (old.length === 0) return false
    await write(tx => tx.delete(apikeyAudit).where(inArray(apikeyAudit.sequence, old)).run())
    return old.length === rowsAtOnce
  }

  const row = sql<number>`${apiKeys}.rowid`

  /** Keys whose end, by one or the other, is long past: the last first, so that successors go before what they replaced. */
  const dead = (
    tx: Pick<KeyTransaction, 'select'>,
    { diedAt, isSo }: { diedAt: typeof apiKeys.expiresAt | typeof apiKeys.revokedAt; isSo: SQL | undefined },
    before: number,
    after: { readonly diedAt: number; readonly row: number } | null,
  ): DeadKey[] =>
    tx
      .select({
        row: row.as('row'),
        id: apiKeys.id,
        rotatedFrom: apiKeys.rotatedFrom,
        rotatedTo: apiKeys.rotatedTo,
        lineageId: sql<string>`coalesce(${apiKeys.lineageId}, ${apiKeys.id})`.as('lineage'),
        diedAt: sql<number>`${diedAt}`.as('died'),
      })
      .from(apiKeys)
      .where(
        and(
          isSo,
          lt(diedAt, before),
          after === null ? undefined : sql`(${diedAt}, ${row}) < (${after.diedAt}, ${after.row})`,
        ),
      )
      .orderBy(desc(diedAt), desc(row))
      .limit(keysAtOnce)
      .all()

  const exists = (tx: KeyTransaction, condition: SQL | undefined): boolean =>
    tx.select({ id: apiKeys.id }).from(apiKeys).where(condition).limit(1).get() !== undefined

  const isNeeded = (tx: KeyTransaction, key: DeadKey, before: number): boolean => {
    if (key.rotatedTo !== null && exists(tx, eq(apiKeys.id, key.rotatedTo))) return true
    if (key.rotatedFrom === null) return false
    // Its time of grace may be longer than the retention.
    const isLongDead = lt(sql`coalesce(${apiKeys.revokedAt}, ${apiKeys.expiresAt}, ${before})`, before)
    return exists(tx, and(ofLineage(key.lineageId), sql`NOT (${isLongDead})`))
  }

  /** Deletes counts of a key; how many. */
  const deleteUses = (tx: KeyTransaction, keyId: string, most: number): number => {
    const rows = tx
      .select({ row: sql<number>`rowid`.as('row') })
      .from(keyUsage)
      .where(eq(keyUsage.keyId, keyId))
      .limit(most)
    return tx.delete(keyUsage).where(inArray(sql`rowid`, rows)).returning({ day: keyUsage.day }).all().length
  }

  const kinds = [
    {
      end: {
        diedAt: apiKeys.expiresAt,
        isSo: and(isNull(apiKeys.revokedAt), sql`${apiKeys.expiresAt} IS NOT NULL`),
      },
    },
    { end: { diedAt: apiKeys.revokedAt, isSo: sql`${apiKeys.revokedAt} IS NOT NULL` } },
  ]
  /** Where each kind is: some keys stay, and are not looked at again before all others were. */
  const places = new Map<(typeof kinds)[number], DeadKey | null>()

  const pruneKeys = async (kind: (typeof kinds)[number], before: number): Promise<boolean> => {
    const after = places.get(kind) ?? null
    if (dead(db, kind.end, before, after).length === 0) {
      places.set(kind, null)
      return false
    }
    const reached = await write(tx => {
      const keys = dead(tx, kind.end, before, after)
      let last = after
      let left = rowsAtOnce
      for (const key of keys) {
        if (!isNeeded(tx, key, before)) {
          left -= deleteUses(tx, key.id, left)
          // There may be more of them: the key goes with the last.
          if (left === 0) return { last, isEnd: false }
          tx.delete(apiKeys).where(eq(apiKeys.id, key.id)).run()
          const isOfLine = or(eq(apiKeys.id, key.lineageId), eq(apiKeys.lineageId, key.lineageId))
          if (!exists(tx, isOfLine)) {
            tx.delete(keyCredits).where(eq(keyCredits.lineageId, key.lineageId)).run()
          }
        }
        last = key
      }
      return { last, isEnd: keys.length < keysAtOnce }
    })
    places.set(kind, reached.isEnd ? null : reached.last)
    return !reached.isEnd
  }

  let isStopped = false
  const repeat = async (step: () => Promise<boolean>): Promise<void> => {
    for (let count = 0; count < mostSteps && !isStopped; count += 1) {
      if (!(await step())) return
      await turn()
    }
  }

  const run = async (): Promise<void> => {
    if (auditDays === null) return
    const before = clock() - auditDays * dayMilliseconds
    await repeat(() => pruneTrail(before))
    for (const kind of kinds) await repeat(() => pruneKeys(kind, before))
  }

  let active: Promise<void> | null = null
  return {
    prune: () => {
      if (isStopped) return Promise.resolve()
      active ??= run().finally(() => {
        active = null
      })
      return active
    },
    stop: async () => {
      isStopped = true
      await active?.catch(() => undefined)
    },
  }
}

import type { Database } from 'bun:sqlite'
import { and, eq, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import type { Clock } from '../lib/clock.ts'
import { Failure } from '../lib/failure.ts'
import { retryBusy } from '../lib/sqlite.ts'
import { asOf, type CreditRow, mayLive, mostCredits, ofLineage, refillOf } from './credit-rows.ts'
import { nextRefillAt } from './refill.ts'
import { apiKeys, keyCredits } from './schema.ts'
import { type Checkpoints, createCheckpoints } from './usage-checkpoints.ts'

/** The windows of one request, all or none of them. Synchronous, since nothing may come between them and the debit. */
export type Admission = {
  /** Counts the request; false, and nothing counted, where a limit is full. */
  take(): boolean
  /** Takes back what the latest `take` has counted. */
  giveBack(): void
  /** Takes back so many of the latest that counted and were not given back: what they were for could not be written. */
  rollBack(takes: number): void
}

export type Debit = {
  readonly lineageId: string
  /** Whole credits, 0 or more. 0 passes at any balance. */
  readonly cost: number
  readonly limits?: Admission | undefined
}

/** What was paid for a request that failed. */
export type Return = Pick<Debit, 'lineageId' | 'cost'>

export type Spent =
  | {
      readonly ok: true
      /** Null for a key that is not metered (any more): nothing was taken. */
      readonly remaining: number | null
      /** What a full balance is, to tell a low one by: what a refill sets, or what was last given. Null likewise. */
      readonly full: number | null
    }
  | {
      readonly ok: false
      readonly code: 'credits_exhausted'
      readonly remaining: number
      /** When there will be enough for this debit, milliseconds since the epoch; null where waiting does not help. */
      readonly refillsAt: number | null
    }
  | { readonly ok: false; readonly code: 'rate_limited' }

/** Where credits are spent. */
export type CreditStore = {
  /**
   * Adds what is returned and decides about each debit, in order, in one transaction that is on the disk when this
   * resolves. Refills that are due come first. Limits and credits are decided together: what is refused for one of
   * them counts for neither. When it fails, nothing is written and no limit has counted anything.
   *
   * A metered key without a balance is refused: it is out of credits, rather than free.
   *
   * @throws Failure `unavailable` when another process holds the file for 2 s, or the host has a transaction open on its
   * database: what it takes back later must not have been sold.
   */
  spendAll(debits: readonly Debit[], returned?: readonly Return[]): Promise<readonly Spent[]>
}

/** What became of the debits of a transaction, and how many balances it wrote. */
type Settled = { readonly outcomes: readonly Spent[]; readonly written: number }

type Line = { readonly read: CreditRow; row: CreditRow }

/** Balances that are one page of the log at worst, for each of the three pages of a key that checkpoints reckon with. */
const balancesPerKey = 3

/** How long a transaction waits for the log to be copied, milliseconds. Then it only gets longer. */
const longestCopy = 250

export type CreditStoreOptions = {
  readonly database: Database
  readonly clock: Clock
  /** Those of whoever else writes to the database by the thousand. */
  readonly checkpoints?: Checkpoints
}

export const createCreditStore = ({
  database,
  clock,
  checkpoints = createCheckpoints(database),
}: CreditStoreOptions): CreditStore => {
  const db = drizzle({ client: database })
  const lineageId = sql.placeholder('lineageId')

  const find = db.select().from(keyCredits).where(eq(keyCredits.lineageId, lineageId)).prepare()

  // The transaction holds the file, so that nobody else has written since it was read. If somebody had, the balance
  // must not be made up.
  const write = db
    .update(keyCredits)
    .set({
      remaining: sql`${sql.placeholder('remaining')}`,
      refilledAt: sql`${sql.placeholder('refilledAt')}`,
    })
    .where(and(eq(keyCredits.lineageId, lineageId), eq(keyCredits.remaining, sql.placeholder('before'))))
    .returning({ remaining: keyCredits.remaining })
    .prepare()

  const findKeys = db
    .select({ keys: sql<number>`count(*)`, metered: sql<number>`coalesce(sum(${apiKeys.isMetered}), 0)` })
    .from(apiKeys)
    .where(and(ofLineage(lineageId), mayLive(sql.placeholder('now'))))
    .prepare()

  /** Metering may have ended a moment ago. Of keys that nobody knows, or that are dead, there is no telling. */
  const isFree = (id: string, now: number): boolean => {
    const found = findKeys.get({ lineageId: id, now })
    return found !== undefined && found.keys > 0 && found.metered === 0
  }

  const passed = (row: CreditRow | undefined): Spent => ({
    ok: true,
    remaining: row?.remaining ?? null,
    full: row?.refillAmount ?? row?.granted ?? null,
  })

  const decide = ({ lineageId: id, cost }: Debit, line: Line | null, now: number): Spent => {
    if (cost === 0) return passed(line?.row)
    if (line === null) {
      return isFree(id, now)
        ? passed(undefined)
        : { ok: false, code: 'credits_exhausted', remaining: 0, refillsAt: null }
    }
    const { row } = line
    if (row.remaining < cost) {
      const refill = refillOf(row)
      const refillsAt = refill === null || refill.amount < cost ? null : nextRefillAt(refill, now)
      return { ok: false, code: 'credits_exhausted', remaining: row.remaining, refillsAt }
    }
    line.row = { ...row, remaining: row.remaining - cost }
    return passed(line.row)
  }

  const settle = (
    debits: readonly Debit[],
    returned: readonly Return[],
    taken: Map<Admission, number>,
  ): Settled => {
    const now = clock()
    const lines = new Map<string, Line | null>()
    const lineOf = (id: string): Line | null => {
      const known = lines.get(id)
      if (known !== undefined) return known
      const read = find.get({ lineageId: id })
      const line = read === undefined ? null : { read, row: asOf(read, now) }
      lines.set(id, line)
      return line
    }

    for (const { lineageId: id, cost } of returned) {
      const line = lineOf(id)
      if (line === null) continue
      line.row = { ...line.row, remaining: Math.min(line.row.remaining + cost, mostCredits) }
    }
    const outcomes = debits.map((debit): Spent => {
      const { limits } = debit
      if (limits !== undefined) {
        if (!limits.take()) return { ok: false, code: 'rate_limited' }
        taken.set(limits, (taken.get(limits) ?? 0) + 1)
      }
      const outcome = decide(debit, lineOf(debit.lineageId), now)
      if (!outcome.ok && limits !== undefined) {
        taken.set(limits, (taken.get(limits) ?? 0) - 1)
        limits.giveBack()
      }
      return outcome
    })
    let written = 0
    for (const [id, line] of lines) {
      if (line === null) continue
      const { read, row } = line
      if (row.remaining === read.remaining && row.refilledAt === read.refilledAt) continue
      const { remaining, refilledAt } = row
      if (write.get({ lineageId: id, remaining, refilledAt, before: read.remaining }) === undefined) {
        throw new Error('A balance was written in the midst of a transaction')
      }
      written += 1
    }
    return { outcomes, written }
  }

  const attempt = (debits: readonly Debit[], returned: readonly Return[]): Settled => {
    if (database.inTransaction) throw new Failure('unavailable', { retryAfterSeconds: 1 })
    const taken = new Map<Admission, number>()
    try {
      return db.transaction(() => settle(debits, returned, taken), { behavior: 'immediate' })
    } catch (error) {
      for (const [limits, takes] of taken) limits.rollBack(takes)
      throw error
    }
  }

  /** The log can only begin anew when nobody writes while it is copied. It is another thread that copies. */
  let copying: Promise<void> | null = null
  const copy = (written: number): void => {
    const copied = checkpoints.wrote(Math.ceil(written / balancesPerKey)).then(() => {
      if (copying === copied) copying = null
    })
    copying = copied
  }

  return {
    spendAll: async (debits, returned = []) => {
      if (copying !== null) await Promise.race([copying, Bun.sleep(longestCopy)])
      const { outcomes, written } = await retryBusy(() =>
        checkpoints.durably(() => attempt(debits, returned)),
      )
      if (written > 0) copy(written)
      return outcomes
    },
  }
}

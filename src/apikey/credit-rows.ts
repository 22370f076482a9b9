import { and, eq, gt, isNull, or, sql } from 'drizzle-orm'
import { afterRefill, type Refill } from './refill.ts'
import { apiKeys, type keyCredits } from './schema.ts'

/** A balance is at most that. */
export const mostCredits = 1_000_000_000_000

export type CreditRow = typeof keyCredits.$inferSelect

export const refillOf = ({ refillAmount, refillInterval, refillDay }: CreditRow): Refill | null =>
  refillAmount === null || refillInterval === null
    ? null
    : { amount: refillAmount, interval: refillInterval, dayOfMonth: refillDay }

/** The row with the refill that is due by now, which is not written yet. */
export const asOf = (row: CreditRow, now: number): CreditRow => ({
  ...row,
  ...afterRefill(row, refillOf(row), now),
})

/** The keys that share a balance, dead ones too. */
export const ofLineage = (lineageId: string | ReturnType<typeof sql.placeholder>) =>
  sql`(${eq(apiKeys.id, lineageId)} OR ${eq(apiKeys.lineageId, lineageId)})`

/** Keys that are neither revoked nor expired. */
export const mayLive = (now: number | ReturnType<typeof sql.placeholder>) =>
  and(isNull(apiKeys.revokedAt), or(isNull(apiKeys.expiresAt), gt(apiKeys.expiresAt, now)))

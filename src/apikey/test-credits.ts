import type { Database } from 'bun:sqlite'
import { eq } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import { keyCredits } from './schema.ts'

export type GivenCredits = {
  readonly remaining: number
  /** Of a daily refill. */
  readonly refillAmount?: number
  readonly refilledAt?: number
}

/** Writes a balance as it is, for tests. */
export const giveCredits = (
  database: Database,
  lineageId: string,
  { remaining, refillAmount, refilledAt = 0 }: GivenCredits,
): void => {
  const refill = refillAmount === undefined ? {} : { refillAmount, refillInterval: 'daily' as const }
  drizzle({ client: database })
    .insert(keyCredits)
    .values({ lineageId, remaining, granted: remaining, refilledAt, ...refill })
    .run()
}

/** A balance as it is written, or null. */
export const balanceOf = (database: Database, lineageId: string): number | null =>
  drizzle({ client: database })
    .select({ remaining: keyCredits.remaining })
    .from(keyCredits)
    .where(eq(keyCredits.lineageId, lineageId))
    .get()?.remaining ?? null

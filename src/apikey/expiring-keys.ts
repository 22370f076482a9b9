import type { Database } from 'bun:sqlite'
import { and, eq, gt, inArray, isNull, lte } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import type { Clock } from '../lib/clock.ts'
import { retryBusy } from '../lib/sqlite.ts'
import type { KeyEvent } from './events.ts'
import { apiKeys } from './schema.ts'

/** Keys of one transaction. */
const batchSize = 50

export type ExpiringKeysOptions = {
  readonly database: Database
  readonly clock: Clock
  /** How far ahead it is told. */
  readonly seconds: number
  readonly emit: (event: KeyEvent) => void
}

/**
 * Tells of keys that expire soon, each once, whichever of several processes on the file looks first: that it was told is
 * written before it is. Not of those that nobody would miss, being disabled, revoked or replaced.
 *
 * @throws Failure `unavailable` when another process holds the file for too long; the next time tells what is left.
 */
export const createExpiringKeys = ({
  database,
  clock,
  seconds,
  emit,
}: ExpiringKeysOptions): (() => Promise<void>) => {
  const db = drizzle({ client: database })

  const batch = (): Promise<number> =>
    retryBusy(() => {
      const now = clock()
      const soon = db
        .select({ id: apiKeys.id })
        .from(apiKeys)
        .where(
          and(
            gt(apiKeys.expiresAt, now),
            lte(apiKeys.expiresAt, now + seconds * 1_000),
            eq(apiKeys.enabled, true),
            isNull(apiKeys.revokedAt),
            isNull(apiKeys.rotatedTo),
            isNull(apiKeys.expiryToldAt),
          ),
        )
        .limit(batchSize)
      const told = db
        .update(apiKeys)
        .set({ expiryToldAt: now })
        .where(inArray(apiKeys.id, soon))
        .returning({
          keyId: apiKeys.id,
          ownerId: apiKeys.ownerId,
          name: apiKeys.name,
          expiresAt: apiKeys.expiresAt,
        })
        .all()
      for (const { expiresAt, ...key } of told) {
        if (expiresAt !== null) emit({ type: 'api_key.expiring', at: now, ...key, expiresAt })
      }
      return told.length
    })

  return async () => {
    while ((await batch()) === batchSize) await Bun.sleep(0)
  }
}

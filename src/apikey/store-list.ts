import type { Database } from 'bun:sqlite'
import { and, asc, eq, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import type { Clock } from '../lib/clock.ts'
import type { Page, Position } from '../lib/cursor.ts'
import type { KeyRecord } from './key-record.ts'
import { between, type KeyFilter, matching } from './list-filter.ts'
import { createScan, type Scan } from './scan.ts'
import { apiKeys } from './schema.ts'
import { recordColumns } from './store-rows.ts'

/** Whose keys a caller may touch: one owner's, or everyone's. */
export type KeyScope = { readonly ownerId: string } | 'all'

export type KeyQuery = KeyFilter & {
  readonly scope: KeyScope
  readonly limit: number
  readonly after: Position | null
}

export type KeyListOptions = { readonly database: Database; readonly clock: Clock; readonly scan?: Scan }

/**
 * A list of keys, oldest first. The order never changes, so that pages neither skip nor repeat a key that is there all
 * the while, whatever is made, changed or removed meanwhile.
 */
export const createKeyList = ({ database, clock, scan = createScan() }: KeyListOptions) => {
  const db = drizzle({ client: database })
  const order = [asc(apiKeys.createdAt), asc(apiKeys.id)]

  return async ({ scope, limit, after, ...filter }: KeyQuery): Promise<Page<KeyRecord>> => {
    const isWithin = scope === 'all' ? undefined : eq(apiKeys.ownerId, scope.ownerId)
    const condition = matching(filter, clock())
    // By the plus it is opaque: SQLite would take another index for some filters, and sort all that it finds there.
    const matches = condition === undefined ? undefined : sql`+(${condition})`
    return scan<KeyRecord, Position>(
      {
        ahead: (start, rows) =>
          db
            .select({ createdAt: apiKeys.createdAt, id: apiKeys.id })
            .from(apiKeys)
            .where(and(isWithin, between(start, null)))
            .orderBy(...order)
            .limit(1)
            .offset(rows - 1)
            .get() ?? null,
        read: (start, end, most) =>
          db
            .select(recordColumns)
            .from(apiKeys)
            .where(and(isWithin, between(start, end), matches))
            .orderBy(...order)
            .limit(most)
            .all(),
      },
      { after, limit, positionOf: ({ createdAt, id }) => ({ createdAt, id }) },
    )
  }
}

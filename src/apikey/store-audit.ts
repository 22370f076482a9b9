import type { Database } from 'bun:sqlite'
import { and, desc, eq, gte, lt, type SQL, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import { createScan, type Scan, type Scanned } from './scan.ts'
import { apikeyAudit } from './schema.ts'

export type AuditRow = {
  /** In the order in which rows were written. */
  readonly sequence: number
  readonly at: number
  readonly actorId: string | null
  readonly action: string
  readonly subjectId: string | null
  readonly detail: Record<string, unknown>
  readonly address: string | null
  readonly requestId: string | null
}

/** The last row of a page. */
export type AuditPosition = Pick<AuditRow, 'at' | 'sequence'>

export type AuditQuery = {
  /** Only what happened to keys while they were this owner's; null for everything. */
  readonly ownerId: string | null
  readonly keyId?: string | undefined
  readonly actorId?: string | undefined
  readonly action?: string | undefined
  /** At or after this time, milliseconds. */
  readonly since?: number | undefined
  /** Before this time. */
  readonly until?: number | undefined
  readonly limit: number
  readonly after: AuditPosition | null
}

/** Who did what to which key. */
export type AuditTrail = {
  /** The last first. Looks at a bounded number of rows: a page may be short, or empty, and yet not the last one. */
  list(query: AuditQuery): Promise<Scanned<AuditRow, AuditPosition>>
}

const columns = {
  sequence: apikeyAudit.sequence,
  at: apikeyAudit.at,
  actorId: apikeyAudit.actorId,
  action: apikeyAudit.action,
  subjectId: apikeyAudit.subjectId,
  detail: apikeyAudit.detail,
  address: apikeyAudit.address,
  requestId: apikeyAudit.requestId,
}

const order = [desc(apikeyAudit.at), desc(apikeyAudit.sequence)]

/** Rows that are older than one position, down to another. */
const between = (after: AuditPosition | null, end: AuditPosition | null): SQL | undefined => {
  const place = sql`(${apikeyAudit.at}, ${apikeyAudit.sequence})`
  return and(
    after === null ? undefined : lt(place, sql`(${after.at}, ${after.sequence})`),
    end === null ? undefined : gte(place, sql`(${end.at}, ${end.sequence})`),
  )
}

export const createAuditTrail = ({
  database,
  scan = createScan(),
}: {
  readonly database: Database
  readonly scan?: Scan
}): AuditTrail => {
  const db = drizzle({ client: database })

  return {
    list: async ({ ownerId, keyId, actorId, action, since, until, limit, after }) => {
      const isOwned = ownerId === null ? undefined : eq(apikeyAudit.ownerId, ownerId)
      const isOfKey = keyId === undefined ? undefined : eq(apikeyAudit.subjectId, keyId)
      /** What one index finds. The rest is asked of each row by itself, and must not lead SQLite to another index. */
      const found = and(
        isOfKey ?? isOwned,
        since === undefined ? undefined : gte(apikeyAudit.at, since),
        until === undefined ? undefined : lt(apikeyAudit.at, until),
      )
      const condition = and(
        isOfKey === undefined ? undefined : isOwned,
        actorId === undefined ? undefined : eq(apikeyAudit.actorId, actorId),
        action === undefined ? undefined : eq(apikeyAudit.action, action),
      )
      const matches = condition === undefined ? undefined : sql`+(${condition})`
      return scan<AuditRow, AuditPosition>(
        {
          ahead: (start, rows) =>
            db
              .select({ at: apikeyAudit.at, sequence: apikeyAudit.sequence })
              .from(apikeyAudit)
              .where(and(found, between(start, null)))
              .orderBy(...order)
              .limit(1)
              .offset(rows - 1)
              .get() ?? null,
          read: (start, end, most) =>
            db
              .select(columns)
              .from(apikeyAudit)
              .where(and(found, between(start, end), matches))
              .orderBy(...order)
              .limit(most)
              .all(),
        },
        { after, limit, positionOf: ({ at, sequence }) => ({ at, sequence }) },
      )
    },
  }
}

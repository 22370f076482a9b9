import { sql } from 'drizzle-orm'
import { index, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import { auditColumns } from '../lib/audit.ts'

export const apiKeys = sqliteTable(
  'api_keys',
  {
    /** `key_` and the 16 characters in the key's text. */
    id: text().primaryKey(),
    prefix: text().notNull(),
    start: text().notNull(),
    last4: text().notNull(),
    secretHash: text('secret_hash').notNull(),
    name: text().notNull(),
    ownerId: text('owner_id').notNull(),
    createdBy: text('created_by').notNull(),
    permissions: text({ mode: 'json' }).$type<string[]>().notNull(),
    enabled: integer({ mode: 'boolean' }).notNull(),
    /** Milliseconds since the epoch, as all times here; null for never. */
    expiresAt: integer('expires_at'),
    createdAt: integer('created_at').notNull(),
    updatedAt: integer('updated_at').notNull(),
    /** Set by deletion. The row stays, so that the audit trail has something to point at. */
    revokedAt: integer('revoked_at'),
    rotatedFrom: text('rotated_from'),
    rotatedTo: text('rotated_to'),
  },
  table => [
    index('api_keys_by_owner').on(table.ownerId, table.createdAt, table.id),
    // What counts against the limit of an owner, without what has been replaced over the years.
    index('api_keys_live').on(table.ownerId).where(sql`revoked_at IS NULL AND rotated_to IS NULL`),
    index('api_keys_by_time').on(table.createdAt, table.id),
  ],
)

export const apikeyAudit = sqliteTable('api_key_audit', auditColumns())

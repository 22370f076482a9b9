import { index, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import { auditColumns } from '../lib/audit.ts'

/** Times are milliseconds since the epoch. */
export const sessions = sqliteTable(
  'sessions',
  {
    id: text().primaryKey(),
    userId: text('user_id').notNull(),
    /** Authenticates the refresh tokens of this session; random, and never leaves the row. */
    refreshKey: text('refresh_key').notNull(),
    /** Number of the refresh token that is good now. */
    refreshCounter: integer('refresh_counter').notNull(),
    refreshedAt: integer('refreshed_at').notNull(),
    createdAt: integer('created_at').notNull(),
    expiresAt: integer('expires_at').notNull(),
    endedAt: integer('ended_at'),
    endReason: text('end_reason'),
  },
  table => [index('sessions_by_user').on(table.userId, table.createdAt)],
)

export const signingKeys = sqliteTable('signing_keys', {
  kid: text().primaryKey(),
  algorithm: text({ enum: ['ES256'] }).notNull(),
  /** One signs; the state of the others comes with rotation. */
  state: text({ enum: ['active'] }).notNull(),
  publicJwk: text('public_jwk').notNull(),
  privateJwk: text('private_jwk').notNull(),
  createdAt: integer('created_at').notNull(),
})

/** The one-time token by which the first admin is made; only its hash is kept. */
export const setupTokens = sqliteTable('setup_tokens', {
  hash: text().primaryKey(),
  createdAt: integer('created_at').notNull(),
  expiresAt: integer('expires_at').notNull(),
})

export const loginAudit = sqliteTable('login_audit', auditColumns())

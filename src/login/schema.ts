import { index, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import { auditColumns } from '../lib/audit.ts'
import type { SubjectState } from '../lib/changes-schema.ts'

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
    /** How many of its access tokens were revoked by themselves. */
    revokedTokens: integer('revoked_tokens').notNull().default(0),
  },
  table => [
    index('sessions_by_user').on(table.userId, table.createdAt),
    // What ended lately is part of each snapshot of the feed.
    index('sessions_by_end').on(table.endedAt, table.id),
  ],
)

export const signingKeys = sqliteTable('signing_keys', {
  kid: text().primaryKey(),
  algorithm: text({ enum: ['ES256'] }).notNull(),
  /** One is active and signs; nothing that a revoked one signed is good. */
  state: text({ enum: ['active', 'revoked'] }).notNull(),
  publicJwk: text('public_jwk').notNull(),
  privateJwk: text('private_jwk').notNull(),
  createdAt: integer('created_at').notNull(),
  revokedAt: integer('revoked_at'),
})

/** The one-time token by which the first admin is made; only its hash is kept. */
export const setupTokens = sqliteTable('setup_tokens', {
  hash: text().primaryKey(),
  createdAt: integer('created_at').notNull(),
  expiresAt: integer('expires_at').notNull(),
})

export const loginAudit = sqliteTable('login_audit', auditColumns())

/** Service accounts. A deleted one keeps its row, so that its id never comes back. */
export const clients = sqliteTable(
  'clients',
  {
    id: text().primaryKey(),
    name: text().notNull(),
    /** What it may ask for in a token, each `resource:action`. */
    scopes: text({ mode: 'json' }).$type<string[]>().notNull(),
    status: text({ enum: ['active', 'disabled', 'deleted'] }).notNull(),
    createdBy: text('created_by'),
    createdAt: integer('created_at').notNull(),
    updatedAt: integer('updated_at').notNull(),
    /** Access tokens that were issued before are no good, seconds since the epoch; null where all are. */
    tokensSince: integer('tokens_since'),
  },
  table => [index('clients_by_time').on(table.createdAt, table.id)],
)

/** Secrets of service accounts: one, or two while a rotation lasts. */
export const clientSecrets = sqliteTable(
  'client_secrets',
  {
    id: text().primaryKey(),
    clientId: text('client_id')
      .notNull()
      .references(() => clients.id),
    hash: text().notNull(),
    createdAt: integer('created_at').notNull(),
    /** Set when another took its place; null for the one that is good until then. */
    expiresAt: integer('expires_at'),
  },
  table => [index('client_secrets_by_client').on(table.clientId, table.createdAt)],
)

/** Access tokens that were revoked by themselves (RFC 7009), until they would have expired. */
export const revokedTokens = sqliteTable(
  'revoked_tokens',
  { id: text().primaryKey(), expiresAt: integer('expires_at').notNull() },
  table => [index('revoked_tokens_by_expiry').on(table.expiresAt, table.id)],
)

/** What services have to hear about, oldest first. Written with the change itself. */
export const changes = sqliteTable('changes', {
  sequence: integer().primaryKey({ autoIncrement: true }),
  /** Random; part of each cursor, so that a history that was replaced is told from the one that goes on. */
  nonce: text().notNull(),
  type: text().notNull(),
  at: integer().notNull(),
  subjectId: text('subject_id').notNull(),
  state: text({ mode: 'json' }).$type<SubjectState>(),
  sessionId: text('session_id'),
  tokenId: text('token_id'),
  expiresAt: integer('expires_at'),
})

/** One row: the history that the changes belong to, and the key that cursors are authenticated with. */
export const feed = sqliteTable('feed', {
  id: integer().primaryKey(),
  generation: text().notNull(),
  cursorKey: text('cursor_key').notNull(),
  beganAt: integer('began_at').notNull(),
})

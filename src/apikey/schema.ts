import { sql } from 'drizzle-orm'
import { blob, index, integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import { auditColumns } from '../lib/audit.ts'
import type { KeyLimit, KeyMetadata } from './key-record.ts'

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
    rotatedAt: integer('rotated_at'),
    /**
     * The first key of which this one is a successor, however many were between; null for one that succeeds none. What
     * is counted, a key and its successors share: credits and the windows of limits.
     */
    lineageId: text('lineage_id'),
    /** Of the owner's own, for other programs. Null for none. */
    metadata: text({ mode: 'json' }).$type<KeyMetadata>(),
    /** CIDR; null for anywhere. */
    allowedNetworks: text('allowed_networks', { mode: 'json' }).$type<string[]>(),
    /** Null for those that the service has for keys without any of their own. */
    limits: text({ mode: 'json' }).$type<KeyLimit[]>(),
    /** Whether it spends credits, which are in a table of their own. Without, it may do anything at any cost. */
    isMetered: integer('is_metered', { mode: 'boolean' }).notNull().default(false),
    /** When it was told that the key expires soon, so that it is told once. */
    expiryToldAt: integer('expiry_told_at'),
    /** Written in the background, so a crash can lose the last of it. */
    lastUsedAt: integer('last_used_at'),
    /** Where that use came from: the address of the peer. */
    lastUsedAddress: text('last_used_address'),
  },
  table => [
    index('api_keys_by_owner').on(table.ownerId, table.createdAt, table.id),
    // What counts against the limit of an owner, without what has been replaced over the years.
    index('api_keys_live').on(table.ownerId).where(sql`revoked_at IS NULL AND rotated_to IS NULL`),
    index('api_keys_by_time').on(table.createdAt, table.id),
    index('api_keys_by_lineage').on(table.lineageId).where(sql`lineage_id IS NOT NULL`),
    index('api_keys_by_expiry').on(table.expiresAt).where(sql`expires_at IS NOT NULL AND revoked_at IS NULL`),
    // What is past its time in the trail, too, is found by when it ended.
    index('api_keys_by_revocation').on(table.revokedAt).where(sql`revoked_at IS NOT NULL`),
  ],
)

/**
 * The balance of a key and its successors. Narrow, and apart from the keys: it is written with every use that costs
 * something.
 */
export const keyCredits = sqliteTable('api_key_credits', {
  /** The first key of the line. */
  lineageId: text('lineage_id').primaryKey(),
  remaining: integer().notNull(),
  /** The balance when it was last set: what "low" is measured by where nothing refills it. */
  granted: integer().notNull(),
  /** What a refill sets the balance to, where it is lower; null for no refill. */
  refillAmount: integer('refill_amount'),
  refillInterval: text('refill_interval', { enum: ['daily', 'monthly'] }),
  /** Of a month, 1 to 31: the last day of one that is shorter. Null for a daily refill. */
  refillDay: integer('refill_day'),
  /** Refills that were due until then are in the balance. */
  refilledAt: integer('refilled_at').notNull(),
})

/** What was admitted within the windows of limits when a process stopped, for the one that starts next. */
export const keyWindows = sqliteTable('api_key_windows', {
  id: integer().primaryKey({ autoIncrement: true }),
  lineageId: text('lineage_id').notNull(),
  /** Name of a limit, or `*` for all of them. */
  name: text().notNull(),
  /** Times of admission, in a form of its own. */
  admitted: blob({ mode: 'buffer' }).notNull(),
  /** From then on nothing of it counts. */
  expiresAt: integer('expires_at').notNull(),
})

/**
 * Which keys changed, in order, so that other processes on the file know which of the keys that they verified must be
 * looked at again. Written by triggers whenever anything is written that decides about a request; only the latest
 * 10,000 are kept. A migration that makes `api_keys` anew has to make the triggers anew.
 */
export const keyChanges = sqliteTable('api_key_changes', {
  /** Never used twice, also when the latest rows are gone. */
  revision: integer().primaryKey({ autoIncrement: true }),
  keyId: text('key_id').notNull(),
})

/** How often keys were used, or refused to who held them, by day. Written in the background. */
export const keyUsage = sqliteTable(
  'api_key_usage',
  {
    keyId: text('key_id').notNull(),
    /** Days since the epoch, UTC. */
    day: integer().notNull(),
    /** `accepted`, or the code of the refusal. */
    outcome: text().notNull(),
    uses: integer().notNull(),
  },
  table => [
    primaryKey({ columns: [table.keyId, table.day, table.outcome] }),
    index('api_key_usage_by_day').on(table.day),
  ],
)

export const apikeyAudit = sqliteTable(
  'api_key_audit',
  {
    ...auditColumns(),
    /** Who owned the key when it happened, and may read the row; null for what only admins read. */
    ownerId: text('owner_id'),
  },
  table => [
    // Each in the order of time, and of `sequence` within a millisecond: the key of the table stands in every index.
    index('api_key_audit_by_subject').on(table.subjectId, table.at),
    index('api_key_audit_by_owner').on(table.ownerId, table.at),
    index('api_key_audit_by_time').on(table.at),
  ],
)

/** Owners and callers as the change feed tells of them: users and service accounts. */
export const subjects = sqliteTable(
  'subjects',
  {
    id: text().primaryKey(),
    status: text({ enum: ['active', 'disabled', 'deleted'] }).notNull(),
    roles: text({ mode: 'json' }).$type<string[]>().notNull(),
    scopes: text({ mode: 'json' }).$type<string[]>().notNull(),
    /** Seconds since the epoch: access tokens that were issued before it are no good. Null for no such time. */
    tokensSince: integer('tokens_since'),
    /** The change that left it so, within its epoch: what is older changes nothing. */
    sequence: integer().notNull(),
    /** Counts the snapshots that were begun here; what the last one did not have is gone. */
    epoch: integer().notNull(),
    /** When that change was heard of here. */
    changedAt: integer('changed_at').notNull(),
  },
  table => [index('subjects_by_epoch').on(table.epoch)],
)

/** Sessions and tokens that ended, until their last access token has expired by itself. */
export const endedCredentials = sqliteTable(
  'ended_credentials',
  {
    /** `sid` or `jti` of the tokens that are no good any more. */
    id: text().primaryKey(),
    expiresAt: integer('expires_at').notNull(),
  },
  table => [index('ended_credentials_by_expiry').on(table.expiresAt)],
)

/** One row: how far the feed has been read. */
export const feedPosition = sqliteTable('feed_position', {
  id: integer().primaryKey(),
  /** Names this database to `login`, in its list of followers. */
  follower: text().notNull(),
  /** Null until a snapshot is complete. */
  generation: text(),
  cursor: text(),
  epoch: integer().notNull(),
  /** When `login` was last heard, by the clock of this machine. */
  heardAt: integer('heard_at'),
})

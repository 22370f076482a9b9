import type { Database } from 'bun:sqlite'
import { and, asc, count, eq, gt, isNull, or, type SQL, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import type { AuditContext } from '../lib/audit.ts'
import type { Clock } from '../lib/clock.ts'
import { type Page, type Position, toPage } from '../lib/cursor.ts'
import { Failure } from '../lib/failure.ts'
import { retryBusy } from '../lib/sqlite.ts'
import type { KeyCode } from './errors.ts'
import { apiKeys, apikeyAudit } from './schema.ts'

/** A stored key without its hash. Times are milliseconds since the epoch. */
export type KeyRecord = {
  readonly id: string
  readonly prefix: string
  readonly start: string
  readonly last4: string
  readonly name: string
  readonly ownerId: string
  readonly createdBy: string
  readonly permissions: string[]
  readonly enabled: boolean
  readonly expiresAt: number | null
  readonly createdAt: number
  readonly updatedAt: number
  readonly revokedAt: number | null
  readonly rotatedFrom: string | null
  readonly rotatedTo: string | null
}

/** What makes a key: its names and the hash of its secret. */
export type KeyMaterial = Pick<KeyRecord, 'id' | 'prefix' | 'start' | 'last4'> & {
  readonly secretHash: string
}

export type NewKey = KeyMaterial &
  Pick<KeyRecord, 'name' | 'ownerId' | 'createdBy' | 'permissions' | 'expiresAt'>

export type KeyChanges = {
  readonly name?: string
  readonly permissions?: string[]
  readonly enabled?: boolean
  readonly expiresAt?: number | null
}

/** Whose keys a caller may touch: one owner's, or everyone's. */
export type KeyScope = { readonly ownerId: string } | 'all'

/**
 * Where keys are kept. Each method is one decision, taken and written with its audit row in one transaction.
 * A key that is outside the scope, revoked, or was never there is all the same: Failure `api_key_not_found`.
 */
export type KeyStore = {
  /** @throws Failure `api_key_limit_reached` when the owner has `limit` keys that are neither dead nor replaced. */
  insert(key: NewKey, limit: number, context: AuditContext): Promise<KeyRecord>
  /** A key with its hash, revoked or not, for who presents it. */
  findCredential(id: string): Promise<{ key: KeyRecord; secretHash: string } | null>
  find(id: string, scope: KeyScope): Promise<KeyRecord>
  list(query: { scope: KeyScope; limit: number; after: Position | null }): Promise<Page<KeyRecord>>
  /**
   * @throws Failure `api_key_rotated` for a key that has been replaced: what is left of its life is settled;
   * `api_key_inactive` for another expiry of one that has expired: it would come back to life.
   */
  update(id: string, scope: KeyScope, changes: KeyChanges, context: AuditContext): Promise<KeyRecord>
  /**
   * Puts a new key in the place of another, which lives on until `graceUntil` at most. What that one replaced, if it
   * still lives, ends now: of one key and its successors never more than two are good.
   *
   * @throws Failure `api_key_rotated` when another rotation was first, `api_key_inactive` for a key that is expired
   * or disabled: rotation brings nothing back to life.
   */
  rotate(
    id: string,
    scope: KeyScope,
    successor: KeyMaterial,
    graceUntil: number,
    context: AuditContext,
  ): Promise<KeyRecord>
  revoke(id: string, scope: KeyScope, context: AuditContext): Promise<void>
  /** Revokes every key of an owner that is not dead yet; returns how many that were. */
  revokeOwned(ownerId: string, context: AuditContext): Promise<number>
}

/** Columns are named one by one, so that the hash is never among them by chance. */
const recordColumns = {
  id: apiKeys.id,
  prefix: apiKeys.prefix,
  start: apiKeys.start,
  last4: apiKeys.last4,
  name: apiKeys.name,
  ownerId: apiKeys.ownerId,
  createdBy: apiKeys.createdBy,
  permissions: apiKeys.permissions,
  enabled: apiKeys.enabled,
  expiresAt: apiKeys.expiresAt,
  createdAt: apiKeys.createdAt,
  updatedAt: apiKeys.updatedAt,
  revokedAt: apiKeys.revokedAt,
  rotatedFrom: apiKeys.rotatedFrom,
  rotatedTo: apiKeys.rotatedTo,
}

/** From the very millisecond of its expiry on a key is dead. */
export const isExpired = ({ expiresAt }: KeyRecord, now: number): boolean =>
  expiresAt !== null && expiresAt <= now

const failure = (code: KeyCode): Failure<KeyCode> => new Failure(code)

export const createSqliteKeyStore = ({ database, clock }: { database: Database; clock: Clock }): KeyStore => {
  const db = drizzle({ client: database })
  type Transaction = Parameters<Parameters<typeof db.transaction>[0]>[0]

  const write = <Result>(decide: (tx: Transaction) => Result): Promise<Result> =>
    retryBusy(() => db.transaction(decide, { behavior: 'immediate' }))

  const record = (
    tx: Transaction,
    action: string,
    subjectId: string,
    detail: Record<string, unknown>,
    { actorId, address, requestId }: AuditContext,
  ): void => {
    tx.insert(apikeyAudit)
      .values({ at: clock(), action, subjectId, detail, actorId, address, requestId })
      .run()
  }

  const within = (scope: KeyScope): SQL | undefined =>
    scope === 'all' ? undefined : eq(apiKeys.ownerId, scope.ownerId)

  const unexpired = (now: number) => or(isNull(apiKeys.expiresAt), gt(apiKeys.expiresAt, now))

  const live = (reader: Pick<Transaction, 'select'>, id: string, scope: KeyScope): KeyRecord => {
    const found = reader
      .select(recordColumns)
      .from(apiKeys)
      .where(and(eq(apiKeys.id, id), isNull(apiKeys.revokedAt), within(scope)))
      .get()
    if (found === undefined) throw failure('api_key_not_found')
    return found
  }

  // On the path of every request that brings a key, so prepared once.
  const credential = db
    .select({ key: recordColumns, secretHash: apiKeys.secretHash })
    .from(apiKeys)
    .where(eq(apiKeys.id, sql.placeholder('id')))
    .prepare()

  return {
    insert: (key, limit, context) =>
      write(tx => {
        const now = clock()
        const owned = tx
          .select({ keys: count() })
          .from(apiKeys)
          .where(
            and(
              eq(apiKeys.ownerId, key.ownerId),
              isNull(apiKeys.revokedAt),
              isNull(apiKeys.rotatedTo),
              unexpired(now),
            ),
          )
          .get()
        if (owned !== undefined && owned.keys >= limit) throw failure('api_key_limit_reached')
        const made = tx
          .insert(apiKeys)
          .values({ ...key, enabled: true, createdAt: now, updatedAt: now })
          .returning(recordColumns)
          .get()
        const { name, ownerId, permissions, expiresAt } = key
        record(tx, 'api_key.created', key.id, { name, ownerId, permissions, expiresAt }, context)
        return made
      }),

    findCredential: async id => credential.get({ id }) ?? null,

    find: async (id, scope) => live(db, id, scope),

    list: async ({ scope, limit, after }) =>
      toPage(
        db
          .select(recordColumns)
          .from(apiKeys)
          .where(
            and(
              isNull(apiKeys.revokedAt),
              within(scope),
              after === null
                ? undefined
                : gt(sql`(${apiKeys.createdAt}, ${apiKeys.id})`, sql`(${after.createdAt}, ${after.id})`),
            ),
          )
          .orderBy(asc(apiKeys.createdAt), asc(apiKeys.id))
          .limit(limit + 1)
          .all(),
        limit,
      ),

    update: (id, scope, changes, context) =>
      write(tx => {
        const before = live(tx, id, scope)
        if (before.rotatedTo !== null) throw failure('api_key_rotated')
        if (changes.expiresAt !== undefined && isExpired(before, clock())) throw failure('api_key_inactive')
        const after = tx
          .update(apiKeys)
          .set({ ...changes, updatedAt: clock() })
          .where(eq(apiKeys.id, id))
          .returning(recordColumns)
          .get()
        if (after === undefined) throw failure('api_key_not_found')
        const pick = ({ name, permissions, enabled, expiresAt }: KeyRecord) => ({
          name,
          permissions,
          enabled,
          expiresAt,
        })
        record(tx, 'api_key.changed', id, { before: pick(before), after: pick(after) }, context)
        return after
      }),

    rotate: (id, scope, successor, graceUntil, context) =>
      write(tx => {
        const old = live(tx, id, scope)
        if (old.rotatedTo !== null) throw failure('api_key_rotated')
        const now = clock()
        if (!old.enabled || isExpired(old, now)) throw failure('api_key_inactive')
        const made = tx
          .insert(apiKeys)
          .values({
            ...successor,
            name: old.name,
            ownerId: old.ownerId,
            createdBy: old.createdBy,
            permissions: old.permissions,
            enabled: true,
            expiresAt: old.expiresAt,
            createdAt: now,
            updatedAt: now,
            rotatedFrom: id,
          })
          .returning(recordColumns)
          .get()
        const expiresAt = Math.min(graceUntil, old.expiresAt ?? graceUntil)
        tx.update(apiKeys)
          .set({ rotatedTo: made.id, expiresAt, updatedAt: now })
          .where(eq(apiKeys.id, id))
          .run()
        if (old.rotatedFrom !== null) {
          tx.update(apiKeys)
            .set({ expiresAt: now, updatedAt: now })
            .where(and(eq(apiKeys.id, old.rotatedFrom), gt(apiKeys.expiresAt, now)))
            .run()
        }
        record(tx, 'api_key.rotated', id, { rotatedTo: made.id, expiresAt }, context)
        return made
      }),

    revoke: (id, scope, context) =>
      write(tx => {
        const { name, ownerId } = live(tx, id, scope)
        const now = clock()
        tx.update(apiKeys).set({ revokedAt: now, updatedAt: now }).where(eq(apiKeys.id, id)).run()
        record(tx, 'api_key.revoked', id, { name, ownerId }, context)
      }),

    revokeOwned: (ownerId, context) =>
      write(tx => {
        const now = clock()
        const revoked = tx
          .update(apiKeys)
          .set({ revokedAt: now, updatedAt: now })
          .where(and(eq(apiKeys.ownerId, ownerId), isNull(apiKeys.revokedAt), unexpired(now)))
          .returning({ id: apiKeys.id, name: apiKeys.name })
          .all()
        for (const { id, name } of revoked) record(tx, 'api_key.revoked', id, { name, ownerId }, context)
        return revoked.length
      }),
  }
}

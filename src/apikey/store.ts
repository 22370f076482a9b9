import type { Database } from 'bun:sqlite'
import { and, eq, isNull, type SQL, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import type { AuditContext } from '../lib/audit.ts'
import type { Clock } from '../lib/clock.ts'
import type { Page } from '../lib/cursor.ts'
import { Failure } from '../lib/failure.ts'
import { retryBusy } from '../lib/sqlite.ts'
import { differences, termsOf } from './differences.ts'
import type { KeyCode } from './errors.ts'
import type { KeyEvent } from './events.ts'
import { createKeyChanges, type KeyListener, type KeyWatch } from './key-changes.ts'
import { isExpired, type KeyChanges, type KeyMaterial, type KeyRecord, type NewKey } from './key-record.ts'
import type { Scan } from './scan.ts'
import { apiKeys } from './schema.ts'
import {
  type CreditChange,
  type Credits,
  changeCredits,
  grantCredits,
  isOfOthers,
  readCredits,
} from './store-credits.ts'
import { createKeyList, type KeyQuery, type KeyScope } from './store-list.ts'
import { rotateKey } from './store-rotate.ts'
import { countOwned, type KeyTransaction, recordColumns, unexpired, writeAudit } from './store-rows.ts'
import { transferKeys } from './store-transfer.ts'

export type { KeyQuery, KeyScope } from './store-list.ts'

export type KeyTransfer = {
  readonly from: string
  readonly to: string
  /** These keys; null for the oldest `most` that live. */
  readonly keyIds: readonly string[] | null
  readonly most: number
  /** Keys that `to` may have. */
  readonly limit: number
  /** What `to` may do now. */
  readonly grantable: readonly string[]
}

/** Keys as they are now, and how many of the old owner's are left. */
export type Transferred = { readonly keys: readonly KeyRecord[]; readonly remaining: number }

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
  /** Looks at a bounded number of keys: a page may be short, or empty, and yet not the last one. */
  list(query: KeyQuery): Promise<Page<KeyRecord>>
  /** Writes that somebody reads the keys of others, before they do. */
  noteListing(filters: Record<string, unknown>, context: AuditContext): Promise<void>
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
  /**
   * Moves live keys to another owner, all or none, each together with the one that it replaced or that replaced it.
   *
   * @throws Failure `api_key_not_found` for a named key that is no live one of `from`, `permission_not_grantable` when
   * one may do what `to` may not, `api_key_limit_reached` when `to` would have too many.
   */
  transfer(transfer: KeyTransfer, context: AuditContext): Promise<Transferred>
  /** What a key and its successors may still spend, as of now; null for one that is not metered. */
  credits(id: string, scope: KeyScope): Promise<Credits | null>
  /**
   * The successors' credits as well: they have one balance.
   *
   * @throws Failure `api_key_unmetered` for something added to, or subtracted from, no balance; `invalid_request` for a
   * balance beyond the most.
   */
  changeCredits(
    id: string,
    scope: KeyScope,
    wanted: CreditChange,
    context: AuditContext,
  ): Promise<Credits | null>
  /**
   * For whoever remembers what `findCredential` said. The listener is told of changes of this store in the step that
   * commits them, and of those of other writers whenever the watch is asked to catch up.
   */
  watch(listener: KeyListener): KeyWatch
}

const named = ({ id, ownerId, name }: Pick<KeyRecord, 'id' | 'ownerId' | 'name'>, at: number) => ({
  at,
  keyId: id,
  ownerId,
  name,
})

const failure = (code: KeyCode): Failure<KeyCode> => new Failure(code)

export type KeyStoreOptions = {
  readonly database: Database
  readonly clock: Clock
  /** Told of what was committed. */
  readonly emit?: (event: KeyEvent) => void
  /** How lists go through the table. */
  readonly scan?: Scan
}

export const createSqliteKeyStore = ({
  database,
  clock,
  emit = () => {},
  scan,
}: KeyStoreOptions): KeyStore => {
  const db = drizzle({ client: database })

  const changes = createKeyChanges(database)
  /**
   * A write: it names each key that it changes, since that may have been verified before, and what there is to tell of
   * it. Both are told once it is committed.
   */
  const change = <Result>(
    decide: (tx: KeyTransaction, changed: (id: string) => void, tell: (event: KeyEvent) => void) => Result,
  ): Promise<Result> =>
    retryBusy(() => {
      const ids: string[] = []
      const events: KeyEvent[] = []
      const decided = db.transaction(
        tx =>
          decide(
            tx,
            id => {
              ids.push(id)
            },
            event => {
              events.push(event)
            },
          ),
        { behavior: 'immediate' },
      )
      changes.announce(ids)
      for (const event of events) emit(event)
      return decided
    })

  const within = (scope: KeyScope): SQL | undefined =>
    scope === 'all' ? undefined : eq(apiKeys.ownerId, scope.ownerId)

  const live = (reader: Pick<KeyTransaction, 'select'>, id: string, scope: KeyScope): KeyRecord => {
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
      change((tx, _changed, tell) => {
        const now = clock()
        if (countOwned(tx, key.ownerId, now) >= limit) throw failure('api_key_limit_reached')
        const { credits = null, ...row } = key
        const made = tx
          .insert(apiKeys)
          .values({ ...row, isMetered: credits !== null, enabled: true, createdAt: now, updatedAt: now })
          .returning(recordColumns)
          .get()
        if (credits !== null) grantCredits(tx, made.lineageId, credits, now)
        const detail = { ...termsOf(made), ...(credits === null ? {} : { credits }) }
        writeAudit(tx, now, 'api_key.created', key.id, detail, context)
        tell({ type: 'api_key.created', ...named(made, now), actorId: context.actorId })
        return made
      }),

    findCredential: async id => credential.get({ id }) ?? null,

    find: async (id, scope) => live(db, id, scope),

    list: createKeyList({ database, clock, ...(scan === undefined ? {} : { scan }) }),

    noteListing: (filters, context) =>
      change(tx => writeAudit(tx, clock(), 'api_key.listed', null, { filters }, context)),

    update: (id, scope, { credits, ...wanted }, context) =>
      change((tx, changed) => {
        const now = clock()
        const before = live(tx, id, scope)
        if (before.rotatedTo !== null) throw failure('api_key_rotated')
        if (wanted.expiresAt !== undefined && isExpired(before, now)) throw failure('api_key_inactive')
        if (credits !== undefined) {
          changeCredits({ tx, key: before, now, changed, context }, { grant: credits })
        }
        const after = tx
          .update(apiKeys)
          .set({
            ...wanted,
            ...(wanted.expiresAt === undefined ? {} : { expiryToldAt: null }),
            updatedAt: now,
          })
          .where(eq(apiKeys.id, id))
          .returning(recordColumns)
          .get()
        if (after === undefined) throw failure('api_key_not_found')
        changed(id)
        writeAudit(tx, now, 'api_key.changed', id, differences(before, after), context)
        return after
      }),

    rotate: (id, scope, successor, graceUntil, context) =>
      change((tx, changed, tell) => {
        const now = clock()
        const old = live(tx, id, scope)
        const made = rotateKey({ tx, now, changed, context }, old, successor, graceUntil)
        tell({ type: 'api_key.rotated', ...named(old, now), actorId: context.actorId, successorId: made.id })
        return made
      }),

    revoke: (id, scope, context) =>
      change((tx, changed, tell) => {
        const key = live(tx, id, scope)
        const { name, ownerId } = key
        const now = clock()
        tx.update(apiKeys).set({ revokedAt: now, updatedAt: now }).where(eq(apiKeys.id, id)).run()
        changed(id)
        writeAudit(tx, now, 'api_key.revoked', id, { name, ownerId }, context)
        tell({ type: 'api_key.revoked', ...named(key, now), actorId: context.actorId })
      }),

    revokeOwned: (ownerId, context) =>
      change((tx, changed, tell) => {
        const now = clock()
        const revoked = tx
          .update(apiKeys)
          .set({ revokedAt: now, updatedAt: now })
          .where(and(eq(apiKeys.ownerId, ownerId), isNull(apiKeys.revokedAt), unexpired(now)))
          .returning({ id: apiKeys.id, name: apiKeys.name })
          .all()
        for (const { id, name } of revoked) {
          changed(id)
          writeAudit(tx, now, 'api_key.revoked', id, { name, ownerId }, context)
          tell({ type: 'api_key.revoked', ...named({ id, name, ownerId }, now), actorId: context.actorId })
        }
        return revoked.length
      }),

    transfer: (transfer, context) =>
      change((tx, changed) => {
        const moved = transferKeys(tx, transfer, clock(), context)
        for (const { id } of moved.keys) changed(id)
        return moved
      }),

    credits: async (id, scope) => {
      const now = clock()
      const { lineageId } = live(db, id, scope)
      // A key that was dead when its successor went to somebody else stays, and the balance is theirs.
      if (scope !== 'all' && isOfOthers(db, lineageId, scope.ownerId, now)) throw failure('api_key_not_found')
      return readCredits(db, lineageId, now)
    },

    changeCredits: (id, scope, wanted, context) =>
      change((tx, changed) =>
        changeCredits({ tx, key: live(tx, id, scope), now: clock(), changed, context }, wanted),
      ),

    watch: changes.watch,
  }
}

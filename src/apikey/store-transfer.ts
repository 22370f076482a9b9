import { and, asc, count, eq, inArray, isNull } from 'drizzle-orm'
import type { AuditContext } from '../lib/audit.ts'
import { Failure } from '../lib/failure.ts'
import { allows } from '../lib/permission.ts'
import type { KeyCode } from './errors.ts'
import type { KeyRecord } from './key-record.ts'
import { apiKeys } from './schema.ts'
import type { KeyTransfer, Transferred } from './store.ts'
import { countOwned, type KeyTransaction, recordColumns, unexpired, writeAudit } from './store-rows.ts'

const notFound = (keyIds: readonly string[], found: readonly KeyRecord[]): Failure<KeyCode> => {
  const known = new Set(found.map(({ id }) => id))
  const errors = keyIds.flatMap((id, index) =>
    known.has(id) ? [] : [{ field: `keyIds/${index}`, rule: 'must be a live key of the owner in from' }],
  )
  return new Failure('api_key_not_found', { errors })
}

/** The keys to begin with: those that are named, or the oldest `most`. */
const chosen = (tx: KeyTransaction, { from, keyIds, most }: KeyTransfer, now: number): KeyRecord[] => {
  const found = tx
    .select(recordColumns)
    .from(apiKeys)
    .where(
      and(
        eq(apiKeys.ownerId, from),
        isNull(apiKeys.revokedAt),
        unexpired(now),
        keyIds === null ? undefined : inArray(apiKeys.id, [...keyIds]),
      ),
    )
    .orderBy(asc(apiKeys.createdAt), asc(apiKeys.id))
    .limit(keyIds === null ? most : keyIds.length)
    .all()
  if (keyIds !== null && found.length < new Set(keyIds).size) throw notFound(keyIds, found)
  return found
}

/**
 * What replaced a key, or was replaced by it and lives on in its time of grace: whoever has one of the two is to have
 * the other. Of a key and its successors never more than two are good, so that one step finds all.
 */
const partners = (tx: KeyTransaction, keys: readonly KeyRecord[], from: string, now: number): KeyRecord[] => {
  const known = new Set(keys.map(({ id }) => id))
  const ids = keys
    .flatMap(({ rotatedFrom, rotatedTo }) => [rotatedFrom, rotatedTo])
    .filter(id => id !== null)
    .filter(id => !known.has(id))
  if (ids.length === 0) return []
  return tx
    .select(recordColumns)
    .from(apiKeys)
    .where(
      and(inArray(apiKeys.id, ids), eq(apiKeys.ownerId, from), isNull(apiKeys.revokedAt), unexpired(now)),
    )
    .all()
}

/** @throws Failure `permission_not_grantable` that names each key and permission, 20 at most. */
const checkGrantable = (keys: readonly KeyRecord[], grantable: readonly string[]): void => {
  const errors = keys.flatMap(({ id, permissions }) =>
    permissions
      .filter(permission => !allows(grantable, permission))
      .map(permission => ({ field: id, rule: `has ${permission}, which the new owner may not do` })),
  )
  if (errors.length === 0) return
  throw new Failure<KeyCode>('permission_not_grantable', { errors: errors.slice(0, 20) })
}

/** Decides and writes {@link KeyStore.transfer}, all in the transaction that it is given. */
export const transferKeys = (
  tx: KeyTransaction,
  transfer: KeyTransfer,
  now: number,
  context: AuditContext,
): Transferred => {
  const { from, to, limit, grantable } = transfer
  const named = chosen(tx, transfer, now)
  const keys = [...named, ...partners(tx, named, from, now)]
  checkGrantable(keys, grantable)
  const added = keys.filter(({ rotatedTo }) => rotatedTo === null).length
  if (added > 0 && countOwned(tx, to, now) + added > limit) {
    throw new Failure<KeyCode>('api_key_limit_reached')
  }
  const moved = keys.map(key => ({ ...key, ownerId: to, updatedAt: now }))
  if (moved.length > 0) {
    tx.update(apiKeys)
      .set({ ownerId: to, updatedAt: now })
      .where(
        inArray(
          apiKeys.id,
          moved.map(({ id }) => id),
        ),
      )
      .run()
  }
  for (const { id } of moved) {
    const detail = { before: { ownerId: from }, after: { ownerId: to } }
    // A row of the one who had the key, to whom it would be gone without a word.
    writeAudit(tx, now, 'api_key.transferred', id, detail, context, from)
  }
  const left = tx
    .select({ keys: count() })
    .from(apiKeys)
    .where(and(eq(apiKeys.ownerId, from), isNull(apiKeys.revokedAt), unexpired(now)))
    .get()
  return {
    keys: moved.toSorted((one, other) => one.createdAt - other.createdAt || (one.id < other.id ? -1 : 1)),
    remaining: left?.keys ?? 0,
  }
}

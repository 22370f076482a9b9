import type { Database } from 'bun:sqlite'
import { and, count, eq, gt, isNull, or, sql } from 'drizzle-orm'
import type { drizzle } from 'drizzle-orm/bun-sqlite'
import type { AuditContext } from '../lib/audit.ts'
import { apiKeys, apikeyAudit } from './schema.ts'

type Drizzle = ReturnType<typeof drizzle<Record<string, never>, Database>>
export type KeyTransaction = Parameters<Parameters<Drizzle['transaction']>[0]>[0]

/** Columns are named one by one, so that the hash is never among them by chance. */
export const recordColumns = {
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
  rotatedAt: apiKeys.rotatedAt,
  lineageId: sql<string>`coalesce(${apiKeys.lineageId}, ${apiKeys.id})`.as('lineage'),
  metadata: apiKeys.metadata,
  allowedNetworks: apiKeys.allowedNetworks,
  limits: apiKeys.limits,
  isMetered: apiKeys.isMetered,
  lastUsedAt: apiKeys.lastUsedAt,
  lastUsedAddress: apiKeys.lastUsedAddress,
}

export const unexpired = (now: number) => or(isNull(apiKeys.expiresAt), gt(apiKeys.expiresAt, now))

/** Keys of an owner that are neither dead nor replaced: what counts against the limit. */
export const countOwned = (tx: KeyTransaction, ownerId: string, now: number): number =>
  tx
    .select({ keys: count() })
    .from(apiKeys)
    .where(
      and(eq(apiKeys.ownerId, ownerId), isNull(apiKeys.revokedAt), isNull(apiKeys.rotatedTo), unexpired(now)),
    )
    .get()?.keys ?? 0

/** Who owns a key at this point of the transaction. */
export const ownerOf = (keyId: string) =>
  sql<string | null>`(SELECT ${apiKeys.ownerId} FROM ${apiKeys} WHERE ${apiKeys.id} = ${keyId})`

/**
 * A row of the audit trail, in the transaction of what it tells of. It may be read by whoever owns the key by then,
 * unless another owner is named; where there is no key to it, by admins only.
 */
export const writeAudit = (
  tx: KeyTransaction,
  at: number,
  action: `api_key.${string}`,
  subjectId: string | null,
  detail: Record<string, unknown>,
  { actorId, address, requestId }: AuditContext,
  ownerId?: string,
): void => {
  const owner = ownerId ?? (subjectId === null ? null : ownerOf(subjectId))
  tx.insert(apikeyAudit)
    .values({ at, action, subjectId, detail, actorId, address, requestId, ownerId: owner })
    .run()
}

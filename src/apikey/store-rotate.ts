import { and, eq, gt, isNull } from 'drizzle-orm'
import type { AuditContext } from '../lib/audit.ts'
import { Failure } from '../lib/failure.ts'
import { differences, termsOf } from './differences.ts'
import type { KeyCode } from './errors.ts'
import { isExpired, type KeyMaterial, type KeyRecord } from './key-record.ts'
import { apiKeys } from './schema.ts'
import { type KeyTransaction, recordColumns, writeAudit } from './store-rows.ts'

/** What stands in the transaction of a rotation. */
type RotationStep = {
  readonly tx: KeyTransaction
  readonly now: number
  /** Told of each key that has to be looked at again. */
  readonly changed: (id: string) => void
  readonly context: AuditContext
}

/** What a rotated key replaced itself has an end now. */
const endGrace = ({ tx, now, changed, context }: RotationStep, id: string): void => {
  changed(id)
  const before = tx
    .select({ expiresAt: apiKeys.expiresAt })
    .from(apiKeys)
    .where(and(eq(apiKeys.id, id), gt(apiKeys.expiresAt, now), isNull(apiKeys.revokedAt)))
    .get()
  if (before === undefined) return
  tx.update(apiKeys).set({ expiresAt: now, updatedAt: now }).where(eq(apiKeys.id, id)).run()
  const detail = { ...differences(before, { expiresAt: now }), reason: 'replaced_again' }
  writeAudit(tx, now, 'api_key.changed', id, detail, context)
}

/**
 * Decides and writes a rotation of a key that is not revoked, all in the transaction that it is given. The successor has
 * the terms of the old one and shares what is counted.
 *
 * @throws Failure `api_key_rotated` for one that has been replaced, `api_key_inactive` for one that is expired or
 * disabled.
 */
export const rotateKey = (
  step: RotationStep,
  old: KeyRecord,
  successor: KeyMaterial,
  graceUntil: number,
): KeyRecord => {
  const { tx, now, changed, context } = step
  if (old.rotatedTo !== null) throw new Failure<KeyCode>('api_key_rotated')
  if (!old.enabled || isExpired(old, now)) throw new Failure<KeyCode>('api_key_inactive')
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
      rotatedFrom: old.id,
      lineageId: old.lineageId,
      metadata: old.metadata,
      allowedNetworks: old.allowedNetworks,
      limits: old.limits,
      isMetered: old.isMetered,
    })
    .returning(recordColumns)
    .get()
  const expiresAt = Math.min(graceUntil, old.expiresAt ?? graceUntil)
  tx.update(apiKeys)
    .set({ rotatedTo: made.id, rotatedAt: now, expiresAt, updatedAt: now })
    .where(eq(apiKeys.id, old.id))
    .run()
  changed(old.id)
  if (old.rotatedFrom !== null) endGrace(step, old.rotatedFrom)
  const ends = { before: { expiresAt: old.expiresAt }, after: { expiresAt, rotatedTo: made.id } }
  writeAudit(tx, now, 'api_key.created', made.id, { ...termsOf(made), rotatedFrom: old.id }, context)
  writeAudit(tx, now, 'api_key.rotated', old.id, ends, context)
  return made
}

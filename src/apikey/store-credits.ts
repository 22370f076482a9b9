import { and, eq, ne } from 'drizzle-orm'
import type { AuditContext } from '../lib/audit.ts'
import { Failure } from '../lib/failure.ts'
import { asOf, type CreditRow, mayLive, mostCredits, ofLineage, refillOf } from './credit-rows.ts'
import type { KeyCode } from './errors.ts'
import type { KeyRecord } from './key-record.ts'
import { nextRefillAt, type Refill } from './refill.ts'
import { apiKeys, keyCredits } from './schema.ts'
import { type KeyTransaction, writeAudit } from './store-rows.ts'

/** What a key is given: a balance, 0 to {@link mostCredits}, and what refills it. */
export type CreditGrant = { readonly remaining: number; readonly refill: Refill | null }

/** What a key and its successors have, with the refill that is due. */
export type Credits = CreditGrant & {
  /** Milliseconds since the epoch; null where nothing refills it. */
  readonly nextRefillAt: number | null
}

export type CreditChange =
  /** The balance itself. A key that was not metered is from then on, without a refill. */
  | { readonly set: number }
  | { readonly add: number }
  /** Down to 0 and not below: what was spent meanwhile is nobody's debt. */
  | { readonly subtract: number }
  /** Balance and refill anew; null for a key that spends no credits. */
  | { readonly grant: CreditGrant | null }

/** What stands in the transaction of a change of keys, as `update` of the store has it. */
export type CreditStep = {
  readonly tx: KeyTransaction
  /** Of any key of the line. */
  readonly key: Pick<KeyRecord, 'id' | 'lineageId'>
  readonly now: number
  /** Told of each key that has to be looked at again. */
  readonly changed: (id: string) => void
  readonly context: AuditContext
}

type Reader = Pick<KeyTransaction, 'select'>

const readRow = (reader: Reader, lineageId: string, now: number): CreditRow | null => {
  const row = reader.select().from(keyCredits).where(eq(keyCredits.lineageId, lineageId)).get()
  return row === undefined ? null : asOf(row, now)
}

const toCredits = (row: CreditRow, now: number): Credits => {
  const refill = refillOf(row)
  return {
    remaining: row.remaining,
    refill,
    nextRefillAt: refill === null ? null : nextRefillAt(refill, now),
  }
}

/** The balance as of now; null for keys that are not metered. */
export const readCredits = (reader: Reader, lineageId: string, now: number): Credits | null => {
  const row = readRow(reader, lineageId, now)
  return row === null ? null : toCredits(row, now)
}

/** Whether a balance is spent by keys of somebody else. */
export const isOfOthers = (reader: Reader, lineageId: string, ownerId: string, now: number): boolean =>
  reader
    .select({ id: apiKeys.id })
    .from(apiKeys)
    .where(and(ofLineage(lineageId), ne(apiKeys.ownerId, ownerId), mayLive(now)))
    .limit(1)
    .get() !== undefined

const newRow = (lineageId: string, { remaining, refill }: CreditGrant, now: number): CreditRow => ({
  lineageId,
  remaining,
  granted: remaining,
  refillAmount: refill?.amount ?? null,
  refillInterval: refill?.interval ?? null,
  refillDay: refill?.dayOfMonth ?? null,
  refilledAt: now,
})

const writeRow = (tx: KeyTransaction, { lineageId, ...row }: CreditRow): void => {
  tx.insert(keyCredits)
    .values({ lineageId, ...row })
    .onConflictDoUpdate({ target: keyCredits.lineageId, set: row })
    .run()
}

/** Gives a new key its first credits, in the transaction that makes it. The key itself says that it `isMetered`. */
export const grantCredits = (tx: KeyTransaction, lineageId: string, grant: CreditGrant, now: number): void =>
  writeRow(tx, newRow(lineageId, grant, now))

/**
 * Of the keys that share the balance and may be used again: the old one spends on in its time of grace. Not of the dead
 * ones before, which nothing brings back, and of which whoever rotates in a loop has as many as they like.
 */
const setMetered = ({ tx, key, now, changed }: CreditStep, isMetered: boolean): void => {
  const keys = tx
    .update(apiKeys)
    .set({ isMetered, updatedAt: now })
    .where(and(ofLineage(key.lineageId), ne(apiKeys.isMetered, isMetered), mayLive(now)))
    .returning({ id: apiKeys.id })
    .all()
  for (const { id } of keys) changed(id)
}

const increased = (row: CreditRow, more: number): CreditRow => {
  const remaining = row.remaining + more
  if (remaining > mostCredits) {
    const rule = `must not bring the balance above ${mostCredits}`
    throw new Failure('invalid_request', { errors: [{ field: 'add', rule }] })
  }
  return { ...row, remaining, granted: Math.max(row.granted, remaining) }
}

/** The row after a change; null where metering ends. */
const changedRow = (
  before: CreditRow | null,
  lineageId: string,
  change: CreditChange,
  now: number,
): CreditRow | null => {
  if ('grant' in change) return change.grant === null ? null : newRow(lineageId, change.grant, now)
  if ('set' in change) {
    const { set: remaining } = change
    return before === null
      ? newRow(lineageId, { remaining, refill: null }, now)
      : { ...before, remaining, granted: remaining }
  }
  // To add to no limit would make one.
  if (before === null) throw new Failure<KeyCode>('api_key_unmetered')
  return 'add' in change
    ? increased(before, change.add)
    : { ...before, remaining: Math.max(0, before.remaining - change.subtract) }
}

const told = (row: CreditRow | null): CreditGrant | null =>
  row === null ? null : { remaining: row.remaining, refill: refillOf(row) }

/**
 * Changes the balance of a key and of all that share it, with its audit row, in the transaction that it is given. A
 * refill that is due comes first.
 *
 * @throws Failure `api_key_unmetered` for something added to, or subtracted from, no balance; `invalid_request` for an
 * addition that leads beyond {@link mostCredits}.
 */
export const changeCredits = (step: CreditStep, change: CreditChange): Credits | null => {
  const { tx, key, now, context } = step
  const before = readRow(tx, key.lineageId, now)
  const after = changedRow(before, key.lineageId, change, now)
  if (after === null) tx.delete(keyCredits).where(eq(keyCredits.lineageId, key.lineageId)).run()
  else writeRow(tx, after)
  setMetered(step, after !== null)
  const detail = { before: told(before), after: told(after) }
  if (before !== null || after !== null) {
    writeAudit(tx, now, 'api_key.credits_changed', key.id, detail, context)
  }
  return after === null ? null : toCredits(after, now)
}

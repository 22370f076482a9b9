import { Type } from '@sinclair/typebox'
import { t } from 'elysia'
import { isoTime, isoTimeOrNull } from '../lib/clock.ts'
import { Failure } from '../lib/failure.ts'
import type { KeyRecord } from './key-record.ts'
import { keptDays } from './usage.ts'
import { dayMilliseconds } from './usage-notes.ts'
import type { RefusedOutcome } from './usage-outcomes.ts'
import type { DayCount } from './usage-store.ts'

const defaultDays = 30

const Uses = Type.Integer({ minimum: 0 })
const Day = t.String({ format: 'date', description: 'A day in UTC' })

const Refused = t.Object(
  {
    api_key_revoked: t.Optional(Uses),
    api_key_disabled: t.Optional(Uses),
    api_key_expired: t.Optional(Uses),
    api_key_owner_inactive: t.Optional(Uses),
    api_key_network_not_allowed: t.Optional(Uses),
    insufficient_permission: t.Optional(Uses),
    rate_limited: t.Optional(Uses),
    credits_exhausted: t.Optional(Uses),
  } satisfies Record<RefusedOutcome, unknown>,
  { description: 'By code, those alone that there were' },
)

export const KeyUsage = t.Object({
  keyId: t.String(),
  from: Day,
  to: t.String({ format: 'date', description: 'Today, in UTC' }),
  lastUsedAt: t.Nullable(t.String({ format: 'date-time', description: 'When it was last let in' })),
  lastUsedAddress: t.Nullable(t.String({ description: 'The address that this use came from' })),
  total: t.Object({ accepted: Uses, refused: Refused }),
  days: t.Array(t.Object({ day: Day, accepted: Uses, refused: Refused }), {
    description: 'Each day from the first to the last, oldest first, also without use',
  }),
})
export type KeyUsage = typeof KeyUsage.static

export const UsageQuery = t.Object({
  days: t.Optional(
    t.Integer({ description: `Days up to today, 1 to ${keptDays}; ${defaultDays} when absent` }),
  ),
})

/** @throws Failure `invalid_request` for a number out of bounds, of which Elysia would not name the field. */
export const daysOf = ({ days = defaultDays }: { readonly days?: number | undefined }): number => {
  if (days >= 1 && days <= keptDays) return days
  throw new Failure('invalid_request', { errors: [{ field: 'days', rule: `must be 1 to ${keptDays}` }] })
}

type Tally = { accepted: number; refused: Partial<Record<RefusedOutcome, number>> }

const count = (tally: Tally, { outcome, uses }: DayCount): void => {
  if (outcome === 'accepted') tally.accepted += uses
  else tally.refused[outcome] = (tally.refused[outcome] ?? 0) + uses
}

/** The public form of the use of a key, from one day (since the epoch) to another. */
export const toKeyUsage = (
  { id, lastUsedAt, lastUsedAddress }: KeyRecord,
  counts: readonly DayCount[],
  fromDay: number,
  toDay: number,
): KeyUsage => {
  const total: Tally = { accepted: 0, refused: {} }
  const tallies = Array.from({ length: toDay - fromDay + 1 }, (): Tally => ({ accepted: 0, refused: {} }))
  for (const found of counts) {
    const tally = tallies[found.day - fromDay]
    if (tally === undefined) continue
    count(tally, found)
    count(total, found)
  }
  const dateOf = (day: number): string => isoTime(day * dayMilliseconds).slice(0, 10)
  return {
    keyId: id,
    from: dateOf(fromDay),
    to: dateOf(toDay),
    lastUsedAt: isoTimeOrNull(lastUsedAt),
    lastUsedAddress,
    total,
    days: tallies.map((tally, index) => ({ day: dateOf(fromDay + index), ...tally })),
  }
}

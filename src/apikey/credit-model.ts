import { Type } from '@sinclair/typebox'
import { t } from 'elysia'
import { isoTimeOrNull } from '../lib/clock.ts'
import { Failure } from '../lib/failure.ts'
import { mostCredits } from './credit-rows.ts'
import type { Refill } from './refill.ts'
import type { CreditChange, CreditGrant, Credits } from './store-credits.ts'

const strict = { additionalProperties: false } as const

// Integers of TypeBox: those of Elysia take text as well.
const Balance = Type.Integer({ minimum: 0, maximum: mostCredits })
const Amount = Type.Integer({ minimum: 1, maximum: mostCredits })
const Interval = t.Union([t.Literal('daily'), t.Literal('monthly')], { description: 'At 00:00 UTC' })

const RefillInput = t.Object(
  {
    amount: Amount,
    interval: Interval,
    dayOfMonth: t.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 31,
        description: 'Of a monthly refill, 1 when absent; the last day of a month that is shorter',
      }),
    ),
  },
  { ...strict, description: 'Sets the balance where it is lower, and never lowers it' },
)

/** Credits as bodies give them, under `credits`: null for a key that spends none. */
export const CreditsInput = t.Nullable(
  t.Object(
    { remaining: Balance, refill: t.Optional(t.Nullable(RefillInput)) },
    { ...strict, description: 'For admins: what the key may spend' },
  ),
)
export type CreditsInput = typeof CreditsInput.static

export const ChangeCreditsBody = t.Object(
  {
    set: t.Optional(Balance),
    add: t.Optional(Amount),
    subtract: t.Optional(Amount),
  },
  { ...strict, description: 'One of the three' },
)

const RefillOutput = t.Object({
  amount: Type.Integer(),
  interval: Interval,
  dayOfMonth: t.Nullable(Type.Integer({ description: 'Null for a daily refill' })),
})

/** Credits as answers have them. */
export const KeyCredits = t.Object({
  remaining: t.Nullable(Type.Integer({ description: 'Null for a key that spends no credits' })),
  refill: t.Nullable(RefillOutput),
  nextRefillAt: t.Nullable(t.String({ format: 'date-time', description: 'ISO 8601' })),
})
export type KeyCredits = typeof KeyCredits.static

const invalid = (field: string, rule: string): Failure<'invalid_request'> =>
  new Failure('invalid_request', { errors: [{ field, rule }] })

const toRefill = (input: NonNullable<NonNullable<CreditsInput>['refill']>, field: string): Refill => {
  const { amount, interval, dayOfMonth } = input
  if (interval === 'monthly') return { amount, interval, dayOfMonth: dayOfMonth ?? 1 }
  if (dayOfMonth !== undefined)
    throw invalid(`${field}/refill/dayOfMonth`, 'must be absent of a daily refill')
  return { amount, interval, dayOfMonth: null }
}

/**
 * What a body gives a key; null for a key that spends no credits. `field` is where it stood.
 *
 * @throws Failure `invalid_request` for a day of a refill that has none.
 */
export const toGrant = (input: CreditsInput, field = 'credits'): CreditGrant | null => {
  if (input === null) return null
  const { remaining, refill } = input
  return { remaining, refill: refill === undefined || refill === null ? null : toRefill(refill, field) }
}

/** @throws Failure `invalid_request` unless it is one of the three. */
export const toCreditChange = ({ set, add, subtract }: typeof ChangeCreditsBody.static): CreditChange => {
  const changes: CreditChange[] = []
  if (set !== undefined) changes.push({ set })
  if (add !== undefined) changes.push({ add })
  if (subtract !== undefined) changes.push({ subtract })
  const [change, other] = changes
  if (change === undefined || other !== undefined) {
    throw invalid('body', 'must have exactly one of set, add and subtract')
  }
  return change
}

/** The public form of credits; of none for a key that is not metered. */
export const toKeyCredits = (credits: Credits | null): KeyCredits => ({
  remaining: credits?.remaining ?? null,
  refill: credits?.refill ?? null,
  nextRefillAt: isoTimeOrNull(credits?.nextRefillAt ?? null),
})

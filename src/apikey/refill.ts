/** Sets a balance to `amount` at 00:00 UTC of each day, or of one day of each month. */
export type Refill = {
  readonly amount: number
  readonly interval: 'daily' | 'monthly'
  /** 1 to 31: the last day of a month that is shorter. Of a daily refill it says nothing. */
  readonly dayOfMonth: number | null
}

/** A balance, and until when the refills that were due are in it, milliseconds since the epoch. */
export type Refilled = { readonly remaining: number; readonly refilledAt: number }

const dayMilliseconds = 86_400_000

/** Months count from 0, and -1 and 12 are those of the years beside. */
const inMonth = (year: number, month: number, day: number): number => {
  const days = new Date(Date.UTC(year, month + 1, 0)).getUTCDate()
  return Date.UTC(year, month, Math.min(day, days))
}

/** When the refill was due last at this time or before it: it may be this very millisecond. */
export const lastRefillDue = ({ interval, dayOfMonth }: Refill, now: number): number => {
  if (interval === 'daily') return Math.floor(now / dayMilliseconds) * dayMilliseconds
  const day = dayOfMonth ?? 1
  const today = new Date(now)
  const due = inMonth(today.getUTCFullYear(), today.getUTCMonth(), day)
  return due <= now ? due : inMonth(today.getUTCFullYear(), today.getUTCMonth() - 1, day)
}

/** When the refill is due next, after this time. */
export const nextRefillAt = ({ interval, dayOfMonth }: Refill, now: number): number => {
  if (interval === 'daily') return (Math.floor(now / dayMilliseconds) + 1) * dayMilliseconds
  const day = dayOfMonth ?? 1
  const today = new Date(now)
  const due = inMonth(today.getUTCFullYear(), today.getUTCMonth(), day)
  return due > now ? due : inMonth(today.getUTCFullYear(), today.getUTCMonth() + 1, day)
}

/**
 * The balance with the refill that has become due since. A refill sets and never lowers; of several that were missed
 * only one counts, and what has been refilled is not refilled again by a clock that goes back.
 */
export const afterRefill = (balance: Refilled, refill: Refill | null, now: number): Refilled => {
  if (refill === null) return balance
  const due = lastRefillDue(refill, now)
  if (due <= balance.refilledAt) return balance
  return { remaining: Math.max(balance.remaining, refill.amount), refilledAt: due }
}

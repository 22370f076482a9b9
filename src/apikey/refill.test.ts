import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { afterRefill, lastRefillDue, nextRefillAt, type Refill } from './refill.ts'

const at = (text: string): number => Date.parse(text)
const iso = (time: number): string => new Date(time).toISOString()
const daily: Refill = { amount: 100, interval: 'daily', dayOfMonth: null }
const monthly = (dayOfMonth: number | null): Refill => ({ amount: 100, interval: 'monthly', dayOfMonth })

const anyRefill = fc.oneof(
  fc.constant(daily),
  fc.integer({ min: 1, max: 31 }).map(day => monthly(day)),
)
const anyTime = fc.integer({ min: 0, max: at('9999-12-31T23:59:59.999Z') })

describe('when a refill is due', () => {
  test.each([
    [daily, '2026-03-10T12:00:00Z', '2026-03-10', '2026-03-11'],
    [daily, '2026-03-10T00:00:00.000Z', '2026-03-10', '2026-03-11'],
    [daily, '2026-03-09T23:59:59.999Z', '2026-03-09', '2026-03-10'],
    [monthly(1), '2026-03-01T00:00:00Z', '2026-03-01', '2026-04-01'],
    [monthly(null), '2026-03-31T23:59:59.999Z', '2026-03-01', '2026-04-01'],
    [monthly(15), '2026-01-14T23:59:59.999Z', '2025-12-15', '2026-01-15'],
    [monthly(15), '2026-12-15T00:00:00Z', '2026-12-15', '2027-01-15'],
    [monthly(31), '2026-04-29T12:00:00Z', '2026-03-31', '2026-04-30'],
    [monthly(31), '2026-02-28T00:00:00Z', '2026-02-28', '2026-03-31'],
    [monthly(29), '2026-02-27T23:59:59.999Z', '2026-01-29', '2026-02-28'],
    [monthly(31), '2028-02-28T12:00:00Z', '2028-01-31', '2028-02-29'],
    [monthly(30), '2028-02-29T12:00:00Z', '2028-02-29', '2028-03-30'],
    [monthly(31), '2100-02-28T12:00:00Z', '2100-02-28', '2100-03-31'],
    [monthly(15), '1970-01-01T00:00:00Z', '1969-12-15', '1970-01-15'],
    [monthly(31), '9999-12-30T12:00:00Z', '9999-11-30', '9999-12-31'],
  ] as const)('%o at %s: from %s until %s', (refill, now, last, next) => {
    expect(iso(lastRefillDue(refill, at(now)))).toBe(`${last}T00:00:00.000Z`)
    expect(iso(nextRefillAt(refill, at(now)))).toBe(`${next}T00:00:00.000Z`)
  })

  test('now lies between the last time and the next, which follow each other, at midnight UTC', () => {
    fc.assert(
      fc.property(anyRefill, anyTime, (refill, now) => {
        const last = lastRefillDue(refill, now)
        const next = nextRefillAt(refill, now)
        expect(last).toBeLessThanOrEqual(now)
        expect(next).toBeGreaterThan(now)
        expect(lastRefillDue(refill, next)).toBe(next)
        expect(lastRefillDue(refill, next - 1)).toBe(last)
        expect(nextRefillAt(refill, last)).toBe(next)
        expect([last % 86_400_000, next % 86_400_000].map(Math.abs)).toEqual([0, 0])
      }),
    )
  })

  test('a month has one time, on its day or on its last one', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 31 }), anyTime, (day, now) => {
        const next = new Date(nextRefillAt(monthly(day), now))
        const after = new Date(nextRefillAt(monthly(day), next.getTime()))
        expect(after.getUTCFullYear() * 12 + after.getUTCMonth()).toBe(
          next.getUTCFullYear() * 12 + next.getUTCMonth() + 1,
        )
        const tomorrow = new Date(next.getTime() + 86_400_000)
        expect(next.getUTCDate() === day || (next.getUTCDate() < day && tomorrow.getUTCDate() === 1)).toBe(
          true,
        )
      }),
    )
  })

  test('never goes back while time goes on', () => {
    fc.assert(
      fc.property(anyRefill, anyTime, fc.nat(100 * 86_400_000), (refill, now, later) => {
        expect(lastRefillDue(refill, now + later)).toBeGreaterThanOrEqual(lastRefillDue(refill, now))
        expect(nextRefillAt(refill, now + later)).toBeGreaterThanOrEqual(nextRefillAt(refill, now))
      }),
    )
  })
})

describe('a refill', () => {
  const set = at('2026-03-10T12:00:00Z')
  const midnight = at('2026-03-11T00:00:00Z')

  test('sets what is lower, from the very millisecond that it is due', () => {
    const balance = { remaining: 7, refilledAt: set }
    expect(afterRefill(balance, daily, midnight - 1)).toEqual(balance)
    expect(afterRefill(balance, daily, midnight)).toEqual({ remaining: 100, refilledAt: midnight })
  })

  test('never lowers', () => {
    const balance = { remaining: 1_000, refilledAt: set }
    expect(afterRefill(balance, daily, midnight)).toEqual({ remaining: 1_000, refilledAt: midnight })
  })

  test('is none where there is none', () => {
    const balance = { remaining: 0, refilledAt: set }
    expect(afterRefill(balance, null, midnight + 1e12)).toBe(balance)
  })

  test('is there once, however many were missed and wherever the clock goes', () => {
    fc.assert(
      fc.property(anyRefill, anyTime, fc.nat(2_000), fc.array(anyTime), (refill, since, remaining, times) => {
        let latest = since
        let balance = { remaining, refilledAt: since }
        for (const now of times) {
          const isDue = lastRefillDue(refill, now) > lastRefillDue(refill, latest)
          const next = afterRefill(balance, refill, now)
          expect(next.remaining).toBe(isDue ? Math.max(balance.remaining, refill.amount) : balance.remaining)
          expect(afterRefill(next, refill, now)).toEqual(next)
          latest = Math.max(latest, now)
          balance = { ...next, remaining: 0 }
        }
      }),
    )
  })
})

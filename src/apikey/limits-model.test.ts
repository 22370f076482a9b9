import { describe, expect, test } from 'bun:test'
import { Value } from '@sinclair/typebox/value'
import fc from 'fast-check'
import { Failure } from '../lib/failure.ts'
import { createLimiter } from '../lib/limiter.ts'
import { mostWithin, someLimits } from '../lib/test-limiter.ts'
import type { KeyLimit } from './key-record.ts'
import { checkLimits, isWithinCeiling, KeyLimits } from './limits-model.ts'

const limit = (changes: object = {}): KeyLimit => ({
  name: 'minute',
  limit: 100,
  windowSeconds: 60,
  ...changes,
})
const isTaken = (limits: unknown): boolean => Value.Check(KeyLimits, limits)

describe('the limits of a key', () => {
  test('are at most five, each whole numbers within its bounds and a name of small letters', () => {
    expect(isTaken([])).toBe(true)
    expect(isTaken([limit(), limit({ name: 'a-1' })])).toBe(true)
    expect(
      isTaken([limit({ limit: 1, windowSeconds: 1 }), limit({ limit: 10_000, windowSeconds: 2_592_000 })]),
    ).toBe(true)
    for (const bad of [
      { limit: 0 },
      { limit: 10_001 },
      { limit: 1.5 },
      { limit: '100' },
      { windowSeconds: 0 },
      { windowSeconds: 2_592_001 },
      { windowSeconds: null },
      { name: '' },
      { name: 'Minute' },
      { name: '1st' },
      { name: 'a"b' },
      { name: 'a\n' },
      { name: 'a'.repeat(33) },
      { unit: 'requests' },
    ]) {
      expect([bad, isTaken([limit(bad)])]).toEqual([bad, false])
    }
    expect(isTaken([{ name: 'minute', limit: 1 }])).toBe(false)
    expect(isTaken(Array.from({ length: 5 }, () => limit()))).toBe(true)
    expect(isTaken(Array.from({ length: 6 }, () => limit()))).toBe(false)
  })

  test('have a name each', () => {
    expect(() => checkLimits([limit(), limit({ name: 'hour' })])).not.toThrow()
    try {
      checkLimits([limit(), limit({ name: 'hour' }), limit({ limit: 1 })])
      expect.unreachable()
    } catch (error) {
      expect(error).toBeInstanceOf(Failure)
      expect(error).toMatchObject({
        code: 'invalid_request',
        errors: [{ field: 'limits/2/name', rule: 'must differ from the other names' }],
      })
    }
  })
})

describe('a ceiling', () => {
  test('is kept to by as many in a longer time, or fewer in the same', () => {
    const ceiling = [limit(), limit({ name: 'day', limit: 1_000, windowSeconds: 86_400 })]
    expect(isWithinCeiling(ceiling, ceiling)).toBe(true)
    expect(isWithinCeiling([limit({ name: 'x', windowSeconds: 86_400 })], ceiling)).toBe(true)
    expect(isWithinCeiling([limit()], ceiling)).toBe(false)
    expect(isWithinCeiling([], ceiling)).toBe(false)
    expect(isWithinCeiling([], [])).toBe(true)
    expect(isWithinCeiling([limit({ limit: 101 })], [limit()])).toBe(false)
    expect(isWithinCeiling([limit({ windowSeconds: 59 })], [limit()])).toBe(false)
    expect(isWithinCeiling([limit({ limit: 50, windowSeconds: 59 })], [limit()])).toBe(true)
    expect(isWithinCeiling([limit({ limit: 1, windowSeconds: 1 })], [limit({ limit: 60 })])).toBe(true)
    expect(isWithinCeiling([limit({ limit: 1, windowSeconds: 1 })], [limit({ limit: 59 })])).toBe(false)
  })

  test('that limits are within is never gone beyond, whatever the requests', () => {
    const aheads = fc.array(fc.oneof(fc.constantFrom(0, 1, 999, 1_000, 1_001), fc.nat(300)), {
      maxLength: 200,
      size: 'max',
    })
    let within = 0
    fc.assert(
      fc.property(someLimits, someLimits, aheads, (limits, ceiling, steps) => {
        if (!isWithinCeiling(limits, ceiling)) return
        within += 1
        let now = 0
        const windows = createLimiter({ clock: () => now }).windowsOf('id', limits)
        const admitted: number[] = []
        for (const ahead of steps) {
          now += ahead
          if (windows.take()) admitted.push(now)
        }
        for (const most of ceiling) {
          expect(mostWithin(admitted, most.windowSeconds * 1_000)).toBeLessThanOrEqual(most.limit)
        }
      }),
      { numRuns: 400 },
    )
    expect(within).toBeGreaterThan(40)
  })
})

import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { createThrottle } from './throttle.ts'

const windowMilliseconds = 60_000
const partMilliseconds = 5_000

/** Moments of one name, as steps from one to the next; among them many that are just at an edge. */
const step = fc.oneof(
  fc.integer({ min: 0, max: 4_000 }),
  fc.integer({ min: 0, max: 90_000 }),
  fc.constantFrom(0, 1, partMilliseconds - 1, partMilliseconds, windowMilliseconds, windowMilliseconds + 1),
)

/** Counts whenever there is room, and says at which moments that was and at which there was none. */
const play = (limit: number, start: number, steps: readonly number[]) => {
  const throttle = createThrottle({ limit, windowMilliseconds })
  const counted: number[] = []
  const refused: { readonly at: number; readonly wait: number }[] = []
  let now = start
  for (const milliseconds of steps) {
    now += milliseconds
    const wait = throttle.wait('a', now)
    if (wait === 0) {
      throttle.count('a', now)
      counted.push(now)
    } else refused.push({ at: now, wait })
  }
  return { throttle, counted, refused, now }
}

const given = [
  fc.integer({ min: 1, max: 6 }),
  fc.oneof(
    fc.integer({ min: 0, max: 100_000 }),
    fc.integer({ min: 1_700_000_000_000, max: 1_700_000_100_000 }),
  ),
  fc.array(step, { maxLength: 80 }),
] as const

describe('a name', () => {
  test('is never counted more often than the limit in any window, wherever that begins', () => {
    fc.assert(
      fc.property(...given, (limit, start, steps) => {
        const { counted } = play(limit, start, steps)
        for (const from of counted) {
          const within = counted.filter(at => at >= from && at < from + windowMilliseconds)
          expect(within.length).toBeLessThanOrEqual(limit)
        }
      }),
      { numRuns: 500 },
    )
  })

  test('waits only where a window that is one part longer was full', () => {
    fc.assert(
      fc.property(...given, (limit, start, steps) => {
        const { counted, refused } = play(limit, start, steps)
        for (const { at } of refused) {
          const since = at - windowMilliseconds - partMilliseconds
          expect(counted.filter(moment => moment > since && moment <= at).length).toBeGreaterThanOrEqual(
            limit,
          )
        }
      }),
      { numRuns: 500 },
    )
  })

  test('is told the very time after which one more is counted, a window and one part of it at most', () => {
    fc.assert(
      fc.property(...given, (limit, start, steps) => {
        const { throttle, now } = play(limit, start, steps)
        const wait = throttle.wait('a', now)
        expect(wait).toBeLessThanOrEqual(windowMilliseconds + partMilliseconds)
        if (wait > 1) expect(throttle.wait('a', now + wait - 1)).toBe(1)
        expect(throttle.wait('a', now + wait)).toBe(0)
      }),
      { numRuns: 500 },
    )
  })

  test('does not wait for another', () => {
    const throttle = createThrottle({ limit: 1, windowMilliseconds })
    throttle.count('a', 0)
    expect([throttle.wait('a', 0), throttle.wait('b', 0)]).toEqual([65_000, 0])
  })

  test('does not wait for a clock that was set back to be where it was', () => {
    const throttle = createThrottle({ limit: 1, windowMilliseconds })
    throttle.count('a', 1_000_000_000)
    expect(throttle.wait('a', 1_000_000_000 - 30_000)).toBeGreaterThan(0)
    expect(throttle.wait('a', 1_000_000_000 - 3_600_000)).toBe(0)
  })

  test('keeps its count within what a part can hold, however often somebody counts without asking', () => {
    const throttle = createThrottle({ limit: 60_000, windowMilliseconds })
    for (let count = 0; count < 70_000; count += 1) throttle.count('a', 0)
    expect(throttle.wait('a', 0)).toBeGreaterThan(0)
  })
})

describe('a flood of names', () => {
  test('takes no more room than there is', () => {
    const throttle = createThrottle({ limit: 5, windowMilliseconds, maxEntries: 100 })
    for (let name = 0; name < 10_000; name += 1) throttle.count(String(name), name)
    expect(throttle.size).toBe(100)
  })

  test('does not wash out those that are over the limit, nor does one that counts each name twice', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.nat(999), { minLength: 1, maxLength: 7 }),
        fc.integer({ min: 1, max: 2 }),
        (places, times) => {
          const throttle = createThrottle({ limit: 3, windowMilliseconds, maxEntries: 64 })
          const loud = new Set(places)
          for (let flood = 0; flood < 1_000; flood += 1) {
            for (let time = 0; time < (loud.has(flood) ? 3 : times); time += 1) {
              throttle.count(loud.has(flood) ? `loud ${flood}` : `flood ${flood}`, 0)
            }
          }
          for (const place of loud) expect(throttle.wait(`loud ${place}`, 0)).toBeGreaterThan(0)
        },
      ),
    )
  })

  test('takes the place of those that were loud a window ago', () => {
    const throttle = createThrottle({ limit: 3, windowMilliseconds, maxEntries: 8 })
    for (let name = 0; name < 8; name += 1) {
      for (let time = 0; time < 3; time += 1) throttle.count(`old ${name}`, 0)
    }
    throttle.count('quiet', 200_000)
    for (let name = 0; name < 7; name += 1) throttle.count(`new ${name}`, 200_000)
    for (let time = 0; time < 2; time += 1) throttle.count('quiet', 200_000)
    expect(throttle.wait('quiet', 200_000)).toBeGreaterThan(0)
  })

  test('leaves those alone that are there: a name that comes again is the one that was counted', () => {
    const throttle = createThrottle({ limit: 2, windowMilliseconds, maxEntries: 4 })
    for (const name of ['a', 'b', 'c', 'd']) throttle.count(name, 0)
    for (const name of ['a', 'b', 'c', 'd']) throttle.count(name, 1)
    expect(['a', 'b', 'c', 'd'].map(name => throttle.wait(name, 2) > 0)).toEqual([true, true, true, true])
    // Somebody has to make room where all are loud; whoever that was is unknown then.
    throttle.count('e', 3)
    expect(['a', 'b', 'c', 'd'].filter(name => throttle.wait(name, 3) === 0)).toHaveLength(1)
    expect([throttle.size, throttle.wait('e', 3)]).toEqual([4, 0])
  })
})

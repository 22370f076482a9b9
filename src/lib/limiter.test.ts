import { beforeEach, describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { createLimiter, type Limiter, type NamedLimit } from './limiter.ts'
import { createReference, mostWithin, someLimits, someMilliseconds } from './test-limiter.ts'

let now: number
let limiter: Limiter
beforeEach(() => {
  now = 1_000_000
  limiter = createLimiter({ clock: () => now })
})

const perMinute = (limit: number, name = 'minute'): NamedLimit => ({ name, limit, windowSeconds: 60 })
const perHour = (limit: number): NamedLimit => ({ name: 'hour', limit, windowSeconds: 3_600 })
const times = (count: number, take: () => boolean): number =>
  Array.from({ length: count }, take).filter(Boolean).length

describe('a window never admits N+1, and always N', () => {
  const steps = fc.array(
    fc.record({
      ahead: someMilliseconds,
      what: fc.constantFrom('take', 'take', 'take', 'take', 'give back', 'judge again', 'sweep', 'restart'),
    }),
    { maxLength: 150, size: 'max' },
  )

  test('by whatever clock, with what is given back, swept, judged again and carried over a restart', () => {
    fc.assert(
      fc.property(someLimits, steps, (limits, taken) => {
        const reference = createReference()
        let clock = 0
        let counting = createLimiter({ clock: () => clock })
        let windows = counting.windowsOf('id', limits)
        let highest = 0
        for (const { ahead, what } of taken) {
          // A restart forgets how far the clock had been: what comes after it goes by a clock that does not go back.
          clock = what === 'restart' ? Math.max(clock + Math.abs(ahead), highest) : Math.max(0, clock + ahead)
          highest = Math.max(highest, clock)
          if (what === 'judge again') windows = counting.windowsOf('id', structuredClone(limits))
          if (what === 'sweep') counting.sweep(10)
          if (what === 'restart') {
            const rows = counting.snapshot()
            counting = createLimiter({ clock: () => clock })
            expect(counting.restore(rows)).toBe(0)
            windows = counting.windowsOf('id', limits)
          }
          const isTaken = windows.take()
          expect(isTaken).toBe(reference.take(limits, clock))
          if (isTaken && what === 'give back') {
            windows.giveBack()
            reference.giveBack()
          }
        }
        for (const { limit, windowSeconds } of limits) {
          expect(mostWithin(reference.admitted, windowSeconds * 1_000)).toBeLessThanOrEqual(limit)
        }
      }),
      { numRuns: 300 },
    )
  })

  test('while limits change: what was admitted counts under the ones that come after', () => {
    const change = fc.record({
      ahead: someMilliseconds,
      limits: fc.option(someLimits, { nil: null, freq: 8 }),
      isSwept: fc.boolean(),
    })
    // One that goes as far back as any other has everything kept that they could ask for.
    const widest: NamedLimit = { name: 'widest', limit: 12, windowSeconds: 4 }
    fc.assert(
      fc.property(someLimits, fc.array(change, { maxLength: 150, size: 'max' }), (first, changes) => {
        const reference = createReference()
        let clock = 0
        const counting = createLimiter({ clock: () => clock })
        let limits = [widest, ...first]
        const held = counting.windowsOf('id', limits)
        for (const { ahead, limits: others, isSwept } of changes) {
          clock = Math.max(0, clock + ahead)
          if (others !== null) {
            // Away with the widest and back again, without anything in between that could be forgotten.
            counting.windowsOf('id', others)
            limits = [widest, ...others]
            expect(counting.windowsOf('id', limits)).toBe(held)
          }
          if (isSwept) counting.sweep(10)
          expect(held.take()).toBe(reference.take(limits, clock))
        }
      }),
      { numRuns: 300 },
    )
  })

  test('after Retry-After one is admitted, and never a whole second before', () => {
    fc.assert(
      fc.property(
        someLimits,
        fc.array(someMilliseconds, { maxLength: 80, size: 'max' }),
        (limits, aheads) => {
          let clock = 0
          const windows = createLimiter({ clock: () => clock }).windowsOf('id', limits)
          for (const ahead of aheads) {
            clock += Math.abs(ahead)
            if (windows.take()) continue
            const wait = windows.retryAfterSeconds()
            const before = clock
            if (wait > 1) {
              clock = before + (wait - 1) * 1_000
              expect(windows.take()).toBe(false)
            }
            clock = before + wait * 1_000
            expect(windows.take()).toBe(true)
          }
        },
      ),
    )
  })
})

describe('several limits', () => {
  test('let in what all of them let in, and none is burnt by what another refuses', () => {
    const windows = limiter.windowsOf('id', [perMinute(2), perHour(3)])
    expect(times(10, () => windows.take())).toBe(2)
    expect(windows.status().map(({ remaining }) => remaining)).toEqual([0, 1])
    now += 60_001
    expect(times(10, () => windows.take())).toBe(1)
    expect(windows.status().map(({ remaining }) => remaining)).toEqual([1, 0])
    now += 60_001
    expect(windows.take()).toBe(false)
    expect(windows.status().map(({ remaining }) => remaining)).toEqual([2, 0])
  })

  test('say how many are left and when there is one more, in whole seconds rounded up', () => {
    const windows = limiter.windowsOf('id', [perMinute(2), perHour(3)])
    expect(windows.status()).toEqual([
      { name: 'minute', limit: 2, windowSeconds: 60, remaining: 2, resetSeconds: 0 },
      { name: 'hour', limit: 3, windowSeconds: 3_600, remaining: 3, resetSeconds: 0 },
    ])
    windows.take()
    now += 10_000
    expect(windows.status()).toEqual([
      { name: 'minute', limit: 2, windowSeconds: 60, remaining: 1, resetSeconds: 51 },
      { name: 'hour', limit: 3, windowSeconds: 3_600, remaining: 2, resetSeconds: 3_591 },
    ])
    expect(windows.retryAfterSeconds()).toBe(1)
    windows.take()
    expect(windows.retryAfterSeconds()).toBe(51)
    now += 50_001
    windows.take()
    // Of those that are full the one that takes longest.
    expect(windows.retryAfterSeconds()).toBe(3_540)
  })

  test('are not there where there are none: everything is admitted and nothing counted', () => {
    const windows = limiter.windowsOf('id', [])
    expect(times(100, () => windows.take())).toBe(100)
    windows.giveBack()
    expect(windows.status()).toEqual([])
    expect([limiter.size, limiter.entries]).toEqual([0, 0])
  })
})

describe('what is given back', () => {
  test('is given back once, and only after it was taken', () => {
    const windows = limiter.windowsOf('id', [perMinute(3)])
    windows.giveBack()
    expect(times(2, () => windows.take())).toBe(2)
    windows.giveBack()
    windows.giveBack()
    expect(windows.status()[0]?.remaining).toBe(2)
    expect(times(5, () => windows.take())).toBe(2)
    // The latest was a refusal, which took nothing.
    windows.giveBack()
    expect(windows.take()).toBe(false)
  })
})

describe('what is rolled back', () => {
  test('counts no more, however many there were, and what was there before counts as ever', () => {
    const one = limiter.windowsOf('id', [perMinute(5)], 'one')
    const other = limiter.windowsOf('id', [perMinute(4)], 'other')
    one.take()
    now += 1_000
    const before = one.status()
    expect([one.take(), other.take(), one.take(), other.take()]).toEqual([true, true, true, false])
    one.rollBack(2)
    other.rollBack(1)
    expect(one.status()).toEqual(before)
    one.giveBack()
    expect(one.status()).toEqual(before)
    expect(times(9, () => one.take())).toBe(4)
  })

  test('is nothing where there are no limits', () => {
    const windows = limiter.windowsOf('id', [])
    windows.take()
    windows.rollBack(1)
    expect(limiter.size).toBe(0)
  })
})

describe('the windows of an id', () => {
  test('are the same object for the same limits, so that judging a key again begins nothing anew', () => {
    const windows = limiter.windowsOf('id', [perMinute(2)])
    windows.take()
    expect(limiter.windowsOf('id', [perMinute(2)])).toBe(windows)
    expect(limiter.windowsOf('id', [perMinute(2)]).status()[0]?.remaining).toBe(1)
    expect(limiter.windowsOf('other', [perMinute(2)]).status()[0]?.remaining).toBe(2)
  })

  test('get other limits for everybody who holds them, with what was admitted before', () => {
    const held = limiter.windowsOf('id', [perMinute(5)])
    expect(times(5, () => held.take())).toBe(5)
    limiter.windowsOf('id', [perMinute(7)])
    expect(times(5, () => held.take())).toBe(2)
    limiter.windowsOf('id', [perMinute(3)])
    now += 60_001
    expect(times(5, () => held.take())).toBe(3)
    expect(held.limits).toEqual([perMinute(3)])
  })

  test('are not emptied by a limit that is changed there and back, nor by another name or order', () => {
    const windows = limiter.windowsOf('id', [perMinute(100)])
    expect(times(100, () => windows.take())).toBe(100)
    for (const between of [
      [perMinute(1)],
      [{ name: 'minute', limit: 100, windowSeconds: 1 }],
      [perMinute(100, 'another')],
      [perHour(1_000), perMinute(100, 'third')],
      [],
    ]) {
      now += 1_000
      limiter.windowsOf('id', between)
      limiter.sweep(10)
      limiter.windowsOf('id', [perMinute(100)])
      expect(windows.take()).toBe(false)
    }
    now += 55_001
    expect(times(200, () => windows.take())).toBe(100)
  })

  test('are shared by members whose limits differ: each keeps to its own, and what either takes counts for both', () => {
    const wide = limiter.windowsOf('line', [perMinute(5)], 'key_1')
    const narrow = limiter.windowsOf('line', [perMinute(2)], 'key_2')
    expect(narrow).not.toBe(wide)
    expect(wide.take()).toBe(true)
    expect(times(5, () => narrow.take())).toBe(1)
    expect(times(9, () => wide.take())).toBe(3)
    expect(narrow.take()).toBe(false)
    now += 60_001
    expect(times(9, () => narrow.take())).toBe(2)
    expect(times(9, () => wide.take())).toBe(3)
  })

  test('are kept apart from none of their members, however many there are', () => {
    const members = Array.from({ length: 100 }, (_, index) =>
      limiter.windowsOf('line', [perMinute(50)], `key_${index}`),
    )
    expect(times(100, () => members.shift()?.take() ?? false)).toBe(50)
  })
})

describe('memory', () => {
  const fill = (count: number, from = 0): void => {
    for (let index = from; index < from + count; index += 1)
      limiter.windowsOf(`id-${index}`, [perMinute(100)]).take()
  }

  test('holds nothing of an id of which nothing counts any more, once as many others have come', () => {
    fill(1_000)
    expect([limiter.size, limiter.entries]).toEqual([1_000, 4_000])
    now += 60_001
    fill(1_000, 1_000)
    expect(limiter.size).toBeLessThanOrEqual(1_500)
    limiter.sweep(10_000)
    expect([limiter.size, limiter.entries]).toEqual([1_000, 4_000])
    now += 60_001
    limiter.sweep(10_000)
    expect([limiter.size, limiter.entries]).toEqual([0, 0])
  })

  test('never has an id counted twice: who held its windows while they were let go counts with all others', () => {
    const held = limiter.windowsOf('id', [perMinute(3)])
    held.take()
    now += 60_001
    limiter.sweep(10)
    expect(limiter.size).toBe(0)
    Bun.gc(true)
    const again = limiter.windowsOf('id', [perMinute(3)])
    expect(again).toBe(held)
    expect(again.take()).toBe(true)
    expect(limiter.size).toBe(1)
    expect(times(5, () => held.take())).toBe(2)
  })

  test('forgets the very name of an id that nobody holds any more', async () => {
    for (let index = 0; index < 2_000; index += 1) limiter.windowsOf(`untouched-${index}`, [perMinute(1)])
    // What a step has looked at lives until the step is over.
    await Bun.sleep(0)
    Bun.gc(true)
    await Bun.sleep(0)
    fill(1)
    limiter.sweep(10_000)
    // Looks at so few that it would not come around to this one each time, were there others.
    for (let count = 0; count < 5; count += 1) {
      now += 60_001
      limiter.sweep(100)
      expect(limiter.size).toBe(0)
      fill(1)
    }
  })

  test('is bounded: a request that could not be counted is refused and told of, and one that needs no room is not', () => {
    limiter = createLimiter({ clock: () => now, maxEntries: 8 })
    const one = limiter.windowsOf('one', [perMinute(10)])
    const two = limiter.windowsOf('two', [perMinute(10)])
    const three = limiter.windowsOf('three', [perMinute(10)])
    expect(times(5, () => one.take())).toBe(5)
    expect(two.take()).toBe(false)
    expect(two.retryAfterSeconds()).toBe(1)
    expect(limiter.overflows()).toBe(1)
    expect(times(9, () => one.take())).toBe(3)
    expect(limiter.overflows()).toBe(7)
    now += 60_001
    // What is over is let go of to make room.
    expect(two.take()).toBe(true)
    expect(three.take()).toBe(true)
    expect(one.take()).toBe(false)
    expect(limiter.entries).toBe(8)
  })

  test('keeps what an old limit had admitted for as long as it would have counted, and no longer', () => {
    const windows = limiter.windowsOf('id', [perMinute(1_000)])
    expect(times(1_000, () => windows.take())).toBe(1_000)
    limiter.windowsOf('id', [{ name: 'second', limit: 2, windowSeconds: 1 }])
    for (let second = 2; second <= 60; second += 2) {
      now += 2_000
      expect(windows.take()).toBe(true)
      limiter.sweep(1)
      expect(limiter.entries).toBeGreaterThanOrEqual(1_000)
    }
    now += 1
    limiter.sweep(1)
    expect(limiter.entries).toBe(4)
  })
})

describe('a restart', () => {
  const restart = (...from: Limiter[]): Limiter => {
    const started = createLimiter({ clock: () => now })
    expect(started.restore(from.flatMap(one => one.snapshot()))).toBe(0)
    return started
  }

  test('has what was admitted count, each until its own time', () => {
    const windows = limiter.windowsOf('id', [perMinute(3), perHour(10)])
    for (const ahead of [0, 20_000, 20_000]) {
      now += ahead
      expect(windows.take()).toBe(true)
    }
    now += 1_000
    const after = restart(limiter).windowsOf('id', [perMinute(3), perHour(10)])
    expect(after.status()).toEqual(windows.status())
    expect(after.take()).toBe(false)
    now += 19_001
    expect(times(5, () => after.take())).toBe(1)
  })

  test('carries nothing over that is over, neither what was given back', () => {
    limiter.windowsOf('over', [perMinute(3)]).take()
    now += 60_001
    const windows = limiter.windowsOf('given back', [perMinute(3)])
    windows.take()
    windows.giveBack()
    expect(limiter.snapshot()).toEqual([])
    limiter.windowsOf('id', [perMinute(3)]).take()
    const rows = limiter.snapshot()
    expect(rows).toHaveLength(1)
    now += 60_001
    const started = createLimiter({ clock: () => now })
    expect(started.restore(rows)).toBe(0)
    expect([started.size, started.entries]).toEqual([0, 0])
  })

  test('adds up what several processes admitted, each for itself', () => {
    const other = createLimiter({ clock: () => now })
    expect(times(9, () => limiter.windowsOf('id', [perMinute(3)]).take())).toBe(3)
    expect(times(9, () => other.windowsOf('id', [perMinute(3)]).take())).toBe(3)
    const wider = restart(limiter, other).windowsOf('id', [perMinute(8)])
    expect(times(9, () => wider.take())).toBe(2)
  })

  test('has the limits changed meanwhile count it as well', () => {
    expect(times(9, () => limiter.windowsOf('id', [perMinute(5)]).take())).toBe(5)
    const started = restart(limiter)
    started.sweep(10)
    expect(times(9, () => started.windowsOf('id', [perMinute(7, 'renamed')]).take())).toBe(2)
  })

  test('writes first what counts for longest', () => {
    for (const [id, limit] of [
      ['short', perMinute(1)],
      ['long', perHour(1)],
    ] as const)
      limiter.windowsOf(id, [limit]).take()
    expect(limiter.snapshot().map(({ id, expiresAt }) => [id, expiresAt])).toEqual([
      ['long', now + 3_600_001],
      ['short', now + 60_001],
    ])
  })

  test('under a clock that was set back has nothing count for longer than its window', () => {
    limiter.windowsOf('id', [perMinute(1)]).take()
    now -= 500_000
    const windows = restart(limiter).windowsOf('id', [perMinute(1)])
    expect(windows.take()).toBe(false)
    expect(windows.retryAfterSeconds()).toBe(61)
    now += 60_001
    expect(windows.take()).toBe(true)
  })

  test('goes by the calendar from one process to the next, whatever the clock of each says', () => {
    let calendar = 5_000_000
    const first = createLimiter({ clock: () => calendar - 4_000_000, calendar: () => calendar })
    expect(times(9, () => first.windowsOf('id', [perMinute(3)]).take())).toBe(3)
    calendar += 20_000
    const rows = first.snapshot()
    expect(rows[0]?.expiresAt).toBe(5_060_002)
    calendar += 1_000
    const second = createLimiter({ clock: () => calendar + 900_000, calendar: () => calendar })
    expect(second.restore(rows)).toBe(0)
    const windows = second.windowsOf('id', [perMinute(3)])
    expect(windows.take()).toBe(false)
    calendar += 39_000
    expect(windows.take()).toBe(false)
    // Each of the clocks may have cut off a millisecond.
    calendar += 3
    expect(times(9, () => windows.take())).toBe(3)
  })

  test('with more than there is room for leaves out whole ids, says how many, and goes on', () => {
    for (const id of ['one', 'two', 'three'])
      expect(times(3, () => limiter.windowsOf(id, [perMinute(3)]).take())).toBe(3)
    const small = createLimiter({ clock: () => now, maxEntries: 7 })
    expect(small.restore(limiter.snapshot())).toBe(1)
    expect([small.size, small.entries]).toEqual([2, 6])
  })

  test('takes any bytes at all without a throw, and lets nothing of them count for longer than 30 days', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 60 }),
        fc.oneof(fc.constant(1), fc.nat(255)),
        fc.double(),
        (bytes, version, expiresAt) => {
          let clock = 1_000_000
          const started = createLimiter({ clock: () => clock })
          const admitted = Uint8Array.from([version, ...bytes])
          started.restore([{ id: 'id', admitted, expiresAt }])
          const windows = started.windowsOf('id', [perMinute(1)])
          windows.take()
          clock += 2_592_000_001
          started.sweep(10)
          expect([started.size, started.entries]).toEqual([0, 0])
          expect(windows.take()).toBe(true)
        },
      ),
    )
  })
})

test('two processes count each for itself', () => {
  const other = createLimiter({ clock: () => now })
  expect(times(9, () => limiter.windowsOf('id', [perMinute(3)]).take())).toBe(3)
  expect(times(9, () => other.windowsOf('id', [perMinute(3)]).take())).toBe(3)
})

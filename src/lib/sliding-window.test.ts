import { beforeEach, describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { type Room, SlidingLog, type WindowRule } from './sliding-window.ts'

let places: number
const room: Room = {
  take: more => {
    places += more
    return true
  },
  release: fewer => {
    places -= fewer
  },
}
const none: Room = { take: () => false, release: () => undefined }
beforeEach(() => {
  places = 0
})

const logOf = (...rules: WindowRule[]): SlidingLog => {
  const log = new SlidingLog()
  log.rules = rules
  return log
}
const take = (log: SlidingLog, clock: number, given = room): boolean => {
  const now = log.timeAt(clock)
  return !log.rules.some(rule => log.isFull(rule, now)) && log.add(now, given)
}
const rule = (limit: number, windowMilliseconds: number): WindowRule => ({ limit, windowMilliseconds })

describe('a window', () => {
  test('is closed: what was admitted at t counts at t + window, and not a millisecond later', () => {
    const log = logOf(rule(1, 1_000))
    expect(take(log, 5_000)).toBe(true)
    expect(take(log, 5_999)).toBe(false)
    expect(take(log, 6_000)).toBe(false)
    expect(take(log, 6_001)).toBe(true)
    expect(take(log, 6_001)).toBe(false)
  })

  test('gives back one by one, as they came', () => {
    const log = logOf(rule(3, 1_000))
    for (const at of [0, 300, 600]) expect(take(log, at)).toBe(true)
    expect(take(log, 1_000)).toBe(false)
    expect(take(log, 1_001)).toBe(true)
    expect(take(log, 1_300)).toBe(false)
    expect(take(log, 1_301)).toBe(true)
    expect(take(log, 1_302)).toBe(false)
  })

  test('tells when there is one more: nothing at that time less one, one at that time', () => {
    const log = logOf(rule(2, 1_000))
    expect(log.untilNextFree(rule(2, 1_000), log.timeAt(0))).toBe(0)
    take(log, 0)
    take(log, 400)
    const wait = log.untilNextFree(rule(2, 1_000), log.timeAt(500))
    expect(take(log, 500 + wait - 1)).toBe(false)
    expect(take(log, 500 + wait)).toBe(true)
  })

  test('stands still while the clock is behind', () => {
    const log = logOf(rule(2, 1_000))
    take(log, 10_000)
    take(log, 4_000)
    expect(take(log, 10_500)).toBe(false)
    expect(take(log, 5_001)).toBe(false)
    expect(take(log, 11_001)).toBe(true)
  })

  test('stands still also when the later time was only looked at, or what was taken then was given back', () => {
    const log = logOf(rule(1, 1_000))
    take(log, 0)
    expect(take(log, 1_001)).toBe(true)
    log.removeLatest()
    expect(take(log, 500)).toBe(true)
    expect(take(log, 1_501)).toBe(false)
    expect(take(log, 2_001)).toBe(false)
    expect(take(log, 2_002)).toBe(true)
  })
})

describe('the times that are kept', () => {
  test('take places by doubling, up to the limit and no further', () => {
    const log = logOf(rule(10_000, 60_000))
    const seen = new Set<number>()
    for (let count = 0; count < 10_000; count += 1) {
      expect(take(log, count)).toBe(true)
      seen.add(log.places)
    }
    expect(take(log, 10_000)).toBe(false)
    expect(take(log, 60_001)).toBe(true)
    expect([...seen]).toEqual([4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 10_000])
    expect(places).toBe(10_000)
  })

  test('take no more places than are in use at a time, however long it goes on', () => {
    const log = logOf(rule(10_000, 1_000), rule(5, 10))
    for (let clock = 0; clock < 100_000; clock += 100) expect(take(log, clock)).toBe(true)
    expect(places).toBe(16)
  })

  test('are given up when they count no more, and most places once they are hardly in use', () => {
    const log = logOf(rule(1_000, 1_000))
    for (let count = 0; count < 1_000; count += 1) take(log, 0)
    for (const clock of [900, 950]) take(log, clock)
    log.trim(log.timeAt(1_000), room)
    expect([log.size, log.places, places]).toEqual([1_000, 1_000, 1_000])
    take(log, 1_001)
    log.trim(log.timeAt(1_001), room)
    expect([log.size, log.places, places]).toEqual([1, 4, 4])
    expect([...log.counting(1_001)]).toEqual([1_001])
    log.trim(log.timeAt(2_001), room)
    expect(log.size).toBe(1)
    log.trim(log.timeAt(2_002), room)
    expect([log.size, log.places, places]).toEqual([0, 0, 0])
    expect(take(log, 2_002)).toBe(true)
  })

  test('stay as they are when there is no room for more', () => {
    const log = logOf(rule(10, 1_000))
    for (let count = 0; count < 4; count += 1) take(log, 0)
    expect(take(log, 1, none)).toBe(false)
    expect([log.size, log.places]).toEqual([4, 4])
    // What is over makes room by itself.
    expect(take(log, 1_001, none)).toBe(true)
  })
})

test('a log in whatever state counts under a rule what a list of all times does', () => {
  const step = fc.record({ ahead: fc.integer({ min: 0, max: 60 }), isTrimmed: fc.boolean() })
  const rules = fc.array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 300 })), {
    minLength: 1,
    maxLength: 3,
  })
  fc.assert(
    fc.property(rules, fc.array(step, { maxLength: 120, size: 'max' }), (given, steps) => {
      const log = logOf(...given.map(([limit, window]) => rule(limit, window)))
      const all: number[] = []
      let clock = 0
      for (const { ahead, isTrimmed } of steps) {
        clock += ahead
        if (take(log, clock)) all.push(clock)
        if (isTrimmed) log.trim(log.timeAt(clock), room)
        for (const one of log.rules) {
          const counting = all.slice(-one.limit).filter(time => time >= clock - one.windowMilliseconds)
          expect(log.countingUnder(one, clock)).toBe(counting.length)
          const [first] = counting
          expect(log.untilNextFree(one, clock)).toBe(
            first === undefined ? 0 : first + one.windowMilliseconds + 1 - clock,
          )
        }
        expect(log.places).toBeLessThanOrEqual(Math.max(16, 2 * Math.max(...given.map(([limit]) => limit))))
      }
    }),
  )
})

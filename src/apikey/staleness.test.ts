import { expect, test } from 'bun:test'
import { createStaleness } from './staleness.ts'

const setUp = () => {
  const time = { now: 1_000_000, mark: 0 }
  const staleness = createStaleness({
    maxStalenessSeconds: 10,
    clock: () => time.now,
    monotonic: () => time.mark,
  })
  /** Time passes, for both clocks. */
  const pass = (seconds: number): void => {
    time.now += seconds * 1_000
    time.mark += seconds * 1_000
  }
  return { time, staleness, pass }
}

test('before anything was heard there is no lag to tell, and everything is stale', () => {
  const { staleness } = setUp()
  expect([staleness.lagSeconds(), staleness.isStale()]).toEqual([null, true])
})

test('the lag counts from the last moment of which everything is known, and beyond the limit it is stale', () => {
  const { staleness, time, pass } = setUp()
  staleness.heard(time.now - 1_000)
  expect([staleness.lagSeconds(), staleness.isStale()]).toEqual([1, false])
  pass(9)
  expect([staleness.lagSeconds(), staleness.isStale()]).toEqual([10, false])
  pass(0.001)
  expect(staleness.isStale()).toBe(true)
  staleness.heard(time.now)
  expect([staleness.lagSeconds(), staleness.isStale()]).toEqual([0, false])
})

test('a clock that is set back hides no outage', () => {
  const { staleness, time, pass } = setUp()
  staleness.heard(time.now)
  pass(11)
  time.now -= 3_600_000
  expect(staleness.isStale()).toBe(true)
})

test('a machine that slept is as stale as the clock says', () => {
  const { staleness, time } = setUp()
  staleness.heard(time.now)
  time.now += 11_000
  expect(staleness.isStale()).toBe(true)
})

test('what an earlier process heard counts on, and a time that is yet to come counts as never', () => {
  const { staleness, time } = setUp()
  staleness.restore(null)
  staleness.restore(time.now + 60_000)
  expect(staleness.lagSeconds()).toBeNull()
  staleness.restore(time.now - 4_000)
  expect(staleness.lagSeconds()).toBe(4)
})

test('what an earlier process heard is not heard by this one', () => {
  const { staleness, time } = setUp()
  staleness.restore(time.now)
  expect([staleness.hasHeard(), staleness.isStale()]).toEqual([false, false])
  staleness.heard(time.now)
  expect(staleness.hasHeard()).toBe(true)
})

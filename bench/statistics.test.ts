import { expect, test } from 'bun:test'
import { median, type Point, ratios, shuffle, spread } from './statistics.ts'

test('the median is the middle one, or half way between the middle two, in whatever order they came', () => {
  expect([median([3, 1, 2]), median([4, 1, 3, 2]), median([7])]).toEqual([2, 2.5, 7])
  expect(() => median([])).toThrow(RangeError)
})

test('the median goes by size and not by spelling', () => {
  expect(median([10, 9, 100])).toBe(10)
})

test('of nothing there is no spread', () => {
  expect(spread([])).toBeNull()
  expect(spread([2, 8, 4])).toEqual({ median: 4, min: 2, max: 8 })
})

test('a ratio is taken within its round, and a round that lacks one of the two does not count', () => {
  const points: Point[] = [
    { case: 'hot', round: 1, value: 30 },
    { case: 'base', round: 1, value: 20 },
    { case: 'base', round: 2, value: 10 },
    { case: 'hot', round: 2, value: 20 },
    { case: 'hot', round: 3, value: 99 },
    { case: 'base', round: 4, value: 1 },
  ]
  expect(ratios(points, 'hot', 'base')).toEqual([1.5, 2])
  expect(ratios(points, 'hot', 'other')).toEqual([])
})

test('a shuffle loses nothing and repeats nothing', () => {
  const values = Array.from({ length: 100 }, (_, index) => index)
  const shuffled = shuffle(values)
  expect(shuffled.toSorted((a, b) => a - b)).toEqual(values)
  expect(shuffled).not.toEqual(values)
})

import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { formatLimit, parseLimit } from './limit-text.ts'

const limits = fc.record({
  name: fc.stringMatching(/^[a-z][a-z0-9-]{0,31}$/),
  limit: fc.integer({ min: 1, max: 10_000 }),
  windowSeconds: fc.oneof(
    fc.integer({ min: 1, max: 2_592_000 }),
    fc.constantFrom(60, 120, 3_600, 86_400, 604_800),
  ),
})

describe('a limit as text', () => {
  test('is read as what was written', () => {
    fc.assert(fc.property(limits, limit => expect(parseLimit(formatLimit(limit))).toEqual(limit)))
  })

  test.each([
    ['minute=100/60s', 60],
    ['minute=100/1m', 60],
    ['minute=100/1h', 3_600],
    ['minute=100/2d', 172_800],
  ])('%s is %d seconds', (text, windowSeconds) => {
    expect(parseLimit(text)).toEqual({ name: 'minute', limit: 100, windowSeconds })
  })

  test.each(['', 'minute', 'minute=100', 'minute=100/60', 'minute=100/60w', '=100/60s', 'minute=-1/60s'])(
    'is not %p',
    text => {
      expect(parseLimit(text)).toBeNull()
    },
  )

  test('is short', () => {
    const of = (windowSeconds: number) => formatLimit({ name: 'a', limit: 5, windowSeconds })
    expect([1, 60, 90, 3_600, 86_400].map(of)).toEqual(['a=5/1s', 'a=5/1m', 'a=5/90s', 'a=5/1h', 'a=5/1d'])
  })
})

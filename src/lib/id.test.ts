import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { createId, idPattern } from './id.ts'

describe('an id', () => {
  test('TOK-11: has its prefix, fits its pattern and never comes twice', () => {
    const ids = Array.from({ length: 10_000 }, () => createId('usr', () => 1_800_000_000_000))
    expect(new Set(ids).size).toBe(ids.length)
    const pattern = new RegExp(idPattern('usr'))
    expect(ids.every(id => pattern.test(id))).toBe(true)
  })

  test('sorts by the time of creation', () => {
    const time = fc.integer({ min: 0, max: 2 ** 48 - 1 })
    fc.assert(
      fc.property(time, time, (one, other) => {
        fc.pre(one < other)
        expect(createId('usr', () => one) < createId('usr', () => other)).toBe(true)
      }),
    )
  })

  test('of another kind, or anything else, does not fit', () => {
    const id = createId('ses', Date.now)
    for (const text of [
      id,
      id.replace('ses', 'usr').toUpperCase(),
      `usr_${id.slice(4)}0`,
      'usr_',
      '',
      `usr_${id.slice(4)}\n`,
    ]) {
      expect(new RegExp(idPattern('usr')).test(text)).toBe(false)
    }
  })
})

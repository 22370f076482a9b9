import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { decodeCursor, encodeCursor, type Page, type Position, toPage } from './cursor.ts'
import { Failure } from './failure.ts'

const position = fc.record({
  createdAt: fc.integer({ min: 0, max: 8_640_000_000_000_000 }),
  id: fc.string({ unit: fc.constantFrom(...'0123456789azAZ_.-'), minLength: 1, maxLength: 160 }),
})

const codeOf = (cursor: string): unknown => {
  try {
    decodeCursor(cursor)
    return null
  } catch (error) {
    return error instanceof Failure ? error.code : error
  }
}

describe('a cursor', () => {
  test('leads back to the position it was made from', () => {
    fc.assert(
      fc.property(position, given => {
        expect(decodeCursor(encodeCursor(given))).toEqual(given)
        expect(encodeCursor(given)).toMatch(/^[\w-]+$/)
      }),
    )
  })

  test('HTTP-03: text that was not made here is refused by code and never fails otherwise', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.base64String(),
      fc.string({ unit: 'grapheme-ascii' }).map(plain => Buffer.from(plain).toString('base64url')),
    )
    fc.assert(
      fc.property(text, cursor => {
        const code = codeOf(cursor)
        if (code === null) expect(encodeCursor(decodeCursor(cursor))).toBe(cursor)
        else expect(code).toBe('cursor_invalid')
      }),
      { numRuns: 500 },
    )
  })

  test('no two texts are one position', () => {
    const good = encodeCursor({ createdAt: 1_800_000_000_000, id: 'key_1' })
    for (const cursor of [
      `${good}=`,
      `${good}\n`,
      ` ${good}`,
      `${good}!`,
      `${good.slice(0, 3)} ${good.slice(3)}`,
    ]) {
      expect(codeOf(cursor)).toBe('cursor_invalid')
    }
    for (const plain of [
      '00a.key_1',
      'A.key_1',
      'zzzzzzzzzzz.key_1',
      '.key_1',
      'a.',
      'a',
      'a.é',
      'a.key_1\n',
      '-a.b',
    ]) {
      expect(codeOf(Buffer.from(plain).toString('base64url'))).toBe('cursor_invalid')
    }
  })

  test('HTTP-02: the refusal names the field and not what was sent', () => {
    expect(() => decodeCursor('secret')).toThrow(
      expect.objectContaining({
        detail: undefined,
        errors: [{ field: 'cursor', rule: 'must be a nextCursor of this list' }],
      }),
    )
  })
})

describe('pages', () => {
  test('put together are the whole list, once each and in order, for any limit', () => {
    const rows = fc.uniqueArray(position, {
      selector: ({ createdAt, id }) => `${createdAt}/${id}`,
      maxLength: 30,
    })
    const after = (row: Position, last: Position): boolean =>
      row.createdAt > last.createdAt || (row.createdAt === last.createdAt && row.id > last.id)
    fc.assert(
      fc.property(rows, fc.integer({ min: 1, max: 8 }), (given, limit) => {
        const sorted = given.toSorted((a, b) => (after(a, b) ? 1 : -1))
        const seen: Position[] = []
        let last: Position | null = null
        do {
          const start: Position | null = last
          const rest: Position[] = start === null ? sorted : sorted.filter(row => after(row, start))
          const { items, next }: Page<Position> = toPage(rest.slice(0, limit + 1), limit)
          expect(items.length).toBeLessThanOrEqual(limit)
          seen.push(...items)
          last = next === null ? null : decodeCursor(encodeCursor(next))
        } while (last !== null)
        expect(seen).toEqual(sorted)
      }),
    )
  })
})

import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { createKeyFinder, type FoundKey } from './key-finder.ts'
import { formatKey, generateKey } from './token.ts'

const base62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const prefix = fc.stringMatching(/^[a-z][a-z0-9_]{0,15}$/)
const key = prefix.map(given => formatKey(generateKey(given)))

/** What stands around keys: anything, and what looks like parts of them. */
const noise = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.string({ unit: fc.constantFrom(...base62, '_'), maxLength: 90 }).map(text => Buffer.from(text)),
      fc.constantFrom('\n', '_', '__', 'lk_', '\r\n').map(text => Buffer.from(text)),
    ),
    { maxLength: 8 },
  )
  .map(parts => Buffer.concat(parts))

/** Pushes bytes in pieces of these sizes, in one piece of memory that is used again and again. */
const find = (bytes: Uint8Array, sizes: readonly number[]): FoundKey[] => {
  const finder = createKeyFinder()
  const found: FoundKey[] = []
  const buffer = new Uint8Array(Math.max(1, ...sizes))
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const piece = bytes.subarray(at, at + (sizes[turn % sizes.length] ?? 1))
    buffer.set(piece)
    found.push(...finder.push(buffer.subarray(0, piece.length)))
    buffer.fill(0x5f)
    at += piece.length
  }
  return found
}

const sizes = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 5 })

/** Line and column of a place, counted in another way. */
const placeOf = (bytes: Uint8Array, at: number) => {
  const before = Buffer.from(bytes.subarray(0, at)).toString('latin1').split('\n')
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 }
}

describe('keys in bytes', () => {
  test('each that was put there is found once, in its place, wherever the pieces are cut', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(noise, key), { maxLength: 4 }), noise, sizes, (planted, end, cuts) => {
        const parts: Uint8Array[] = []
        const expected: FoundKey[] = []
        for (const [before, text] of planted) {
          parts.push(before)
          const bytes = Buffer.concat(parts)
          expected.push({ text, ...placeOf(bytes, bytes.length) })
          parts.push(Buffer.from(text))
        }
        expect(find(Buffer.concat([...parts, end]), cuts)).toEqual(expected)
      }),
      { numRuns: 1_000 },
    )
  })

  test('are found at each of the ways to cut a text in two', () => {
    const text = formatKey(generateKey('lk_live'))
    const bytes = Buffer.from(`first line\nexport KEY="${text}" # one\n`)
    for (let cut = 1; cut < bytes.length; cut += 1) {
      expect(find(bytes, [cut, bytes.length])).toEqual([{ text, line: 2, column: 13 }])
    }
  })

  test('none is found where none is', () => {
    fc.assert(
      fc.property(noise, key, fc.nat(), sizes, (bytes, text, at, cuts) => {
        // One character away from a key.
        const index = at % text.length
        const other = text.charAt(index) === 'a' ? 'b' : 'a'
        const damaged = text.slice(0, index) + other + text.slice(index + 1)
        return find(Buffer.concat([bytes, Buffer.from(damaged)]), cuts).length === 0
      }),
      { numRuns: 1_000 },
    )
  })

  test.each([
    ['in a URL', 'https://x.example/?key=%3D', '&a=b'],
    ['in quoted text of a program', String.raw`"\n`, String.raw`\n"`],
    ['after a name in capitals', 'MY_', ''],
    ['right before letters', '', 'abc'],
    ['twice in a row', formatKey(generateKey('lk')), ''],
    ['between zero bytes', '\0', '\0'],
  ])('a key is found %s', (_, before, after) => {
    const text = formatKey(generateKey('lk'))
    expect(find(Buffer.from(before + text + after), [7]).map(found => found.text)).toContain(text)
  })

  test('a line without end has columns to its end', () => {
    const finder = createKeyFinder()
    const piece = new Uint8Array(1 << 20).fill(0x61)
    const text = formatKey(generateKey('lk'))
    for (let turn = 0; turn < 50; turn += 1) expect(finder.push(piece)).toEqual([])
    expect(finder.push(Buffer.from(`\0${text}`))).toEqual([{ text, line: 1, column: 50 * (1 << 20) + 2 }])
  })
})

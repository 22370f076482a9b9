import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Failure } from '../lib/failure.ts'
import {
  decodePoint,
  decodePosition,
  encodePoint,
  encodePosition,
  type Generation,
  type Point,
  type SnapshotPosition,
  sections,
} from './feed-cursor.ts'

const random = (bytes: number): string =>
  Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString('base64url')

const ours: Generation = { generation: random(16), cursorKey: random(32) }

const base64url = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_']
const points = fc
  .record({
    sequence: fc.maxSafeNat(),
    nonce: fc.string({ unit: fc.constantFrom(...base64url), minLength: 12, maxLength: 12 }),
  })
  .map((point): Point => ({ ...point, generation: ours.generation }))
const positions = fc
  .tuple(
    points,
    fc.constantFrom(...sections),
    fc.maxSafeNat(),
    fc.string({ unit: fc.constantFrom(...base64url) }),
  )
  .map(([point, section, time, id]): SnapshotPosition => ({ ...point, section, time, id }))

/** The code of the refusal, or null for a text that is taken. */
const codeOf = (decode: () => unknown): string | null => {
  try {
    decode()
    return null
  } catch (error) {
    if (error instanceof Failure) return error.code
    throw error
  }
}
const decoders = [decodePoint, decodePosition]

describe('a cursor', () => {
  test('comes back as what it was made of, in at most 256 characters', () => {
    const longest: SnapshotPosition = {
      ...{ generation: ours.generation, sequence: Number.MAX_SAFE_INTEGER, nonce: '_'.repeat(12) },
      ...{ section: 'sessions', time: 9_999_999_999_999, id: '~'.repeat(96) },
    }
    expect(encodePosition(longest, ours.cursorKey).length).toBeLessThanOrEqual(256)
    expect(decodePosition(encodePosition(longest, ours.cursorKey), ours)).toEqual(longest)
    fc.assert(
      fc.property(points, positions, (point, position) => {
        const [cursor, page] = [encodePoint(point, ours.cursorKey), encodePosition(position, ours.cursorKey)]
        expect(decodePoint(cursor, ours)).toEqual(point)
        expect(decodePosition(page, ours)).toEqual(position)
        expect(cursor).toMatch(/^[\w-]{1,256}$/)
        expect(page).toMatch(/^[\w-]{1,256}$/)
      }),
    )
  })

  test('is refused when any bit of it is another', () => {
    fc.assert(
      fc.property(
        points,
        positions,
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (point, position, at, bits) => {
          const texts = [encodePoint(point, ours.cursorKey), encodePosition(position, ours.cursorKey)]
          texts.forEach((text, index) => {
            const bytes = Buffer.from(text, 'base64url')
            const place = at % bytes.byteLength
            bytes[place] = (bytes[place] ?? 0) ^ bits
            const altered = bytes.toString('base64url')
            // In the generation it is one of another history, which is refused as well.
            expect(codeOf(() => decoders[index]?.(altered, ours))).toMatch(
              /^(cursor_invalid|resync_required)$/,
            )
          })
        },
      ),
      { numRuns: 300 },
    )
  })

  test('is refused when it was made with another key, however right the rest is', () => {
    fc.assert(
      fc.property(points, positions, (point, position) => {
        const key = random(32)
        expect(codeOf(() => decodePoint(encodePoint(point, key), ours))).toBe('cursor_invalid')
        expect(codeOf(() => decodePosition(encodePosition(position, key), ours))).toBe('cursor_invalid')
      }),
    )
  })

  test('of another history asks for a snapshot, since its key may be gone', () => {
    const other: Generation = { generation: random(16), cursorKey: random(32) }
    const point = { generation: other.generation, sequence: 7, nonce: 'a' }
    const position = { ...point, section: 'users', time: 0, id: 'usr_1' } as const
    expect(codeOf(() => decodePoint(encodePoint(point, other.cursorKey), ours))).toBe('resync_required')
    expect(codeOf(() => decodePosition(encodePosition(position, other.cursorKey), ours))).toBe(
      'resync_required',
    )
  })

  test('of one kind is none of the other', () => {
    fc.assert(
      fc.property(points, positions, (point, position) => {
        expect(codeOf(() => decodePosition(encodePoint(point, ours.cursorKey), ours))).toBe('cursor_invalid')
        expect(codeOf(() => decodePoint(encodePosition(position, ours.cursorKey), ours))).toBe(
          'cursor_invalid',
        )
      }),
    )
  })

  test('has one spelling: no padding, no spaces, no other alphabet, no rest', () => {
    fc.assert(
      fc.property(points, point => {
        const text = encodePoint(point, ours.cursorKey)
        const others = [`${text}=`, `${text}==`, ` ${text}`, `${text}\n`, `${text}!`, `${text}AAAA`]
        const standard = Buffer.from(text, 'base64url').toString('base64')
        for (const other of [...others, ...(standard === text ? [] : [standard])]) {
          expect(codeOf(() => decodePoint(other, ours))).toBe('cursor_invalid')
        }
      }),
    )
  })

  test('no other text is one', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.base64String(), fc.string({ unit: 'binary' })), text => {
        for (const decode of decoders) expect(codeOf(() => decode(text, ours))).toBe('cursor_invalid')
      }),
      { numRuns: 500 },
    )
  })
})

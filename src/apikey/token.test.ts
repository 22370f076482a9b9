import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  checksum,
  formatKey,
  generateKey,
  keyPattern,
  looksLikeKey,
  parseKey,
  prefixPattern,
  publicId,
  startOf,
} from './token.ts'

const base62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const text62 = (length: number) =>
  fc.string({ unit: fc.constantFrom(...base62), minLength: length, maxLength: length })
const prefix = fc
  .tuple(
    fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz'),
    fc.string({ unit: fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz0123456789_'), maxLength: 15 }),
  )
  .map(([first, rest]) => first + rest)
const parts = fc.record({ prefix, id: text62(16), secret: text62(43) })

describe('the checksum', () => {
  test("KEY-02: is GitHub's: CRC-32 in six base62 digits", () => {
    expect(checksum('zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ')).toBe('0mLq17')
  })

  test('KEY-02: keeps its leading zeros', () => {
    expect(checksum('')).toBe('000000')
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme-ascii' }), text => {
        const digits = checksum(text)
        const value = [...digits].reduce((total, digit) => total * 62 + base62.indexOf(digit), 0)
        return digits.length === 6 && value === Bun.hash.crc32(text)
      }),
    )
  })
})

describe('a key as text', () => {
  test('KEY-02: what is formatted is parsed back, whatever the prefix', () => {
    fc.assert(
      fc.property(parts, given => {
        expect(parseKey(formatKey(given))).toEqual(given)
      }),
    )
  })

  test.each(['lk', 'lk_test', 'a', 'a_', 'a__', 'a_b_c', 'x123456789012345'])(
    'KEY-03: a prefix tells environments apart: %s',
    given => {
      const key = generateKey(given)
      expect(parseKey(formatKey(key))).toEqual(key)
    },
  )

  test('KEY-02: has 65 base62 characters after the prefix and no separator among them', () => {
    const text = formatKey(generateKey('lk'))
    expect(text).toMatch(/^lk_[0-9A-Za-z]{65}$/)
    expect(text).toHaveLength(68)
  })

  test('KEY-04: no change of a single character parses', () => {
    const character = fc.oneof(
      fc.constantFrom(...base62, '_', '-'),
      fc.string({ unit: 'binary', maxLength: 1 }),
    )
    fc.assert(
      fc.property(parts, fc.nat(), character, (given, at, other) => {
        const text = formatKey(given)
        const index = at % text.length
        fc.pre(text.charAt(index) !== other)
        return parseKey(text.slice(0, index) + other + text.slice(index + 1)) === null
      }),
      { numRuns: 2_000 },
    )
  })

  test('KEY-04: no change of a single character of one key parses, tried in full', () => {
    const text = formatKey(generateKey('lk_test'))
    for (let index = 0; index < text.length; index += 1) {
      for (const other of `${base62}_`) {
        if (other === text.charAt(index)) continue
        expect(parseKey(text.slice(0, index) + other + text.slice(index + 1))).toBeNull()
      }
    }
  })

  test('KEY-04: no two neighbours change places unnoticed', () => {
    fc.assert(
      fc.property(parts, given => {
        const text = formatKey(given)
        for (let index = 0; index + 1 < text.length; index += 1) {
          const [left, right] = [text.charAt(index), text.charAt(index + 1)]
          if (left === right) continue
          if (parseKey(text.slice(0, index) + right + left + text.slice(index + 2)) !== null) return false
        }
        return true
      }),
      { numRuns: 200 },
    )
  })

  test('KEY-04: no two neighbours change places where secret and checksum meet, whatever the key', () => {
    // In the text, a CRC-32 finds any change of two neighbours. Here one of them is the first digit of the checksum
    // itself: at most 4, since six digits of base 62 reach beyond 32 bits, and so must be the other. The swap would fit if
    // the checksums of both texts, which differ by a XOR that the two characters decide, differed by the same multiple
    // of 62^5, which is one of 32: but no such XOR leaves the last five bits alone.
    for (const left of '01234') {
      for (const right of '01234') {
        if (left === right) continue
        const difference = (Bun.hash.crc32(`any${left}`) ^ Bun.hash.crc32(`any${right}`)) >>> 0
        expect(difference % 32).not.toBe(0)
      }
    }
    let met = 0
    for (let key = 0; met < 50; key += 1) {
      const made = generateKey('lk')
      const text = formatKey({ ...made, secret: `${made.secret.slice(0, -1)}${key % 5}` })
      const [last, first] = [text.charAt(61), text.charAt(62)]
      if (!'01234'.includes(first) || last === first) continue
      met += 1
      expect(parseKey(`${text.slice(0, 61)}${first}${last}${text.slice(63)}`)).toBeNull()
    }
  })

  test('KEY-04: nothing that was not formatted here parses', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          text62(65).map(text => `lk_${text}`),
        ),
        text => {
          const parsed = parseKey(text)
          return parsed === null || formatKey(parsed) === text
        },
      ),
      { numRuns: 1_000 },
    )
    const text = formatKey(generateKey('lk'))
    for (const other of [
      `${text}\n`,
      ` ${text}`,
      `${text} `,
      `${text}\0`,
      `${text}${text}`,
      text.slice(1),
      '',
    ]) {
      expect(parseKey(other)).toBeNull()
    }
  })
})

describe('the pattern for secret scanners', () => {
  test('KEY-03: matches every key, and only text of its form', () => {
    fc.assert(fc.property(parts, given => keyPattern.test(formatKey(given))))
    const body = formatKey(generateKey('lk')).slice(3)
    for (const text of [
      `LK_${body}`,
      `1k_${body}`,
      `_lk_${body}`,
      `lk-${body}`,
      `lk_${body}0`,
      `lk_${body.slice(1)}`,
      `lk_${body.slice(1)}-`,
      `lk_${body.slice(1)}_`,
      `seventeen_letters_${body}`,
      `x\nlk_${body}`,
      `ghp_${body.slice(0, 36)}`,
      'eyJhbGciOiJIUzI1NiJ9.e30.c2ln',
    ]) {
      expect(keyPattern.test(text)).toBe(false)
    }
  })

  test('KEY-03: finds a key in a line of text between word boundaries', () => {
    const text = formatKey(generateKey('lk_live'))
    const scanner = new RegExp(`\\b${keyPattern.source.slice(1, -1)}\\b`, 'g')
    expect(`export API_KEY="${text}" # prod`.match(scanner)).toEqual([text])
  })

  test('takes the prefixes that a service may choose, and no others', () => {
    fc.assert(fc.property(prefix, given => prefixPattern.test(given)))
    for (const given of ['', '_lk', '1k', 'LK', 'lk-test', 'lk test', 'lk\n', 'a'.repeat(17), 'é']) {
      expect(prefixPattern.test(given)).toBe(false)
    }
  })
})

describe('a generated key', () => {
  test('KEY-01: never comes twice, and uses every character alike', () => {
    const keys = Array.from({ length: 2_000 }, () => generateKey('lk'))
    expect(new Set(keys.map(({ id }) => id)).size).toBe(keys.length)
    expect(new Set(keys.map(({ secret }) => secret)).size).toBe(keys.length)

    const text = keys.map(({ id, secret }) => id + secret).join('')
    const counts = new Map<string, number>()
    for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1)
    expect([...counts.keys()].sort().join('')).toBe([...base62].sort().join(''))
    // Chi-squared with 61 degrees of freedom: above 150 once in 10^9 times. Bytes modulo 62 would give about 1,800.
    const expected = text.length / 62
    const chiSquared = [...counts.values()].reduce(
      (sum, count) => sum + (count - expected) ** 2 / expected,
      0,
    )
    expect(chiSquared).toBeLessThan(150)
  })

  test('KEY-05: shows nothing of its secret in its names', () => {
    const key = generateKey('lk')
    expect(publicId(key.id)).toBe(`key_${key.id}`)
    expect(startOf(key)).toBe(`lk_${key.id.slice(0, 4)}`)
  })

  test('is told from other text by its prefix, well-formed or not', () => {
    expect(looksLikeKey('lk_', 'lk')).toBe(true)
    expect(looksLikeKey('lk_oops', 'lk')).toBe(true)
    expect(looksLikeKey('lk', 'lk')).toBe(false)
    expect(looksLikeKey('LK_x', 'lk')).toBe(false)
    expect(looksLikeKey('eyJhbGciOiJIUzI1NiJ9.e30.c2ln', 'lk')).toBe(false)
  })
})

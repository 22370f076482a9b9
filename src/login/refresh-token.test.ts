import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { createRefreshKey, isAuthentic, readRefreshToken, writeRefreshToken } from './refresh-token.ts'

const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+/. \u00e9'
const hexadecimal = fc.stringMatching(/^[0-9a-f]{32}$/)
const sessionId = hexadecimal.map(digits => `ses_${digits}`)
// Eight digits of base 36: a refresh a millisecond for ninety years.
const counter = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 36 ** 8 - 1 }))
const refreshKey = fc.constantFrom(...Array.from({ length: 8 }, createRefreshKey))
const written = fc.tuple(sessionId, counter, refreshKey)

const isGood = (text: string, key: string): boolean => {
  const token = readRefreshToken(text)
  return token !== null && isAuthentic(token, key)
}

describe('SES-01: a refresh token', () => {
  test('is read as it was written, and is authentic under the key of its session', () => {
    fc.assert(
      fc.property(written, ([id, count, key]) => {
        const token = readRefreshToken(writeRefreshToken(id, count, key))
        expect(token).toMatchObject({ sessionId: id, counter: count })
        expect(token !== null && isAuthentic(token, key)).toBe(true)
      }),
    )
  })

  test('is of bounded size, fits the field that takes it, and goes into JSON and a form as it is', () => {
    fc.assert(
      fc.property(written, ([id, count, key]) => {
        const text = writeRefreshToken(id, count, key)
        expect(text).toMatch(/^lkr_[0-9a-z]{33,40}_[A-Za-z0-9_-]{43}$/)
        expect(encodeURIComponent(text)).toBe(text)
      }),
    )
  })

  test('with any one character changed, taken out or put in is not authentic', () => {
    const change = fc.record({
      at: fc.nat({ max: 87 }),
      letter: fc.constantFrom(...letters),
      cut: fc.constantFrom(0, 1),
      add: fc.boolean(),
    })
    fc.assert(
      fc.property(written, change, ([id, count, key], { at, letter, cut, add }) => {
        const text = writeRefreshToken(id, count, key)
        const changed = text.slice(0, at) + (add ? letter : '') + text.slice(at + cut)
        fc.pre(changed !== text)
        expect({ changed, isGood: isGood(changed, key) }).toEqual({ changed, isGood: false })
      }),
      { numRuns: 2_000 },
    )
  })

  test('has one spelling: a counter with a zero before it is another text', () => {
    const key = createRefreshKey()
    const text = writeRefreshToken(`ses_${'a'.repeat(32)}`, 5, key)
    const respelled = text.replace('a5_', 'a05_')
    expect(respelled).not.toBe(text)
    expect(readRefreshToken(respelled)).toBeNull()
  })

  test('is nothing under the key of another session, nor with the number or the session of another token', () => {
    fc.assert(
      fc.property(written, written, ([id, count, key], [otherId, otherCount, otherKey]) => {
        const text = writeRefreshToken(id, count, key)
        if (key !== otherKey) expect(isGood(text, otherKey)).toBe(false)
        const mac = text.slice(-43)
        const swap = (to: string) => writeRefreshToken(to, otherCount, key).slice(0, -43) + mac
        if (id !== otherId || count !== otherCount) expect(isGood(swap(otherId), key)).toBe(false)
      }),
    )
  })

  test.each([
    '',
    'lkr_',
    'eyJhbGciOiJIUzI1NiJ9.e30.x',
    `lkr_${'a'.repeat(32)}_${'A'.repeat(43)}`,
    `lkr_${'a'.repeat(32)}zzzzzzzzz_${'A'.repeat(43)}`,
    `lkr_${'A'.repeat(32)}0_${'A'.repeat(43)}`,
    `lkr_${'a'.repeat(32)}0_${'A'.repeat(43)}\n`,
    `\u00a0lkr_${'a'.repeat(32)}0_${'A'.repeat(43)}`,
    `lkr_${'a'.repeat(32)}0_${'é'.repeat(43)}`,
    'a'.repeat(100_000),
  ])('%# is no other text: it is not even looked up', text => {
    expect(readRefreshToken(text)).toBeNull()
  })

  test('TOK-24: is made under a key of 256 bits that no other session has', () => {
    const keys = new Set(Array.from({ length: 1_000 }, createRefreshKey))
    expect(keys.size).toBe(1_000)
    for (const key of keys) expect(Buffer.from(key, 'base64url')).toHaveLength(32)
  })
})

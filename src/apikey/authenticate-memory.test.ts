import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { bySystem } from '../lib/audit.ts'
import { clockLeewaySeconds } from '../lib/jwt/verifier.ts'
import { createGated, type Gated } from './test-gate.ts'
import { formatKey, generateKey, parseKey } from './token.ts'

let gated: Gated
beforeEach(() => {
  gated = createGated()
})
afterEach(() => gated.end())

describe('what is no credential', () => {
  test('takes no room, however much of it comes: garbage, unknown keys, wrong secrets, bad tokens', async () => {
    const { text, headers } = await gated.makeKey()
    const good = parseKey(text)
    if (good === null) throw new Error('The key is none')
    const token = (await gated.makeToken(gated.time.now / 1_000 + 300)).get('authorization') ?? ''
    await gated.judge(headers)
    await gated.judge(new Headers({ authorization: token }))
    const { size } = gated.cache
    expect(size).toBe(2)

    const key = (name: string) => (value: string) => new Headers({ [name]: value })
    const printable = fc.stringMatching(/^[!-~]{1,200}$/)
    const unknown = fc.constant(null).map(() => formatKey(generateKey('lk')))
    const wrongSecret = fc.constant(null).map(() => formatKey({ ...generateKey('lk'), id: good.id }))
    const otherPrefix = fc.constant(formatKey({ ...good, prefix: 'lk_test' }))
    const typo = fc
      .nat({ max: text.length - 1 })
      .map(at => `${text.slice(0, at)}${text[at] === 'a' ? 'b' : 'a'}${text.slice(at + 1)}`)
    const badToken = fc
      .nat({ max: token.length - 'Bearer '.length - 1 })
      .map(at => at + 'Bearer '.length)
      .map(at => `${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`)
    const bogus = fc.oneof(
      fc.oneof(printable, unknown, wrongSecret, otherPrefix, typo).map(key('x-api-key')),
      fc
        .oneof(unknown, wrongSecret, otherPrefix, typo, printable)
        .map(value => `Bearer ${value}`)
        .map(key('authorization')),
      badToken.map(key('authorization')),
      fc.constant(token.slice('Bearer '.length)).map(key('x-api-key')),
    )
    await fc.assert(
      fc.asyncProperty(bogus, async presented => {
        expect(await gated.judge(presented)).toMatchObject({ ok: false })
        expect(gated.cache.size).toBe(size)
      }),
      { numRuns: 500 },
    )
    const { reads } = gated.gate
    expect(await gated.judge(headers)).toMatchObject({ ok: true })
    expect(gated.gate.reads).toBe(reads)
  })

  test('does not push out what is one: a small memory stays within its bound, and each answer is right', async () => {
    const small = createGated({ maxEntries: 8 })
    try {
      const made = await Promise.all(Array.from({ length: 24 }, () => small.makeKey()))
      for (let round = 0; round < 3; round += 1) {
        for (const [index, { headers, id }] of made.entries()) {
          if (round === 1 && index % 3 === 0) await small.store.revoke(id, 'all', bySystem)
          const isGone = round > 0 && index % 3 === 0
          expect(await small.judge(headers)).toMatchObject({ ok: !isGone })
          expect(small.cache.size).toBeLessThanOrEqual(8)
        }
      }
    } finally {
      small.end()
    }
  })
})

describe('a time of expiry', () => {
  const around = [-60_000, -1_000, -999, -2, -1, 0, 1, 2, 999, 1_000, 60_000]

  test('ends a key that is in memory at its very millisecond', async () => {
    const expiresAt = gated.time.now + 70_123
    const { headers } = await gated.makeKey(expiresAt)
    expect(await gated.judge(headers)).toMatchObject({ ok: true })
    for (const offset of around) {
      gated.time.now = expiresAt + offset
      expect([offset, await gated.judge(headers)]).toEqual([offset, await gated.truth(headers)])
      expect((await gated.judge(headers)).ok).toBe(offset < 0)
      // Until then nobody had to look.
      if (offset < 0) expect(gated.gate.reads).toBe(1)
    }
  })

  test('ends a token that is in memory when its verification would say so, leeway included', async () => {
    const { time } = gated
    for (const fraction of [0, 1, 500, 999]) {
      const exp = Math.floor(time.now / 1_000) + 30
      const headers = await gated.makeToken(exp)
      time.now += fraction
      const before = gated.verifications
      expect(await gated.judge(headers)).toMatchObject({ ok: true })
      const end = (exp + clockLeewaySeconds) * 1_000
      for (const offset of [-2_000, -1_001, -1_000, -999, -2, -1, 0, 1, 999, 1_000]) {
        time.now = end + offset
        expect([offset, await gated.judge(headers)]).toEqual([offset, await gated.truth(headers)])
        expect((await gated.judge(headers)).ok).toBe(offset < 0)
        if (offset < 0) expect(gated.verifications).toBe(before + 1)
      }
    }
  })

  test('is held at any time, also by a clock that is set back or jumps', async () => {
    const start = gated.time.now
    const expiresAt = start + 5_000
    const key = await gated.makeKey(expiresAt)
    const token = await gated.makeToken(start / 1_000 + 5)
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: -5_000, max: 75_000 }), { maxLength: 20 }), async jumps => {
        for (const jump of jumps) {
          gated.time.now = start + jump
          for (const headers of [key.headers, token]) {
            expect(await gated.judge(headers)).toEqual(await gated.truth(headers))
          }
        }
      }),
      { numRuns: 100 },
    )
  })

  test('that is taken away in time ends nothing', async () => {
    const expiresAt = gated.time.now + 1_000
    const { headers, id } = await gated.makeKey(expiresAt)
    expect((await gated.judge(headers)).ok).toBe(true)
    await gated.store.update(id, 'all', { expiresAt: null }, bySystem)
    gated.time.now = expiresAt + 1
    expect((await gated.judge(headers)).ok).toBe(true)
  })
})

describe('what changed past everything that tells of it', () => {
  test('is noticed after ten minutes at the latest: a key is looked at anew', async () => {
    const { headers } = await gated.makeKey()
    await gated.judge(headers)
    const { reads } = gated.gate
    gated.time.now += 599_999
    expect(await gated.judge(headers)).toMatchObject({ ok: true })
    expect(gated.gate.reads).toBe(reads)
    gated.time.now += 1
    expect(await gated.judge(headers)).toMatchObject({ ok: true })
    expect(gated.gate.reads).toBe(reads + 1)
  })
})

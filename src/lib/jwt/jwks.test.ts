import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { Failure } from '../failure.ts'
import { createKeyStage, type KeyStage, outcome, published } from './test-jwks.ts'
import { nowSeconds } from './test-tokens.ts'

let stage: KeyStage
beforeEach(async () => {
  stage = await createKeyStage()
})
afterEach(() => stage.end())

describe('keys from an address', () => {
  test('are fetched when a token first needs one, and verify it', async () => {
    const keys = stage.remote()
    expect(stage.hits).toBe(0)
    expect(await stage.verify(keys, stage.one, 'one')).toBe(true)
    expect(await stage.verify(keys, stage.two, 'one')).toBe(false)
    expect(stage.hits).toBe(1)
  })

  test('TOK-04: names are looked up among names, whatever they are', async () => {
    const keys = stage.remote()
    expect(await outcome(keys, 'one')).toBe('found')
    for (const kid of ['__proto__', 'constructor', 'toString', '', 'ONE', 'x'.repeat(4_096), undefined]) {
      expect(await outcome(keys, kid)).toBe('none')
    }
  })
})

describe('how often they are fetched', () => {
  test('TOK-18: 50 at once share one fetch', async () => {
    const keys = stage.remote()
    const outcomes = await Promise.all(Array.from({ length: 50 }, () => outcome(keys, 'one')))
    expect(new Set(outcomes)).toEqual(new Set(['found']))
    expect(stage.hits).toBe(1)
  })

  test('TOK-18: any number of unknown names cost one fetch in a cooldown', async () => {
    const keys = stage.remote()
    await outcome(keys, 'one')
    for (let round = 1; round <= 3; round += 1) {
      stage.now += 10_000
      const unknown = Array.from({ length: 50 }, (_, index) => outcome(keys, `ghost-${round}-${index}`))
      expect(new Set(await Promise.all(unknown))).toEqual(new Set(['none']))
      for (let index = 0; index < 10; index += 1) expect(await outcome(keys, `late-${index}`)).toBe('none')
      stage.now += 9_999
      expect(await outcome(keys, 'later')).toBe('none')
      stage.now -= 9_999
      expect(stage.hits).toBe(1 + round)
    }
  })

  test('TOK-18: while there are none, a flood costs one fetch in a second', async () => {
    stage.goDown()
    const keys = stage.remote()
    for (let index = 0; index < 20; index += 1) expect(await outcome(keys, 'one')).toBe('unavailable')
    expect(stage.hits).toBe(1)
    stage.now += 999
    expect(await outcome(keys, 'one')).toBe('unavailable')
    expect(stage.hits).toBe(1)
    stage.now += 1
    expect(await outcome(keys, 'one')).toBe('unavailable')
    expect(stage.hits).toBe(2)
  })

  test('a set that is no longer fresh answers while the next one is fetched', async () => {
    const keys = stage.remote()
    await outcome(keys, 'one')
    stage.now += 600_000
    const release = stage.hold()
    expect(await outcome(keys, 'one')).toBe('found')
    while (stage.hits < 2) await Bun.sleep(1)
    release(Response.json({ keys: [await published(stage.two, 'two')] }))
    while ((await outcome(keys, 'one')) !== 'none') await Bun.sleep(1)
    expect(await outcome(keys, 'two')).toBe('found')
    expect(stage.hits).toBe(2)
  })
})

describe('rotation of the keys of an issuer', () => {
  test('TOK-17: a new name is found after the cooldown at the latest, and the old one stays', async () => {
    const keys = stage.remote()
    expect(await stage.verify(keys, stage.one, 'one')).toBe(true)
    const both = [await published(stage.one, 'one'), await published(stage.two, 'two')]
    stage.answer = () => Response.json({ keys: both })
    expect(await stage.verify(keys, stage.two, 'two')).toBe(false)
    stage.now += 10_000
    expect(await stage.verify(keys, stage.two, 'two')).toBe(true)
    expect(await stage.verify(keys, stage.one, 'one')).toBe(true)
  })

  test('a key that is withdrawn is not taken any more once the set is fetched again', async () => {
    const keys = stage.remote()
    expect(await stage.verify(keys, stage.one, 'one')).toBe(true)
    const rest = [await published(stage.two, 'two')]
    stage.answer = () => Response.json({ keys: rest })
    stage.now += 10_000
    expect(await stage.verify(keys, stage.two, 'two')).toBe(true)
    expect(await stage.verify(keys, stage.one, 'one')).toBe(false)
  })
})

describe('an issuer out of reach', () => {
  test('TOK-19: keys that were fetched go on, for as long as it lasts', async () => {
    const keys = stage.remote()
    await outcome(keys, 'one')
    await stage.end()
    for (let hour = 1; hour <= 3; hour += 1) {
      stage.now = nowSeconds * 1_000 + hour
      expect(await stage.verify(keys, stage.one, 'one')).toBe(true)
      stage.now += 600_000
      expect(await outcome(keys, 'one')).toBe('found')
    }
  })

  test('TOK-19: about a name that is not among them nothing is known, so it is no verdict', async () => {
    const keys = stage.remote()
    await outcome(keys, 'one')
    await stage.end()
    stage.now += 10_000
    expect(await outcome(keys, 'two')).toBe('unavailable')
    await expect(stage.verify(keys, stage.two, 'two')).rejects.toMatchObject({
      code: 'unavailable',
      retryAfterSeconds: 1,
    })
    expect(await outcome(keys, 'one')).toBe('found')
  })

  test('TOK-19: with nothing fetched yet no token is invalid, and it works once the issuer is there', async () => {
    const good = stage.answer
    stage.goDown()
    const keys = stage.remote()
    await expect(stage.verify(keys, stage.one, 'one')).rejects.toMatchObject({ code: 'unavailable' })
    stage.answer = good
    stage.now += 1_000
    expect(await stage.verify(keys, stage.one, 'one')).toBe(true)
  })

  test('TOK-19: an answer that is no key set leaves the keys as they are', async () => {
    const keys = stage.remote()
    await outcome(keys, 'one')
    stage.answer = () => new Response('<html>Maintenance</html>')
    stage.now += 10_000
    expect(await outcome(keys, 'two')).toBe('unavailable')
    expect(await outcome(keys, 'one')).toBe('found')
  })
})

test('a refresh fetches anew at once, and a failure of it leaves what is known and is tried again', async () => {
  const keys = stage.remote()
  expect(await stage.verify(keys, stage.one, 'one')).toBe(true)
  stage.goDown()
  keys.refresh()
  await Bun.sleep(10)
  expect([stage.hits, await stage.verify(keys, stage.one, 'one')]).toEqual([2, true])
  const next = await published(stage.two, 'two')
  stage.answer = () => Response.json({ keys: [next] })
  stage.now += 10_000
  await outcome(keys, 'one')
  await Bun.sleep(10)
  expect([await stage.verify(keys, stage.two, 'two'), await stage.verify(keys, stage.one, 'one')]).toEqual([
    true,
    false,
  ])
})

test('TOK-19: what made a fetch fail is given to the first who asks, and not with each refusal after it', async () => {
  stage.goDown()
  const keys = stage.remote()
  const causeOf = async (): Promise<unknown> => {
    try {
      return await keys.find('one')
    } catch (error) {
      return error instanceof Failure ? [error.code, error.retryAfterSeconds, error.cause] : error
    }
  }
  const bare = ['unavailable', 1, undefined]
  const full = ['unavailable', 1, expect.any(Error)]
  const together = await Promise.all(Array.from({ length: 5 }, causeOf))
  expect(together).toEqual([full, bare, bare, bare, bare])
  expect(await causeOf()).toEqual(bare)
  stage.now += 1_000
  expect([await causeOf(), await causeOf(), stage.hits]).toEqual([full, bare, 2])
})

import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { createKeyStage, type KeyStage, outcome, published } from './test-jwks.ts'

let stage: KeyStage
beforeEach(async () => {
  stage = await createKeyStage()
})
afterEach(() => stage.end())

describe('a key that was revoked', () => {
  test('is refused at once and for good, whether or not the issuer is in reach or goes on publishing it', async () => {
    const keys = stage.remote()
    expect(await stage.verify(keys, stage.one, 'one')).toBe(true)
    stage.goDown()
    keys.forget('one')
    expect([await stage.verify(keys, stage.one, 'one'), await outcome(keys, 'one')]).toEqual([false, 'none'])
    const good = await published(stage.one, 'one')
    stage.answer = () => Response.json({ keys: [good] })
    stage.now += 3_600_000
    expect([await stage.verify(keys, stage.one, 'one'), await outcome(keys, 'one')]).toEqual([false, 'none'])
  })

  test('takes no other along: those that are known serve on while the issuer is out of reach', async () => {
    const both = [await published(stage.one, 'one'), await published(stage.two, 'two')]
    stage.answer = () => Response.json({ keys: both })
    const keys = stage.remote()
    expect(await stage.verify(keys, stage.two, 'two')).toBe(true)
    stage.goDown()
    keys.forget('one')
    expect([await stage.verify(keys, stage.one, 'one'), await stage.verify(keys, stage.two, 'two')]).toEqual([
      false,
      true,
    ])
  })

  test('has its successor fetched at once, whatever the cooldown', async () => {
    const keys = stage.remote()
    expect(await stage.verify(keys, stage.one, 'one')).toBe(true)
    const next = await published(stage.two, 'two')
    stage.answer = () => Response.json({ keys: [next] })
    keys.forget('one')
    expect(await stage.verify(keys, stage.two, 'two')).toBe(true)
    expect(stage.hits).toBe(2)
  })

  test('that was never fetched is refused too, and a flood of its tokens fetches nothing', async () => {
    const keys = stage.remote()
    keys.forget('one')
    await Bun.sleep(10)
    const before = stage.hits
    for (let index = 0; index < 20; index += 1) expect(await stage.verify(keys, stage.one, 'one')).toBe(false)
    expect(stage.hits - before).toBeLessThanOrEqual(1)
  })

  test('counts from the moment that it is known elsewhere, before and after its key was fetched', async () => {
    const revoked = new Set(['one'])
    const keys = stage.remote({ isRevoked: kid => revoked.has(kid) })
    expect(await stage.verify(keys, stage.one, 'one')).toBe(false)
    expect(stage.hits).toBe(0)
    revoked.clear()
    expect(await stage.verify(keys, stage.one, 'one')).toBe(true)
    revoked.add('one')
    expect([await stage.verify(keys, stage.one, 'one'), await outcome(keys, 'one')]).toEqual([false, 'none'])
    stage.goDown()
    stage.now += 3_600_000
    expect([await stage.verify(keys, stage.one, 'one'), await outcome(keys, 'one')]).toEqual([false, 'none'])
  })

  test('while its set is on the way is refused, though it comes with that set', async () => {
    const revoked = new Set<string>()
    const release = stage.hold()
    const keys = stage.remote({ isRevoked: kid => revoked.has(kid) })
    const found = outcome(keys, 'one')
    while (stage.hits < 1) await Bun.sleep(1)
    revoked.add('one')
    release(Response.json({ keys: [await published(stage.one, 'one')] }))
    expect(await found).toBe('none')
  })

  test('and forgotten while a set is on the way is refused, though it comes with that set', async () => {
    const keys = stage.remote()
    expect(await outcome(keys, 'one')).toBe('found')
    const release = stage.hold()
    stage.now += 10_000
    const asked = outcome(keys, 'two')
    while (stage.hits < 2) await Bun.sleep(1)
    const found = outcome(keys, 'one')
    keys.forget('one')
    release(Response.json({ keys: [await published(stage.one, 'one'), await published(stage.two, 'two')] }))
    expect([await asked, await found, await outcome(keys, 'one')]).toEqual(['found', 'found', 'none'])
  })
})

describe('a revoked key that is published', () => {
  test('is told once, however often it is fetched', async () => {
    const told: string[] = []
    const keys = stage.remote({ isRevoked: kid => kid === 'one', onRevokedPublished: kid => told.push(kid) })
    for (let round = 0; round < 3; round += 1) {
      expect(await outcome(keys, 'two')).toBe('none')
      stage.now += 10_000
    }
    expect([told, stage.hits]).toEqual([['one'], 3])
  })

  test('is told again for another key, and not for one that is only revoked or only published', async () => {
    const told: string[] = []
    const revoked = new Set(['one', 'gone'])
    const both = [await published(stage.one, 'one'), await published(stage.two, 'two')]
    stage.answer = () => Response.json({ keys: both })
    const keys = stage.remote({
      isRevoked: kid => revoked.has(kid),
      onRevokedPublished: kid => told.push(kid),
    })
    expect(await outcome(keys, 'two')).toBe('found')
    expect(told).toEqual(['one'])
    revoked.add('two')
    stage.now += 10_000
    await outcome(keys, 'three')
    expect(told).toEqual(['one', 'two'])
  })

  test('is not told where the set was asked for before the key was revoked', async () => {
    const told: string[] = []
    const keys = stage.remote({ onRevokedPublished: kid => told.push(kid) })
    await outcome(keys, 'one')
    const release = stage.hold()
    stage.now += 10_000
    const asked = outcome(keys, 'two')
    while (stage.hits < 2) await Bun.sleep(1)
    keys.forget('one')
    const good = await published(stage.one, 'one')
    stage.answer = () => Response.json({ keys: [] })
    release(Response.json({ keys: [good] }))
    expect([await asked, told]).toEqual(['none', []])
    // One that it came back with, after a restore for instance, is another matter.
    stage.answer = () => Response.json({ keys: [good] })
    stage.now += 10_000
    await outcome(keys, 'two')
    expect(told).toEqual(['one'])
  })
})

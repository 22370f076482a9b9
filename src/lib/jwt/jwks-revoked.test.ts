import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { exportJWK, type JWK } from 'jose'
import { createRemoteKeys, type RemoteKeys, type RemoteKeysOptions } from './jwks.ts'
import {
  audience,
  compact,
  ecdsa,
  generateKeyPair,
  goodClaims,
  issuer,
  type KeyPair,
  nowSeconds,
} from './test-tokens.ts'
import { createVerifier, type KeySource } from './verifier.ts'

let one: KeyPair
let two: KeyPair
beforeAll(async () => {
  ;[one, two] = await Promise.all([generateKeyPair(), generateKeyPair()])
})

const published = async ({ publicKey }: KeyPair, kid: string, members: object = {}): Promise<JWK> => ({
  ...(await exportJWK(publicKey)),
  kid,
  alg: 'ES256',
  use: 'sig',
  ...members,
})

type Answer = (request: Request) => Response | Promise<Response>

let now: number
let hits: number
let answer: Answer
let server: ReturnType<typeof Bun.serve>
beforeEach(async () => {
  now = nowSeconds * 1_000
  hits = 0
  const good = await published(one, 'one')
  answer = () => Response.json({ keys: [good] })
  server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: async request => {
      hits += 1
      return answer(request)
    },
  })
})
afterEach(() => server.stop(true))

const remote = (options: Partial<RemoteKeysOptions> = {}): RemoteKeys =>
  createRemoteKeys({
    url: `http://127.0.0.1:${server.port}/jwks.json`,
    clock: () => now,
    freshMilliseconds: 600_000,
    cooldownMilliseconds: 10_000,
    ...options,
  })

/** How a look-up ends: `found`, `none`, or the code of its failure. */
const outcome = async (keys: KeySource, kid: string | undefined): Promise<unknown> => {
  try {
    return (await keys.find(kid)) === null ? 'none' : 'found'
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error
  }
}

const verify = async (keys: KeySource, pair: KeyPair, kid: string): Promise<boolean> => {
  const token = await compact({ alg: 'ES256', typ: 'at+jwt', kid }, goodClaims, ecdsa(pair.privateKey))
  return (await createVerifier({ keys, issuer, audience, clock: () => now }).verify(token)).ok
}

const goDown = (): void => {
  answer = () => new Response(null, { status: 503 })
}

describe('a key that was revoked', () => {
  test('is refused at once and for good, whether or not the issuer is in reach or goes on publishing it', async () => {
    const keys = remote()
    expect(await verify(keys, one, 'one')).toBe(true)
    goDown()
    keys.forget('one')
    expect([await verify(keys, one, 'one'), await outcome(keys, 'one')]).toEqual([false, 'none'])
    const good = await published(one, 'one')
    answer = () => Response.json({ keys: [good] })
    now += 3_600_000
    expect([await verify(keys, one, 'one'), await outcome(keys, 'one')]).toEqual([false, 'none'])
  })

  test('takes no other along: those that are known serve on while the issuer is out of reach', async () => {
    const both = [await published(one, 'one'), await published(two, 'two')]
    answer = () => Response.json({ keys: both })
    const keys = remote()
    expect(await verify(keys, two, 'two')).toBe(true)
    goDown()
    keys.forget('one')
    expect([await verify(keys, one, 'one'), await verify(keys, two, 'two')]).toEqual([false, true])
  })

  test('has its successor fetched at once, whatever the cooldown', async () => {
    const keys = remote()
    expect(await verify(keys, one, 'one')).toBe(true)
    const next = await published(two, 'two')
    answer = () => Response.json({ keys: [next] })
    keys.forget('one')
    expect(await verify(keys, two, 'two')).toBe(true)
    expect(hits).toBe(2)
  })

  test('that was never fetched is refused too, and a flood of its tokens fetches nothing', async () => {
    const keys = remote()
    keys.forget('one')
    await Bun.sleep(10)
    const before = hits
    for (let index = 0; index < 20; index += 1) expect(await verify(keys, one, 'one')).toBe(false)
    expect(hits - before).toBeLessThanOrEqual(1)
  })

  test('counts from the moment that it is known elsewhere, before and after its key was fetched', async () => {
    const revoked = new Set(['one'])
    const keys = remote({ isRevoked: kid => revoked.has(kid) })
    expect(await verify(keys, one, 'one')).toBe(false)
    expect(hits).toBe(0)
    revoked.clear()
    expect(await verify(keys, one, 'one')).toBe(true)
    revoked.add('one')
    expect([await verify(keys, one, 'one'), await outcome(keys, 'one')]).toEqual([false, 'none'])
    goDown()
    now += 3_600_000
    expect([await verify(keys, one, 'one'), await outcome(keys, 'one')]).toEqual([false, 'none'])
  })

  test('while its set is on the way is refused, though it comes with that set', async () => {
    const revoked = new Set<string>()
    let release: (response: Response) => void = () => undefined
    answer = () =>
      new Promise(resolve => {
        release = resolve
      })
    const keys = remote({ isRevoked: kid => revoked.has(kid) })
    const found = outcome(keys, 'one')
    while (hits < 1) await Bun.sleep(1)
    revoked.add('one')
    release(Response.json({ keys: [await published(one, 'one')] }))
    expect(await found).toBe('none')
  })

  test('and forgotten while a set is on the way is refused, though it comes with that set', async () => {
    const keys = remote()
    expect(await outcome(keys, 'one')).toBe('found')
    let release: (response: Response) => void = () => undefined
    answer = () =>
      new Promise(resolve => {
        release = resolve
      })
    now += 10_000
    const asked = outcome(keys, 'two')
    while (hits < 2) await Bun.sleep(1)
    const found = outcome(keys, 'one')
    keys.forget('one')
    release(Response.json({ keys: [await published(one, 'one'), await published(two, 'two')] }))
    expect([await asked, await found, await outcome(keys, 'one')]).toEqual(['found', 'found', 'none'])
  })
})

describe('a revoked key that is published', () => {
  test('is told once, however often it is fetched', async () => {
    const told: string[] = []
    const keys = remote({ isRevoked: kid => kid === 'one', onRevokedPublished: kid => told.push(kid) })
    for (let round = 0; round < 3; round += 1) {
      expect(await outcome(keys, 'two')).toBe('none')
      now += 10_000
    }
    expect([told, hits]).toEqual([['one'], 3])
  })

  test('is told again for another key, and not for one that is only revoked or only published', async () => {
    const told: string[] = []
    const revoked = new Set(['one', 'gone'])
    const both = [await published(one, 'one'), await published(two, 'two')]
    answer = () => Response.json({ keys: both })
    const keys = remote({ isRevoked: kid => revoked.has(kid), onRevokedPublished: kid => told.push(kid) })
    expect(await outcome(keys, 'two')).toBe('found')
    expect(told).toEqual(['one'])
    revoked.add('two')
    now += 10_000
    await outcome(keys, 'three')
    expect(told).toEqual(['one', 'two'])
  })

  test('is not told where the set was asked for before the key was revoked', async () => {
    const told: string[] = []
    const keys = remote({ onRevokedPublished: kid => told.push(kid) })
    await outcome(keys, 'one')
    let release: (response: Response) => void = () => undefined
    answer = () =>
      new Promise(resolve => {
        release = resolve
      })
    now += 10_000
    const asked = outcome(keys, 'two')
    while (hits < 2) await Bun.sleep(1)
    keys.forget('one')
    const good = await published(one, 'one')
    answer = () => Response.json({ keys: [] })
    release(Response.json({ keys: [good] }))
    expect([await asked, told]).toEqual(['none', []])
    // One that it came back with, after a restore for instance, is another matter.
    answer = () => Response.json({ keys: [good] })
    now += 10_000
    await outcome(keys, 'two')
    expect(told).toEqual(['one'])
  })
})

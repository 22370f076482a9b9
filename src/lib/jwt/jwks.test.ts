import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { exportJWK, type JWK } from 'jose'
import { Failure } from '../failure.ts'
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

describe('keys from an address', () => {
  test('are fetched when a token first needs one, and verify it', async () => {
    const keys = remote()
    expect(hits).toBe(0)
    expect(await verify(keys, one, 'one')).toBe(true)
    expect(await verify(keys, two, 'one')).toBe(false)
    expect(hits).toBe(1)
  })

  test('TOK-04: names are looked up among names, whatever they are', async () => {
    const keys = remote()
    expect(await outcome(keys, 'one')).toBe('found')
    for (const kid of ['__proto__', 'constructor', 'toString', '', 'ONE', 'x'.repeat(4_096), undefined]) {
      expect(await outcome(keys, kid)).toBe('none')
    }
  })
})

describe('how often they are fetched', () => {
  test('TOK-18: 50 at once share one fetch', async () => {
    const keys = remote()
    const outcomes = await Promise.all(Array.from({ length: 50 }, () => outcome(keys, 'one')))
    expect(new Set(outcomes)).toEqual(new Set(['found']))
    expect(hits).toBe(1)
  })

  test('TOK-18: any number of unknown names cost one fetch in a cooldown', async () => {
    const keys = remote()
    await outcome(keys, 'one')
    for (let round = 1; round <= 3; round += 1) {
      now += 10_000
      const unknown = Array.from({ length: 50 }, (_, index) => outcome(keys, `ghost-${round}-${index}`))
      expect(new Set(await Promise.all(unknown))).toEqual(new Set(['none']))
      for (let index = 0; index < 10; index += 1) expect(await outcome(keys, `late-${index}`)).toBe('none')
      now += 9_999
      expect(await outcome(keys, 'later')).toBe('none')
      now -= 9_999
      expect(hits).toBe(1 + round)
    }
  })

  test('TOK-18: while there are none, a flood costs one fetch in a second', async () => {
    goDown()
    const keys = remote()
    for (let index = 0; index < 20; index += 1) expect(await outcome(keys, 'one')).toBe('unavailable')
    expect(hits).toBe(1)
    now += 999
    expect(await outcome(keys, 'one')).toBe('unavailable')
    expect(hits).toBe(1)
    now += 1
    expect(await outcome(keys, 'one')).toBe('unavailable')
    expect(hits).toBe(2)
  })

  test('a set that is no longer fresh answers while the next one is fetched', async () => {
    const keys = remote()
    await outcome(keys, 'one')
    now += 600_000
    let release: (response: Response) => void = () => undefined
    answer = () =>
      new Promise(resolve => {
        release = resolve
      })
    expect(await outcome(keys, 'one')).toBe('found')
    while (hits < 2) await Bun.sleep(1)
    release(Response.json({ keys: [await published(two, 'two')] }))
    while ((await outcome(keys, 'one')) !== 'none') await Bun.sleep(1)
    expect(await outcome(keys, 'two')).toBe('found')
    expect(hits).toBe(2)
  })
})

describe('rotation of the keys of an issuer', () => {
  test('TOK-17: a new name is found after the cooldown at the latest, and the old one stays', async () => {
    const keys = remote()
    expect(await verify(keys, one, 'one')).toBe(true)
    const both = [await published(one, 'one'), await published(two, 'two')]
    answer = () => Response.json({ keys: both })
    expect(await verify(keys, two, 'two')).toBe(false)
    now += 10_000
    expect(await verify(keys, two, 'two')).toBe(true)
    expect(await verify(keys, one, 'one')).toBe(true)
  })

  test('a key that is withdrawn is not taken any more once the set is fetched again', async () => {
    const keys = remote()
    expect(await verify(keys, one, 'one')).toBe(true)
    const rest = [await published(two, 'two')]
    answer = () => Response.json({ keys: rest })
    now += 10_000
    expect(await verify(keys, two, 'two')).toBe(true)
    expect(await verify(keys, one, 'one')).toBe(false)
  })
})

describe('an issuer out of reach', () => {
  test('TOK-19: keys that were fetched go on, for as long as it lasts', async () => {
    const keys = remote()
    await outcome(keys, 'one')
    await server.stop(true)
    for (let hour = 1; hour <= 3; hour += 1) {
      now = nowSeconds * 1_000 + hour
      expect(await verify(keys, one, 'one')).toBe(true)
      now += 600_000
      expect(await outcome(keys, 'one')).toBe('found')
    }
  })

  test('TOK-19: about a name that is not among them nothing is known, so it is no verdict', async () => {
    const keys = remote()
    await outcome(keys, 'one')
    await server.stop(true)
    now += 10_000
    expect(await outcome(keys, 'two')).toBe('unavailable')
    await expect(verify(keys, two, 'two')).rejects.toMatchObject({
      code: 'unavailable',
      retryAfterSeconds: 1,
    })
    expect(await outcome(keys, 'one')).toBe('found')
  })

  test('TOK-19: with nothing fetched yet no token is invalid, and it works once the issuer is there', async () => {
    const good = answer
    goDown()
    const keys = remote()
    await expect(verify(keys, one, 'one')).rejects.toMatchObject({ code: 'unavailable' })
    answer = good
    now += 1_000
    expect(await verify(keys, one, 'one')).toBe(true)
  })

  test('TOK-19: an answer that is no key set leaves the keys as they are', async () => {
    const keys = remote()
    await outcome(keys, 'one')
    answer = () => new Response('<html>Maintenance</html>')
    now += 10_000
    expect(await outcome(keys, 'two')).toBe('unavailable')
    expect(await outcome(keys, 'one')).toBe('found')
  })
})

test('a refresh fetches anew at once, and a failure of it leaves what is known and is tried again', async () => {
  const keys = remote()
  expect(await verify(keys, one, 'one')).toBe(true)
  goDown()
  keys.refresh()
  await Bun.sleep(10)
  expect([hits, await verify(keys, one, 'one')]).toEqual([2, true])
  const next = await published(two, 'two')
  answer = () => Response.json({ keys: [next] })
  now += 10_000
  await outcome(keys, 'one')
  await Bun.sleep(10)
  expect([await verify(keys, two, 'two'), await verify(keys, one, 'one')]).toEqual([true, false])
})

test('TOK-19: what made a fetch fail is given to the first who asks, and not with each refusal after it', async () => {
  goDown()
  const keys = remote()
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
  now += 1_000
  expect([await causeOf(), await causeOf(), hits]).toEqual([full, bare, 2])
})

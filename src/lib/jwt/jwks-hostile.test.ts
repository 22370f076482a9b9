import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { exportJWK, exportSPKI, type JWK } from 'jose'
import { createRemoteKeys, type RemoteKeysOptions } from './jwks.ts'
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

let pair: KeyPair
let jwk: JWK
beforeAll(async () => {
  pair = await generateKeyPair()
  jwk = { ...(await exportJWK(pair.publicKey)), kid: 'k1', alg: 'ES256', use: 'sig' }
})

let hits: string[]
let answer: (request: Request) => Response | Promise<Response>
let server: ReturnType<typeof Bun.serve>
beforeEach(() => {
  hits = []
  server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: async request => {
      hits.push(new URL(request.url).pathname)
      return answer(request)
    },
  })
})
afterEach(() => server.stop(true))

const remote = (options: Partial<RemoteKeysOptions> = {}): KeySource =>
  createRemoteKeys({
    url: `http://127.0.0.1:${server.port}/jwks.json`,
    clock: () => nowSeconds * 1_000,
    ...options,
  })

const verify = async (keys: KeySource, kid = 'k1'): Promise<boolean> => {
  const token = await compact({ alg: 'ES256', typ: 'at+jwt', kid }, goodClaims, ecdsa(pair.privateKey))
  return (await createVerifier({ keys, issuer, audience, clock: () => nowSeconds * 1_000 }).verify(token)).ok
}

const expectUnavailable = async (options: Partial<RemoteKeysOptions> = {}): Promise<void> => {
  await expect(verify(remote(options))).rejects.toMatchObject({ code: 'unavailable' })
}

describe('an answer without end', () => {
  test('TOK-18: is cut at the limit, and the connection with it', async () => {
    let isCut = false
    answer = () =>
      new Response(
        new ReadableStream({
          pull: async controller => {
            controller.enqueue(new Uint8Array(16_384).fill(0x20))
          },
          cancel: () => {
            isCut = true
          },
        }),
      )
    await expectUnavailable()
    while (!isCut) await Bun.sleep(1)
  })

  test('TOK-18: can not come compressed: it is not asked for so, and refused', async () => {
    const encodings: (string | null)[] = []
    const small = Bun.gzipSync(JSON.stringify({ keys: [jwk] }))
    answer = request => {
      encodings.push(request.headers.get('accept-encoding'))
      return new Response(small, { headers: { 'content-encoding': 'gzip' } })
    }
    await expectUnavailable()
    expect(encodings).toEqual(['identity'])
  })

  test('TOK-18: one byte above the limit is too much, and the limit itself is not', async () => {
    const text = JSON.stringify({ keys: [jwk] })
    answer = () => new Response(text)
    await expectUnavailable({ maxBytes: text.length - 1 })
    expect(await verify(remote({ maxBytes: text.length }))).toBe(true)
  })
})

describe('an answer that does not come', () => {
  test('TOK-18: is not waited for longer than the time-out, before the headers', async () => {
    answer = () => new Promise(() => undefined)
    await expectUnavailable({ timeoutMilliseconds: 30 })
  })

  test('TOK-18: is not waited for longer than the time-out, after the headers', async () => {
    answer = () =>
      new Response(
        new ReadableStream({
          start: async controller => {
            controller.enqueue(Buffer.from('{"keys":'))
          },
        }),
      )
    await expectUnavailable({ timeoutMilliseconds: 30 })
  })
})

describe('an answer from elsewhere', () => {
  test.each([301, 302, 303, 307, 308])('TOK-18: a redirect (%d) is not followed', async status => {
    answer = ({ url }) =>
      url.endsWith('/good')
        ? Response.json({ keys: [jwk] })
        : new Response(null, { status, headers: { location: '/good' } })
    await expectUnavailable()
    expect(hits).toEqual(['/jwks.json'])
  })

  test.each([201, 204, 206, 400, 401, 404, 500, 503])('the status %d is no key set', async status => {
    const body = status === 204 ? null : JSON.stringify({ keys: [jwk] })
    answer = () => new Response(body, { status })
    await expectUnavailable()
  })

  test.each(['', 'null', '[]', '{}', '{"keys":{}}', '{"keys":"k1"}', '{"keys":[', '<html></html>', '\0'])(
    'the text %j is no key set',
    async text => {
      answer = () => new Response(text)
      await expectUnavailable()
    },
  )

  test('more than 100 keys are no key set of ours', async () => {
    answer = () => Response.json({ keys: Array.from({ length: 101 }, () => jwk) })
    await expectUnavailable()
  })
})

describe('entries that are none', () => {
  const malformed: [string, () => unknown][] = [
    ['null', () => null],
    ['a text', () => 'key'],
    ['a list', () => [jwk]],
    ['an empty object', () => ({})],
    ['another kty', () => ({ ...jwk, kty: 'OKP' })],
    ['another curve', () => ({ ...jwk, crv: 'P-384' })],
    ['another algorithm', () => ({ ...jwk, alg: 'ES384' })],
    ['the algorithm none', () => ({ ...jwk, alg: 'none' })],
    ['another use', () => ({ ...jwk, use: 'enc' })],
    ['no kid', () => ({ ...jwk, kid: undefined })],
    ['an empty kid', () => ({ ...jwk, kid: '' })],
    ['a kid that is no text', () => ({ ...jwk, kid: 5 })],
    ['no x', () => ({ ...jwk, x: undefined })],
    ['a short x', () => ({ ...jwk, x: 'AAAA' })],
    ['a point that is not on the curve', () => ({ ...jwk, x: 'A'.repeat(43) })],
    ['a secret', () => ({ kty: 'oct', k: 'c2VjcmV0', kid: 'k1', alg: 'HS256', use: 'sig' })],
    ['an RSA key with e=1', () => ({ kty: 'RSA', n: 'AQAB', e: 'AQ', kid: 'k1', alg: 'RS256', use: 'sig' })],
    ['a key of our kind that may not verify', () => ({ ...jwk, key_ops: ['encrypt'] })],
  ]

  test.each(malformed)('TOK-15, TOK-16: %s is ignored', async (_, entry) => {
    answer = () => Response.json({ keys: [entry()] })
    expect(await verify(remote())).toBe(false)
    expect(await remote().find('k1')).toBeNull()
  })

  test('TOK-15: all of them together do not disable the good one', async () => {
    const others = malformed.map(([, entry]) => entry())
    for (const keys of [
      [...others, jwk],
      [jwk, ...others],
    ]) {
      answer = () => Response.json({ keys, extra: true })
      expect(await verify(remote())).toBe(true)
    }
  })

  test('TOK-02: a set can not bring a key in for another algorithm', async () => {
    const pem = await exportSPKI(pair.publicKey)
    const k = Buffer.from(pem).toString('base64url')
    answer = () => Response.json({ keys: [{ kty: 'oct', k, kid: 'k2', alg: 'HS256', use: 'sig' }, jwk] })
    expect(await verify(remote(), 'k2')).toBe(false)
    expect(await verify(remote(), 'k1')).toBe(true)
  })

  test('a set that holds the private part too verifies nothing by it, and nothing breaks', async () => {
    const { d } = await exportJWK(pair.privateKey)
    answer = () => Response.json({ keys: [{ ...jwk, d }] })
    expect(await verify(remote())).toBe(false)
  })
})

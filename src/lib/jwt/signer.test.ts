import { afterEach, beforeEach, describe, expect, setSystemTime, test } from 'bun:test'
import { createHmac } from 'node:crypto'
import { createClockedSigner } from './clocked-signer.ts'
import { createSigner } from './signer.ts'
import { audience, generateKeyPair, goodClaims, issuer, nowSeconds, secret } from './test-tokens.ts'
import { createSecretSource, createVerifier, type KeySource } from './verifier.ts'

const { iat: _, ...claims } = goodClaims
const parts = (token: string): unknown[] =>
  token
    .split('.')
    .slice(0, 2)
    .map(part => JSON.parse(Buffer.from(part, 'base64url').toString()))
const verifierOf = (keys: KeySource) =>
  createVerifier({ keys, issuer, audience, clock: () => nowSeconds * 1_000 })

// `iat` is the system's time.
beforeEach(() => void setSystemTime(new Date(nowSeconds * 1_000 + 999)))
afterEach(() => void setSystemTime())

describe('a signed token', () => {
  test('TOK-06, TOK-07: has the type, the claims it was given and the time, and nothing more', async () => {
    const optional = { scope: 'a b', sid: 'ses_1', roles: ['user'] }
    const token = await createSigner({ algorithm: 'HS256', kid: null, secret }).sign({
      ...claims,
      ...optional,
    })
    expect(parts(token)).toEqual([
      { alg: 'HS256', typ: 'at+jwt' },
      { ...goodClaims, ...optional },
    ])
  })

  test('RFC 7515: by a secret is an HMAC over header and payload', async () => {
    const token = await createSigner({ algorithm: 'HS256', kid: null, secret }).sign(claims)
    const [header, payload, signature = ''] = token.split('.')
    expect(createHmac('sha256', secret).update(`${header}.${payload}`).digest('base64url')).toBe(signature)
    expect((await verifierOf(createSecretSource(secret)).verify(token)).ok).toBe(true)
    expect((await verifierOf(createSecretSource(`${secret}!`)).verify(token)).ok).toBe(false)
  })

  test('names the key that signed it, and is good by that key alone', async () => {
    const [one, two] = await Promise.all([generateKeyPair(), generateKeyPair()])
    // Two at once, as during a rotation: installed as plugins, the second one would sign with the first key.
    const signers = [
      createSigner({ algorithm: 'ES256', kid: 'one', privateKey: one.privateKey }),
      createSigner({ algorithm: 'ES256', kid: 'two', privateKey: two.privateKey }),
    ]
    const tokens = await Promise.all(signers.map(signer => signer.sign(claims)))
    expect(tokens.map(token => parts(token)[0])).toEqual([
      { alg: 'ES256', typ: 'at+jwt', kid: 'one' },
      { alg: 'ES256', typ: 'at+jwt', kid: 'two' },
    ])
    const only = (kid: string, key: CryptoKey): KeySource => ({
      find: async asked => (asked === kid ? { algorithm: 'ES256', key } : null),
    })
    const verdicts = await Promise.all(
      tokens.flatMap(token => [
        verifierOf(only('one', one.publicKey)).verify(token),
        verifierOf(only('two', two.publicKey)).verify(token),
        verifierOf(only('one', two.publicKey)).verify(token),
      ]),
    )
    expect(verdicts.map(({ ok }) => ok)).toEqual([true, false, false, false, true, false])
  })

  test('is the same by a clock that was given, but for the time', async () => {
    const pair = await generateKeyPair()
    for (const key of [
      { algorithm: 'HS256', kid: null, secret },
      { algorithm: 'ES256', kid: 'one', privateKey: pair.privateKey },
    ] as const) {
      const later = createClockedSigner(key, () => (nowSeconds + 60) * 1_000 + 999)
      const [system, clocked] = [await createSigner(key).sign(claims), await later.sign(claims)]
      expect(parts(clocked)).toEqual([parts(system)[0], { ...goodClaims, iat: nowSeconds + 60 }])
    }
  })

  test('is another one each time for another jti', async () => {
    const signer = createSigner({ algorithm: 'HS256', kid: null, secret })
    const tokens = await Promise.all(['a', 'b'].map(jti => signer.sign({ ...claims, jti })))
    expect(new Set(tokens).size).toBe(2)
  })
})

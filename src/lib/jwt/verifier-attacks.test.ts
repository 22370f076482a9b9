import { afterAll, beforeAll, describe, expect, spyOn, test } from 'bun:test'
import fc from 'fast-check'
import { CompactEncrypt, exportJWK, exportSPKI, FlattenedSign } from 'jose'
import { createSigner } from './signer.ts'
import {
  accepted,
  audience,
  compact,
  ecdsa,
  encode,
  generateKeyPair,
  goodClaims,
  hmac,
  issuer,
  type KeyPair,
  nowSeconds,
  secret,
} from './test-tokens.ts'
import { createSecretSource, createVerifier, type KeySource, type Verification } from './verifier.ts'

const invalid: Verification = { ok: false, code: 'token_invalid' }
const header = { alg: 'ES256', typ: 'at+jwt', kid: 'k1' }

let pair: KeyPair
let asked: unknown[]
beforeAll(async () => {
  pair = await generateKeyPair()
})

const published: KeySource = {
  find: async kid => {
    asked.push(kid)
    return kid === 'k1' ? { algorithm: 'ES256', key: pair.publicKey } : null
  },
}

const verify = (token: string, keys: KeySource = published): Promise<Verification> => {
  asked = []
  return createVerifier({ keys, issuer, audience, clock: () => nowSeconds * 1_000 }).verify(token)
}

const signed = (members: object, key = pair.privateKey): Promise<string> =>
  compact({ ...header, ...members }, goodClaims, ecdsa(key))

describe('a token by a published key', () => {
  test('is good', async () => {
    expect(await verify(await signed({}))).toEqual(accepted(goodClaims, 'k1'))
  })

  test('TOK-01, TOK-22: is invalid with any other character, in any other spelling', async () => {
    const good = await signed({})
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    await fc.assert(
      fc.asyncProperty(fc.nat(good.length - 1), fc.constantFrom(...alphabet), async (index, other) => {
        fc.pre(good.charAt(index) !== other)
        expect(await verify(good.slice(0, index) + other + good.slice(index + 1))).toEqual(invalid)
      }),
      { numRuns: 300 },
    )
    for (const other of alphabet) {
      if (!good.endsWith(other)) expect(await verify(good.slice(0, -1) + other)).toEqual(invalid)
    }
  })

  test('TOK-02: is invalid by another key under the same name', async () => {
    const other = await generateKeyPair()
    expect(await verify(await signed({}, other.privateKey))).toEqual(invalid)
  })
})

describe('the algorithm of a token', () => {
  const nones = ['none', 'None', 'NONE', 'nOnE', '', 'null']

  test.each(nones)('TOK-02: %j asks for no key, whatever stands as signature', async alg => {
    for (const kid of ['k1', undefined]) {
      for (const sign of [async () => new Uint8Array(), ecdsa(pair.privateKey)]) {
        const token = await compact({ alg, typ: 'at+jwt', kid }, goodClaims, sign)
        expect(await verify(token)).toEqual(invalid)
        expect(asked).toEqual([])
        expect(await verify(token, createSecretSource(secret))).toEqual(invalid)
      }
    }
  })

  test.each([
    'HS384',
    'HS512',
    'hs256',
    'es256',
    'ES384',
    'ES512',
    'RS256',
    'PS256',
    'EdDSA',
    'ES256K',
    'dir',
  ])('TOK-02: %s is none of ours', async alg => {
    expect(await verify(await signed({ alg }))).toEqual(invalid)
    expect(asked).toEqual([])
    const token = await compact({ alg, typ: 'at+jwt' }, goodClaims, hmac(secret, 'SHA-512'))
    expect(await verify(token, createSecretSource(secret))).toEqual(invalid)
  })

  test('TOK-02: HS256 with the public key as secret, in any writing of it, is invalid', async () => {
    const pem = await exportSPKI(pair.publicKey)
    const jwk = await exportJWK(pair.publicKey)
    const der = new Uint8Array(await crypto.subtle.exportKey('spki', pair.publicKey))
    const point = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey))
    const secrets = [
      pem,
      pem.trim(),
      `${pem.trim()}\n`,
      pem.replaceAll('\n', '\r\n'),
      pem.replace(/-----.*-----/g, '').replaceAll('\n', ''),
      JSON.stringify(jwk),
      JSON.stringify({ ...jwk, ...header, use: 'sig' }),
      der,
      encode(der),
      point,
      encode(point),
      jwk.x ?? '',
      'k1',
    ]
    for (const key of secrets) {
      for (const kid of ['k1', undefined, '']) {
        const token = await compact({ alg: 'HS256', typ: 'at+jwt', kid }, goodClaims, hmac(key))
        expect(await verify(token)).toEqual(invalid)
      }
    }
  })

  test('TOK-02: where a secret is shared, a token by a key pair is invalid', async () => {
    const source = createSecretSource(secret)
    expect(await verify(await signed({}), source)).toEqual(invalid)
    expect(await verify(await signed({ kid: undefined }), source)).toEqual(invalid)
  })

  test('TOK-02: the name of the algorithm counts, not the key that happens to be there', async () => {
    const confused: KeySource = { find: async () => ({ algorithm: 'HS256', key: pair.publicKey }) }
    expect(await verify(await signed({}), confused)).toEqual(invalid)
    expect(
      await verify(await compact({ ...header, alg: 'HS256' }, goodClaims, hmac('k1')), confused),
    ).toEqual(invalid)
  })

  test('TOK-16: a key on another curve verifies nothing', async () => {
    const other = await generateKeyPair('P-384')
    const source: KeySource = { find: async () => ({ algorithm: 'ES256', key: other.publicKey }) }
    expect(await verify(await signed({}, other.privateKey), source)).toEqual(invalid)
    expect(await verify(await signed({}), source)).toEqual(invalid)
  })

  test('an all-zero signature is invalid', async () => {
    expect(await verify(await compact(header, goodClaims, async () => new Uint8Array(64)))).toEqual(invalid)
    expect(await verify(await compact(header, goodClaims, async () => new Uint8Array(0)))).toEqual(invalid)
    expect(await verify(await compact(header, goodClaims, async () => new Uint8Array(128)))).toEqual(invalid)
  })
})

describe('the name of a key', () => {
  const names = [
    '../../../../dev/null',
    "k1' OR '1'='1",
    '__proto__',
    'constructor',
    'hasOwnProperty',
    'K1',
    'k1 ',
    'k1\0',
    '',
    'x'.repeat(4_096),
    'http://127.0.0.1/jwks.json',
  ]

  test.each(names)('TOK-04: %j is a name and nothing more', async kid => {
    expect(await verify(await signed({ kid }))).toEqual(invalid)
    expect(asked).toEqual([kid])
    const shared = await compact({ alg: 'HS256', typ: 'at+jwt', kid }, goodClaims, hmac(secret))
    expect(await verify(shared, createSecretSource(secret))).toEqual(invalid)
  })

  test.each([[5], [null], [true], [['k1']], [{ kid: 'k1' }], [{ toString: 'k1' }]])(
    'TOK-04: %j is no name and not even looked for',
    async kid => {
      expect(await verify(await signed({ kid }))).toEqual(invalid)
      expect(asked).toEqual([])
    },
  )
})

describe('a key that a token brings along', () => {
  let hits = 0
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: async () => {
      hits += 1
      return Response.json({ keys: [] })
    },
  })
  afterAll(() => server.stop(true))

  test('TOK-03: is not taken, and what is named by address is not fetched', async () => {
    const fetched = spyOn(globalThis, 'fetch')
    try {
      const attacker = await generateKeyPair()
      const jwk = await exportJWK(attacker.publicKey)
      const url = `http://127.0.0.1:${server.port}/keys`
      for (const members of [
        { jwk },
        { jwk: { ...jwk, kid: 'k1' } },
        { jku: url },
        { x5u: url },
        { x5c: [encode('certificate')], x5t: 'x', 'x5t#S256': 'x' },
        { jwk, jku: url, x5u: url, kid: url },
      ]) {
        expect(await verify(await signed(members, attacker.privateKey))).toEqual(invalid)
        expect(await verify(await signed({ kid: undefined, ...members }, attacker.privateKey))).toEqual(
          invalid,
        )
        // By the right key such members say nothing.
        if (!('kid' in members)) expect((await verify(await signed(members))).ok).toBe(true)
      }
      expect(hits).toBe(0)
      expect(fetched).not.toHaveBeenCalled()
    } finally {
      fetched.mockRestore()
    }
  })
})

describe('other serialisations', () => {
  test('TOK-23: JSON and an encrypted token are invalid', async () => {
    const flattened = await new FlattenedSign(Buffer.from(JSON.stringify(goodClaims)))
      .setProtectedHeader(header)
      .sign(pair.privateKey)
    expect(await verify(JSON.stringify(flattened))).toEqual(invalid)

    const key = crypto.getRandomValues(new Uint8Array(32))
    const encrypted = await new CompactEncrypt(Buffer.from(JSON.stringify(goodClaims)))
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', typ: 'at+jwt', kid: 'k1' })
      .encrypt(key)
    expect(await verify(encrypted)).toEqual(invalid)
    expect(await verify(encrypted, createSecretSource(Buffer.from(key).toString('latin1')))).toEqual(invalid)
  })

  test('TOK-22: thousands of parts cost no more to refuse than four', async () => {
    const decoded = spyOn(Buffer, 'from')
    try {
      for (const token of ['.'.repeat(8_000), 'e30.'.repeat(2_000), 'e30.e30.e30.e30', 'e30.e30']) {
        expect(await verify(token)).toEqual(invalid)
      }
      expect(decoded).not.toHaveBeenCalled()
    } finally {
      decoded.mockRestore()
    }
  })

  test('TOK-23: a token in a token is invalid', async () => {
    const inner = await createSigner({ algorithm: 'ES256', kid: 'k1', privateKey: pair.privateKey }).sign(
      goodClaims,
    )
    expect(await verify(await compact({ ...header, cty: 'JWT' }, inner, ecdsa(pair.privateKey)))).toEqual(
      invalid,
    )
  })
})

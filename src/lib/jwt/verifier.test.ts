import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Failure } from '../failure.ts'
import { longestTokenSeconds } from './claims.ts'
import {
  accepted,
  audience,
  compact,
  encode,
  goodClaims,
  hmac,
  hs256Header,
  issuer,
  nowSeconds,
  secret,
} from './test-tokens.ts'
import {
  clockLeewaySeconds,
  createSecretSource,
  createVerifier,
  latestExpiry,
  type Verification,
} from './verifier.ts'

const invalid: Verification = { ok: false, code: 'token_invalid' }
const expired: Verification = { ok: false, code: 'token_expired' }

const verify = (token: string, milliseconds = nowSeconds * 1_000): Promise<Verification> =>
  createVerifier({ keys: createSecretSource(secret), issuer, audience, clock: () => milliseconds }).verify(
    token,
  )

const sign = (payload: object | string, header: object | string = hs256Header): Promise<string> =>
  compact(header, payload, hmac(secret))

const without = (name: string): object =>
  Object.fromEntries(Object.entries(goodClaims).filter(([key]) => key !== name))

const good = await sign(goodClaims)

describe('a good token', () => {
  test('gives its claims', async () => {
    expect(await verify(good)).toEqual(accepted(goodClaims))
  })

  test('may hold optional claims, and others that nobody looks at', async () => {
    const claims = {
      ...goodClaims,
      aud: audience,
      scope: 'a b',
      sid: 'ses_1',
      roles: ['user'],
      extra: { a: 1 },
    }
    expect(await verify(await sign(claims))).toEqual(accepted(claims))
  })
})

describe('a token that was tampered with', () => {
  const alphabet = [
    ...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_',
    '.',
    '=',
    '+',
    '/',
    ' ',
  ]

  test('TOK-01: is invalid, whichever character is another', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(good.length - 1), fc.constantFrom(...alphabet), async (index, other) => {
        fc.pre(good.charAt(index) !== other)
        expect(await verify(good.slice(0, index) + other + good.slice(index + 1))).toEqual(invalid)
      }),
      { numRuns: 1_000 },
    )
  })

  test('TOK-22: is invalid in another spelling of the same signature', async () => {
    for (const other of alphabet) {
      if (good.endsWith(other)) continue
      expect(await verify(good.slice(0, -1) + other)).toEqual(invalid)
    }
    const at = good.lastIndexOf('.') + 9
    for (const other of [
      `${good}=`,
      `${good}\n`,
      `${good} `,
      ` ${good}`,
      `${good.slice(0, at)}\n${good.slice(at)}`,
      `${good.slice(0, at)} ${good.slice(at)}`,
    ]) {
      expect(await verify(other)).toEqual(invalid)
    }
  })

  test('TOK-01: is invalid with a character more or less', async () => {
    for (let index = 0; index <= good.length; index += 7) {
      expect(await verify(`${good.slice(0, index)}A${good.slice(index)}`)).toEqual(invalid)
      expect(await verify(good.slice(0, index) + good.slice(index + 1))).toEqual(
        index === good.length ? accepted(goodClaims) : invalid,
      )
    }
  })

  test('TOK-01: is invalid with the payload of another token', async () => {
    const [header, , signature] = good.split('.')
    const admin = encode(JSON.stringify({ ...goodClaims, roles: ['admin'] }))
    expect(await verify(`${header}.${admin}.${signature}`)).toEqual(invalid)
    expect(await verify(`${header}.${admin}.`)).toEqual(invalid)
  })
})

describe('the type of a token', () => {
  test.each(['at+jwt', 'AT+JWT', 'application/at+jwt'])('TOK-06: %s is an access token', async typ => {
    expect((await verify(await sign(goodClaims, { alg: 'HS256', typ }))).ok).toBe(true)
  })

  test.each([
    undefined,
    'JWT',
    'jwt',
    '',
    'rt+jwt',
    'at+jwt2',
    'application/jwt',
    'text/at+jwt',
    5,
    [['at+jwt']],
    null,
  ])('TOK-06, TOK-20: %j is none', async typ => {
    expect(await verify(await sign(goodClaims, { alg: 'HS256', typ }))).toEqual(invalid)
  })

  test.each([
    ['unknown', { crit: ['x'], x: 1 }],
    ['empty', { crit: [] }],
    ['no list', { crit: 'exp' }],
    ['null', { crit: null }],
    ['b64 set', { crit: ['b64'], b64: true }],
    ['b64 unset', { crit: ['b64'], b64: false }],
    ['a registered name', { crit: ['alg'] }],
  ])('TOK-05: crit refuses: %s', async (_, members) => {
    expect(await verify(await sign(goodClaims, { ...hs256Header, ...members }))).toEqual(invalid)
  })
})

describe('whom a token is from, about and for', () => {
  test.each([
    ['a trailing slash', `${issuer}/`],
    ['upper case', issuer.toUpperCase()],
    ['a list', [issuer]],
    ['another issuer', 'https://evil.example'],
    ['nothing', undefined],
    ['an empty one', ''],
    ['null', null],
  ])('TOK-09: the issuer is compared exactly: %s', async (_, iss) => {
    expect(await verify(await sign({ ...goodClaims, iss }))).toEqual(invalid)
  })

  test.each([
    ['missing', undefined],
    ['another service', 'orders'],
    ['the issuer alone', [issuer]],
    ['an empty list', []],
    ['a longer name', `${audience}-admin`],
    ['a shorter name', audience.slice(1)],
    ['a list in a list', [[audience]]],
    ['an object', { [audience]: true }],
    ['a list with what is no name', [audience, 5]],
    ['null', null],
  ])('TOK-10: the audience must be among them: %s', async (_, aud) => {
    expect(await verify(await sign({ ...goodClaims, aud }))).toEqual(invalid)
  })

  test.each(['', 5, null, [['usr_1']], { id: 'usr_1' }, true, 'x'.repeat(513)])(
    'TOK-11: a subject is a name and not %j',
    async sub => {
      expect(await verify(await sign({ ...goodClaims, sub }))).toEqual(invalid)
    },
  )

  test.each(['iss', 'sub', 'aud', 'exp', 'iat', 'jti', 'client_id'])(
    'TOK-07: %s must be there',
    async name => {
      expect(await verify(await sign(without(name)))).toEqual(invalid)
    },
  )

  test.each([
    { roles: 'admin' },
    { roles: ['admin', 5] },
    { roles: { admin: true } },
    { scope: ['a'] },
    { sid: '' },
    { jti: 5 },
    { client_id: [] },
  ])('TOK-07: a claim of another form refuses: %j', async claims => {
    expect(await verify(await sign({ ...goodClaims, ...claims }))).toEqual(invalid)
  })
})

describe('the times of a token', () => {
  const at = async (claims: object, seconds: number, milliseconds = 0): Promise<Verification> =>
    verify(await sign({ ...goodClaims, ...claims }), seconds * 1_000 + milliseconds)

  test('TOK-12: it expires with the leeway, to the second', async () => {
    const exp = nowSeconds
    expect((await at({ exp }, exp + clockLeewaySeconds - 1, 999)).ok).toBe(true)
    expect(await at({ exp }, exp + clockLeewaySeconds)).toEqual(expired)
    expect(clockLeewaySeconds).toBeLessThanOrEqual(60)
  })

  test('TOK-08: it begins with the leeway, to the second', async () => {
    const nbf = nowSeconds
    expect(await at({ nbf }, nbf - clockLeewaySeconds - 1, 999)).toEqual(invalid)
    expect((await at({ nbf }, nbf - clockLeewaySeconds)).ok).toBe(true)
  })

  test.each(['1800000300', null, true, [[1_800_000_300]], 1_800_000_300.5, {}])(
    'TOK-08: a time is a whole number and not %j',
    async time => {
      for (const name of ['exp', 'iat']) {
        expect(await verify(await sign({ ...goodClaims, [name]: time }))).toEqual(invalid)
      }
      if (typeof time !== 'number')
        expect(await verify(await sign({ ...goodClaims, nbf: time }))).toEqual(invalid)
    },
  )

  test('TOK-08: no number is too large or too small to be judged', async () => {
    for (const exp of ['1e400', '-1e400', '-1', '0', '-0']) {
      const payload = JSON.stringify(goodClaims).replace(/"exp":\d+/, `"exp":${exp}`)
      expect((await verify(await sign(payload))).ok).toBe(false)
    }
  })

  test('TOK-12: it lives for an hour at most, by its own times and by the clock', async () => {
    const longest = longestTokenSeconds + clockLeewaySeconds
    expect((await at({ exp: nowSeconds + longest }, nowSeconds)).ok).toBe(true)
    expect(await at({ exp: nowSeconds + longest + 1 }, nowSeconds)).toEqual(invalid)
    // Near its end a token of many years would look like any other.
    expect(await at({ iat: nowSeconds - 86_400 }, nowSeconds)).toEqual(invalid)
    for (const exp of [4_102_444_800, 8_640_000_000_010, 9e15, Number.MAX_SAFE_INTEGER]) {
      expect(await at({ exp }, nowSeconds)).toEqual(invalid)
      expect(await at({ exp, iat: exp - 300 }, nowSeconds)).toEqual(invalid)
    }
    const exp = latestExpiry(nowSeconds * 1_000)
    expect((await at({ exp, iat: exp - longestTokenSeconds }, nowSeconds, 999)).ok).toBe(true)
    expect(await at({ exp: exp + 1, iat: exp - longestTokenSeconds }, nowSeconds, 999)).toEqual(invalid)
  })

  test('a service whose clock is some minutes behind takes new tokens, and none of a later future', async () => {
    const lag = 300
    expect((await at({}, nowSeconds - lag)).ok).toBe(true)
    expect(await at({}, nowSeconds - lag - 1, 999)).toEqual(invalid)
  })

  test('only a token that is good but for its age is called expired', async () => {
    const exp = nowSeconds - 600
    expect(await verify(await sign({ ...goodClaims, exp }))).toEqual(expired)
    expect(await verify(`${(await sign({ ...goodClaims, exp })).slice(0, -5)}AAAAA`)).toEqual(invalid)
    expect(await verify(await sign({ ...goodClaims, exp, aud: 'orders' }))).toEqual(invalid)
    expect(await verify(await sign({ ...goodClaims, exp, iss: 'x' }))).toEqual(invalid)
    expect(await verify(await sign({ ...goodClaims, exp }, { alg: 'HS256', typ: 'JWT' }))).toEqual(invalid)
  })
})

describe('what is no token', () => {
  const [header = '', payload = '', signature = ''] = good.split('.')

  test.each([
    ['nothing', ''],
    ['dots', '..'],
    ['two parts', `${header}.${payload}`],
    ['four parts', `${good}.${signature}`],
    ['five parts', `${good}.${signature}.${signature}`],
    ['an empty header', `.${payload}.${signature}`],
    ['JSON', JSON.stringify({ protected: header, payload, signature })],
    ['general JSON', JSON.stringify({ payload, signatures: [{ protected: header, signature }] })],
    [
      'a JWE',
      `${encode('{"alg":"dir","enc":"A256GCM"}')}..${encode('iv')}.${encode('text')}.${encode('tag')}`,
    ],
    ['a header that is no JSON', `${encode('{')}.${payload}.${signature}`],
    ['a header that is a list', `${encode('[]')}.${payload}.${signature}`],
    ['a header in bad UTF-8', `${encode(new Uint8Array([0x7b, 0xff, 0xfe, 0x7d]))}.${payload}.${signature}`],
    ['deep brackets', `${encode('['.repeat(4_000))}.${payload}.${signature}`],
    ['other characters', '🎉.🎉.🎉'],
    ['NUL', '\0'],
  ])('TOK-23: %s', async (_, text) => {
    expect(await verify(text)).toEqual(invalid)
  })

  test.each([
    '[]',
    'null',
    '"text"',
    '5',
    'true',
    '',
    '{',
    '['.repeat(4_000),
    `${JSON.stringify(goodClaims)}x`,
  ])('TOK-23: a signed payload of %j', async text => {
    expect(await verify(await sign(text))).toEqual(invalid)
  })

  test('TOK-23: a token is taken up to 8 KiB', async () => {
    const ofLength = async (length: number): Promise<string> => {
      for (let padding = 5_000; padding < 8_000; padding += 1) {
        const token = await sign({ ...goodClaims, padding: 'x'.repeat(padding) })
        if (token.length >= length) return token
        padding += Math.max(0, Math.floor(((length - token.length) * 3) / 4) - 3)
      }
      throw new Error('no padding fits')
    }
    const fits = await ofLength(8_190)
    expect(fits.length).toBeLessThanOrEqual(8_192)
    expect((await verify(fits)).ok).toBe(true)
    const tooLong = await ofLength(8_193)
    expect(await verify(tooLong)).toEqual(invalid)
  })

  test('TOK-23: no text makes the verifier fail', async () => {
    const part = fc.oneof(fc.base64String(), fc.json().map(encode), fc.string({ unit: 'binary' }))
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(part, { maxLength: 6 }).map(parts => parts.join('.')),
    )
    await fc.assert(
      fc.asyncProperty(text, async token => expect(await verify(token)).toEqual(invalid)),
      {
        numRuns: 500,
      },
    )
  })
})

describe('what says nothing about a token', () => {
  const failing = (error: unknown) =>
    createVerifier({ keys: { find: () => Promise.reject(error) }, issuer, audience, clock: () => 0 })

  test('TOK-19: an outage of the key source is passed on, and never an invalid token', async () => {
    await expect(failing(new Failure('unavailable')).verify(good)).rejects.toMatchObject({
      code: 'unavailable',
    })
    await expect(failing(new Error('bug')).verify(good)).rejects.toThrow('bug')
  })
})

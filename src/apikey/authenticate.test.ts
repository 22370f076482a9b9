import type { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, type Mock, spyOn, test } from 'bun:test'
import fc from 'fast-check'
import { bySystem } from '../lib/audit.ts'
import { Failure } from '../lib/failure.ts'
import type { TokenVerifier } from '../lib/jwt/verifier.ts'
import { createAuthenticate } from './authenticate.ts'
import type { Authentication } from './judgement.ts'
import { createKeys, type IssuedKey, lowestCost } from './keys.ts'
import { createSqliteKeyStore, type KeyStore } from './store.ts'
import { codeOf, openKeyDatabase } from './test-store.ts'
import { formatKey, generateKey, parseKey, publicId } from './token.ts'

const token = 'eyJhbGciOiJIUzI1NiJ9.e30.c2ln'
const scope = { ownerId: 'usr_ann' }

let database: Database
let store: KeyStore
let now: number
let lookups: string[]
let verified: string[]
let verifyHash: Mock<typeof Bun.password.verifySync>
beforeEach(() => {
  now = 1_000_000
  lookups = []
  verified = []
  database = openKeyDatabase()
  store = createSqliteKeyStore({ database, clock: () => now })
  verifyHash = spyOn(Bun.password, 'verifySync')
})
afterEach(() => {
  verifyHash.mockRestore()
  database.close()
})

const verifier: TokenVerifier = {
  verify: async text => {
    verified.push(text)
    if (text === 'outage') throw new Failure('unavailable')
    if (text === 'old') return { ok: false, code: 'token_expired' }
    if (text !== token) return { ok: false, code: 'token_invalid' }
    const claims = {
      iss: 'i',
      sub: 'usr_ann',
      aud: 'a',
      exp: 1,
      iat: 1,
      jti: 'j',
      client_id: 'latchkey-login',
    }
    return {
      ok: true,
      claims: { ...claims, sid: 'ses_1', roles: ['user', 'ghost', 'constructor'] },
      keyId: null,
      until: Number.POSITIVE_INFINITY,
    }
  },
}

const judge = async (headers: Record<string, string>, jwtOnly = false): Promise<Authentication> =>
  createAuthenticate({
    store: {
      findCredential: async id => {
        lookups.push(id)
        return store.findCredential(id)
      },
    },
    verifier,
    roles: { user: ['a:read', 'a:write'], admin: ['*:*'] },
    prefix: 'lk',
    clock: () => now,
  })(new Headers(headers), { jwtOnly })

const codeFor = async (headers: Record<string, string>, jwtOnly = false): Promise<string> => {
  const judged = await judge(headers, jwtOnly)
  return judged.ok ? 'ok' : judged.code
}

const issue = (expiresAt: number | null = null): Promise<IssuedKey> =>
  createKeys({ store, clock: () => now, prefix: 'lk', cost: lowestCost, keysPerOwner: 1_000 }).create(
    { name: 'ci', ownerId: 'usr_ann', permissions: ['a:read'], expiresAt },
    ['a:*'],
    { ...bySystem, actorId: 'usr_ann' },
  )

/** The same key with another secret, and a checksum that fits. */
const withSecret = (text: string, change: Partial<{ secret: string; prefix: string }>): string => {
  const parts = parseKey(text)
  if (parts === null) throw new Error('not a key')
  return formatKey({ ...parts, ...change })
}

describe('a good credential', () => {
  test('a key acts for its owner with its own permissions and no roles', async () => {
    const { key, text } = await issue()
    const principal = {
      kind: 'key',
      ownerId: 'usr_ann',
      keyId: key.id,
      permissions: ['a:read'],
      roles: [],
    } as const
    expect(await judge({ 'x-api-key': text })).toEqual({ ok: true, principal })
    expect(await judge({ authorization: `Bearer ${text}` })).toEqual({ ok: true, principal })
    expect(verified).toEqual([])
  })

  test('a token acts for its subject with the permissions of roles that are known', async () => {
    expect(await judge({ authorization: `Bearer ${token}` })).toEqual({
      ok: true,
      principal: {
        kind: 'user',
        ownerId: 'usr_ann',
        userId: 'usr_ann',
        clientId: 'latchkey-login',
        sessionId: 'ses_1',
        permissions: ['a:read', 'a:write'],
        roles: ['user', 'ghost', 'constructor'],
      },
    })
    expect(lookups).toEqual([])
  })

  test('a token without a user is a service', async () => {
    const service: TokenVerifier = {
      verify: async () => ({
        ok: true,
        claims: { iss: 'i', sub: 'cli_1', aud: 'a', exp: 1, iat: 1, jti: 'j', client_id: 'cli_1' },
        keyId: null,
        until: Number.POSITIVE_INFINITY,
      }),
    }
    const authenticate = createAuthenticate({
      store,
      verifier: service,
      roles: {},
      prefix: 'lk',
      clock: () => now,
    })
    const judged = await authenticate(new Headers({ authorization: 'Bearer x' }), { jwtOnly: true })
    expect(judged).toEqual({
      ok: true,
      principal: { kind: 'service', ownerId: 'cli_1', clientId: 'cli_1', permissions: [], roles: [] },
    })
  })

  test.each(['bearer', 'BEARER', 'Bearer', 'bEaReR'])('AUT-05: the scheme %s will do', async scheme => {
    const { text } = await issue()
    expect(await codeFor({ authorization: `${scheme} ${text}` })).toBe('ok')
    expect(await codeFor({ authorization: `${scheme} ${token}` })).toBe('ok')
  })
})

describe('no single credential', () => {
  test.each([
    ['AUT-03: nothing', {}, 'credential_missing'],
    ['AUT-03: an empty key', { 'x-api-key': '' }, 'credential_missing'],
    ['AUT-03: an empty header', { authorization: '' }, 'credential_missing'],
    ['AUT-03: a scheme alone', { authorization: 'Bearer' }, 'credential_missing'],
    ['AUT-03: blanks after a scheme', { authorization: 'Bearer   ' }, 'credential_missing'],
    ['AUT-03: Basic', { authorization: 'Basic dXNlcjpwYXNz' }, 'credential_unsupported'],
    ['AUT-03: a token without a scheme', { authorization: token }, 'credential_unsupported'],
    [
      'AUT-03: a scheme that begins like ours',
      { authorization: `BearerX ${token}` },
      'credential_unsupported',
    ],
    [
      'AUT-06: both headers',
      { authorization: `Bearer ${token}`, 'x-api-key': 'lk_x' },
      'credential_ambiguous',
    ],
    ['AUT-06: both headers, one empty', { authorization: '', 'x-api-key': 'lk_x' }, 'credential_ambiguous'],
    ['AUT-07: two tokens', { authorization: `Bearer ${token}, Bearer ${token}` }, 'credential_ambiguous'],
    ['AUT-07: two keys', { 'x-api-key': 'lk_x, lk_x' }, 'credential_ambiguous'],
    ['AUT-07: two keys joined without a blank', { 'x-api-key': 'lk_x,lk_y' }, 'credential_ambiguous'],
  ] as const)('%s is refused before anything is looked up', async (_, headers, code) => {
    expect(await codeFor(headers)).toBe(code)
    expect(await codeFor(headers, true)).toBe(code)
    expect(lookups).toEqual([])
    expect(verified).toEqual([])
    expect(verifyHash).not.toHaveBeenCalled()
  })

  test('AUT-06: cookies and other headers carry none', async () => {
    const { text } = await issue()
    const headers = { cookie: `authorization=Bearer ${token}; x-api-key=${text}`, 'x-user-id': 'usr_ann' }
    expect(await codeFor(headers)).toBe('credential_missing')
  })
})

describe('a bad key', () => {
  test('KEY-04: one that is malformed costs no look-up and no hash', async () => {
    const { text } = await issue()
    const bad = fc.oneof(
      fc.string({ unit: fc.constantFrom(...'lk_019AZaz.-'), minLength: 1, maxLength: 80 }),
      fc.tuple(fc.nat(text.length - 1), fc.constantFrom(...'019AZaz_')).map(([index, other]) => {
        const changed = text.slice(0, index) + other + text.slice(index + 1)
        return changed === text ? `${text}0` : changed
      }),
      fc.constantFrom(token, `${text}${text}`, text.slice(1), text.toUpperCase()),
    )
    await fc.assert(
      fc.asyncProperty(bad, async key => {
        expect(await codeFor({ 'x-api-key': key })).toBe('api_key_invalid')
      }),
      { numRuns: 300 },
    )
    expect(lookups).toEqual([])
    expect(verified).toEqual([])
    expect(verifyHash).not.toHaveBeenCalled()
  })

  test('AUT-02: malformed, unknown and wrong are one answer', async () => {
    const { text } = await issue()
    const bad = {
      malformed: `${text.slice(0, -1)}!`,
      unknown: formatKey(generateKey('lk')),
      wrongSecret: withSecret(text, { secret: generateKey('lk').secret }),
      otherPrefix: withSecret(text, { prefix: 'lk_test' }),
    }
    for (const key of Object.values(bad)) {
      // The id is for counting: whoever presented it knows it.
      const presentedId = parseKey(key)?.id
      const refusal = {
        ok: false,
        code: 'api_key_invalid',
        ...(presentedId === undefined ? {} : { presentedId: publicId(presentedId) }),
      } as const
      expect(await judge({ 'x-api-key': key })).toEqual(refusal)
      expect(await judge({ authorization: `Bearer ${key}` })).toEqual(refusal)
    }
  })

  test('AUT-02: an unknown id costs a look and no hash: a flood of made-up keys is cheap', async () => {
    await codeFor({ 'x-api-key': formatKey(generateKey('lk')) })
    expect(lookups).toHaveLength(1)
    expect(verifyHash).not.toHaveBeenCalled()
  })

  test('TOK-20: a token where a key belongs is no key', async () => {
    expect(await codeFor({ 'x-api-key': token })).toBe('api_key_invalid')
    expect(verified).toEqual([])
  })

  test('a typo in a key after Bearer is a bad key; other text there is a bad token', async () => {
    expect(await codeFor({ authorization: 'Bearer lk_oops' })).toBe('api_key_invalid')
    expect(verified).toEqual([])
    expect(await codeFor({ authorization: 'Bearer ghp_oops' })).toBe('token_invalid')
    expect(await codeFor({ authorization: 'Bearer old' })).toBe('token_expired')
  })
})

describe('a key that is at its end', () => {
  /** Makes a key dead in some of three ways, and says which is told. */
  const kill = async ({ isRevoked = false, isDisabled = false, isExpired = false }): Promise<string> => {
    const { key, text } = await issue(isExpired ? now : null)
    if (isDisabled) await store.update(key.id, scope, { enabled: false }, bySystem)
    if (isRevoked) await store.revoke(key.id, scope, bySystem)
    return text
  }

  test('AUT-02: only who holds the secret learns why, in a fixed order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.boolean(), fc.boolean(), async (isRevoked, isDisabled, isExpired) => {
        const text = await kill({ isRevoked, isDisabled, isExpired })
        const told = isRevoked
          ? 'api_key_revoked'
          : isDisabled
            ? 'api_key_disabled'
            : isExpired
              ? 'api_key_expired'
              : 'ok'
        expect(await codeFor({ 'x-api-key': text })).toBe(told)
        const guess = withSecret(text, { secret: generateKey('lk').secret })
        expect(await codeFor({ 'x-api-key': guess })).toBe('api_key_invalid')
      }),
      { numRuns: 30 },
    )
  })

  test('KEY-11: has expired at the very millisecond of its expiry, and not one before', async () => {
    const { text } = await issue(now + 10)
    now += 9
    expect(await codeFor({ 'x-api-key': text })).toBe('ok')
    now += 1
    expect(await codeFor({ 'x-api-key': text })).toBe('api_key_expired')
  })

  test('KEY-09: disabling and enabling count from the next request on', async () => {
    const { key, text } = await issue()
    await store.update(key.id, scope, { enabled: false }, bySystem)
    expect(await codeFor({ 'x-api-key': text })).toBe('api_key_disabled')
    await store.update(key.id, scope, { enabled: true }, bySystem)
    expect(await codeFor({ 'x-api-key': text })).toBe('ok')
  })
})

describe('where only a token will do', () => {
  test('KEY-08: a key is refused without being looked up, good or bad', async () => {
    const { text } = await issue()
    for (const key of [text, 'lk_oops', formatKey(generateKey('lk'))]) {
      expect(await codeFor({ 'x-api-key': key }, true)).toBe('jwt_required')
      expect(await codeFor({ authorization: `Bearer ${key}` }, true)).toBe(
        key.startsWith('lk_') ? 'jwt_required' : 'token_invalid',
      )
    }
    expect(lookups).toEqual([])
    expect(verifyHash).not.toHaveBeenCalled()
  })

  test('a token is taken', async () => {
    expect(await codeFor({ authorization: `Bearer ${token}` }, true)).toBe('ok')
  })
})

describe('what can not be judged', () => {
  test('AUT-09: an outage of the keys or the database is no verdict', async () => {
    expect(await codeOf(judge({ authorization: 'Bearer outage' }))).toBe('unavailable')
    const broken = createAuthenticate({
      store: { findCredential: () => Promise.reject(new Error('disk I/O error')) },
      verifier,
      roles: {},
      prefix: 'lk',
      clock: () => now,
    })
    const headers = new Headers({ 'x-api-key': formatKey(generateKey('lk')) })
    await expect(broken(headers, { jwtOnly: false })).rejects.toThrow('disk I/O error')
  })
})

import type { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { bySystem } from '../lib/audit.ts'
import type { SubjectState } from '../lib/changes-schema.ts'
import { Failure } from '../lib/failure.ts'
import type { AccessTokenClaims } from '../lib/jwt/claims.ts'
import type { TokenVerifier } from '../lib/jwt/verifier.ts'
import { createAuthenticate, type Followed } from './authenticate.ts'
import type { Authentication } from './judgement.ts'
import { createKeys, type IssuedKey, lowestCost } from './keys.ts'
import { createSqliteKeyStore, type KeyStore } from './store.ts'
import { openKeyDatabase } from './test-store.ts'

const roles = { user: ['a:read', 'a:write'], reader: ['a:read'], admin: ['*:*'] }

let database: Database
let store: KeyStore
let now: number
let subjects: Map<string, SubjectState>
let ended: Set<string>
let isCurrent: boolean
let claims: AccessTokenClaims
let lookups: number
beforeEach(() => {
  now = 1_000_000
  database = openKeyDatabase()
  store = createSqliteKeyStore({ database, clock: () => now })
  subjects = new Map()
  ended = new Set()
  isCurrent = true
  lookups = 0
  claims = {
    iss: 'i',
    sub: 'usr_ann',
    aud: 'a',
    exp: 1,
    iat: 1,
    jti: 'jti_1',
    client_id: 'latchkey-login',
    sid: 'ses_1',
    roles: ['user'],
  }
})
afterEach(() => database.close())

const followed: Followed = {
  find: id => subjects.get(id) ?? null,
  isEnded: id => ended.has(id),
  requireCurrent: () => {
    if (!isCurrent) throw new Failure('unavailable', { retryAfterSeconds: 1 })
  },
}

const verifier: TokenVerifier = {
  verify: async token =>
    token === 'good'
      ? { ok: true, claims, keyId: null, until: Number.POSITIVE_INFINITY }
      : { ok: false, code: token === 'old' ? 'token_expired' : 'token_invalid' },
}

const judge = async (headers: Record<string, string>, jwtOnly = false): Promise<Authentication> =>
  createAuthenticate({
    store: {
      findCredential: id => {
        lookups += 1
        return store.findCredential(id)
      },
    },
    verifier,
    roles,
    prefix: 'lk',
    clock: () => now,
    followed,
  })(new Headers(headers), { jwtOnly })

const codeOf = async (headers: Record<string, string>): Promise<string> => {
  const judged = await judge(headers)
  return judged.ok ? 'ok' : judged.code
}
const byToken = { authorization: 'Bearer good' }
const permissionsOf = async (headers: Record<string, string>): Promise<readonly string[] | string> => {
  const judged = await judge(headers)
  return judged.ok ? judged.principal.permissions : judged.code
}

const state = (changes: Partial<SubjectState> = {}): SubjectState => ({
  status: 'active',
  roles: ['user'],
  scopes: [],
  ...changes,
})

const issue = (ownerId: string, permissions: string[], expiresAt: number | null = null): Promise<IssuedKey> =>
  createKeys({ store, clock: () => now, prefix: 'lk', cost: lowestCost, keysPerOwner: 100 }).create(
    { name: 'ci', ownerId, permissions, expiresAt },
    ['*:*'],
    { ...bySystem, actorId: 'usr_root' },
  )

describe('the token of a user', () => {
  test.each<[string, SubjectState | null, string]>([
    ['nobody told of: the token vouches for them, they may be new', null, 'ok'],
    ['who is active', state(), 'ok'],
    ['who is disabled', state({ status: 'disabled' }), 'token_invalid'],
    ['who is deleted', state({ status: 'deleted', roles: [] }), 'token_invalid'],
  ])('%s', async (_, known, expected) => {
    if (known !== null) subjects.set('usr_ann', known)
    expect(await codeOf(byToken)).toBe(expected)
  })

  test('of a session that ended is not valid, and of another one of the same user it is', async () => {
    ended.add('ses_1')
    expect(await codeOf(byToken)).toBe('token_invalid')
    claims = { ...claims, sid: 'ses_2' }
    expect(await codeOf(byToken)).toBe('ok')
  })

  test('that was revoked by itself is not valid', async () => {
    ended.add('jti_1')
    expect(await codeOf(byToken)).toBe('token_invalid')
    claims = { ...claims, jti: 'jti_2' }
    expect(await codeOf(byToken)).toBe('ok')
  })

  test('may do what the roles allow that the user has now, and not those that it was signed with', async () => {
    subjects.set('usr_ann', state({ roles: ['reader'] }))
    expect(await judge(byToken)).toMatchObject({ principal: { permissions: ['a:read'], roles: ['reader'] } })
    subjects.set('usr_ann', state({ roles: [] }))
    expect(await judge(byToken)).toMatchObject({ principal: { permissions: [], roles: [] } })
    subjects.delete('usr_ann')
    expect(await judge(byToken)).toMatchObject({
      principal: { permissions: ['a:read', 'a:write'], roles: ['user'] },
    })
  })

  test('that is not valid by itself is told so, whoever it is about', async () => {
    subjects.set('usr_ann', state({ status: 'disabled' }))
    expect(await codeOf({ authorization: 'Bearer old' })).toBe('token_expired')
  })
})

describe('the token of a service account', () => {
  beforeEach(() => {
    const { sid: _sid, roles: _roles, ...rest } = claims
    claims = { ...rest, sub: 'cli_ci', client_id: 'cli_ci', scope: 'a:read a:write b:read' }
  })

  test.each<[string, SubjectState | null, readonly string[] | string]>([
    ['that nobody told of may do what its scope says', null, ['a:read', 'a:write', 'b:read']],
    [
      'may do of it what the account may do now',
      state({ roles: [], scopes: ['a:read', 'c:read'] }),
      ['a:read'],
    ],
    ['of an account that may do nothing may do nothing', state({ roles: [], scopes: [] }), []],
    ['has no roles, whatever the state says', state({ roles: ['admin'], scopes: ['a:read'] }), ['a:read']],
    [
      'of an account that is disabled is not valid',
      state({ status: 'disabled', scopes: ['a:read'] }),
      'token_invalid',
    ],
  ])('%s', async (_, known, expected) => {
    if (known !== null) subjects.set('cli_ci', known)
    expect(await permissionsOf(byToken)).toEqual(expected)
  })

  test.each<[number, number | undefined, string]>([
    [1_699_999_999, 1_700_000_000, 'token_invalid'],
    [1_700_000_000, 1_700_000_000, 'ok'],
    [1_700_000_001, 1_700_000_000, 'ok'],
    [1, undefined, 'ok'],
  ])(
    'issued at %d, where tokens are good since %p, is %s: disabling and enabling brings none back',
    async (iat, since, expected) => {
      claims = { ...claims, iat }
      subjects.set(
        'cli_ci',
        state({ scopes: ['a:read'], ...(since === undefined ? {} : { tokensSince: since }) }),
      )
      expect(await codeOf(byToken)).toBe(expected)
    },
  )

  test('has none of the words that are no permissions, and none with a star', async () => {
    claims = { ...claims, scope: 'openid a:* *:* *:read a:read A:b a:b:c' }
    expect(await permissionsOf(byToken)).toEqual(['a:read'])
  })
})

describe('a key', () => {
  test.each<[string, SubjectState | null, string]>([
    ['of an active owner is good', state(), 'ok'],
    ['of an owner whom nobody told of is refused', null, 'api_key_owner_inactive'],
    ['of a disabled owner is refused', state({ status: 'disabled' }), 'api_key_owner_inactive'],
    ['of a deleted owner is as good as revoked', state({ status: 'deleted' }), 'api_key_revoked'],
  ])('%s', async (_, known, expected) => {
    const { text } = await issue('usr_ann', ['a:read'])
    if (known !== null) subjects.set('usr_ann', known)
    expect(await codeOf({ 'x-api-key': text })).toBe(expected)
  })

  test.each<[string[], SubjectState, string[]]>([
    [['a:read', 'a:write'], state(), ['a:read', 'a:write']],
    [['a:read', 'a:write'], state({ roles: ['reader'] }), ['a:read']],
    [['a:write'], state({ roles: ['reader'] }), []],
    [['a:*'], state({ roles: ['reader'] }), ['a:read']],
    [['*:*'], state({ roles: ['user'] }), ['a:read', 'a:write']],
    [['a:read', 'z:all'], state({ roles: ['admin'] }), ['a:read', 'z:all']],
    [['a:read'], state({ roles: ['ghost'] }), []],
    [[], state({ roles: ['admin'] }), []],
    [['a:*', 'b:read'], state({ roles: [], scopes: ['a:read', 'b:read', 'c:*'] }), ['a:read', 'b:read']],
  ])(
    'with %j of an owner like %j may do %j: never more than its owner now',
    async (permissions, known, expected) => {
      const { text } = await issue('usr_ann', permissions)
      subjects.set('usr_ann', known)
      expect(await permissionsOf({ 'x-api-key': text })).toEqual(expected)
    },
  )

  test('tells what is the matter in the order of the checks: revoked, disabled, owner, expired', async () => {
    const { key, text } = await issue('usr_ann', [], now + 1)
    const headers = { 'x-api-key': text }
    now += 10
    subjects.set('usr_ann', state({ status: 'disabled' }))
    expect(await codeOf(headers)).toBe('api_key_owner_inactive')
    subjects.set('usr_ann', state())
    expect(await codeOf(headers)).toBe('api_key_expired')
    database.run('UPDATE api_keys SET enabled = 0')
    subjects.set('usr_ann', state({ status: 'disabled' }))
    expect(await codeOf(headers)).toBe('api_key_disabled')
    await store.revoke(key.id, 'all', bySystem)
    expect(await codeOf(headers)).toBe('api_key_revoked')
  })

  test('with a wrong secret tells nothing about its owner', async () => {
    const { text } = await issue('usr_ann', [])
    const other = await issue('usr_bob', [])
    subjects.set('usr_ann', state({ status: 'disabled' }))
    expect(await codeOf({ 'x-api-key': `${text.slice(0, 19)}${other.text.slice(19)}` })).toBe(
      'api_key_invalid',
    )
  })
})

describe('while nobody can be judged', () => {
  test.each<[string, Record<string, string>]>([
    ['a good token', byToken],
    ['a bad token', { authorization: 'Bearer bad' }],
    ['an old token', { authorization: 'Bearer old' }],
    ['something like a key', { 'x-api-key': 'lk_nothing' }],
  ])('%s is neither good nor bad', async (_, headers) => {
    isCurrent = false
    await expect(judge(headers)).rejects.toMatchObject({ code: 'unavailable', retryAfterSeconds: 1 })
  })

  test('a key is not looked up, and no credential at all is still none', async () => {
    const { text } = await issue('usr_ann', [])
    isCurrent = false
    await expect(judge({ 'x-api-key': text })).rejects.toMatchObject({ code: 'unavailable' })
    expect([lookups, await codeOf({})]).toEqual([0, 'credential_missing'])
  })
})

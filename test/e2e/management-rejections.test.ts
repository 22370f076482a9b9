import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { type Answer, type CallOptions, call } from '../support/http.ts'
import { unknownKey } from '../support/key-text.ts'
import { makeMeteredKey } from '../support/metered-key.ts'
import { expectProblem, fieldsOf } from '../support/problem.ts'
import {
  addPerson,
  type Key,
  keyOf,
  makeKey,
  type Person,
  type Site,
  signIn,
  startSite,
} from '../support/site.ts'
import { withDatabase } from '../support/sqlite-file.ts'

/**
 * What people are refused who manage keys, and that nothing is changed by it: no key, no balance, no audit row. Keys of
 * others and racing rotations are in key-management.test.ts, owners who are gone in key-owners.test.ts and
 * account.test.ts, hostile bodies in hostile-bodies.test.ts.
 */

let site: Site
let file: string
let root: string
let ann: Person
let eve: Person
type Given = 'good' | 'metered' | 'disabled' | 'rotated' | 'expired' | 'revoked'
let given: Readonly<Record<Given, Key>>

const keys = (path = '', options: CallOptions = {}): Promise<Answer> =>
  call(`${site.service.url}/api-keys${path}`, options)

beforeAll(async () => {
  site = await startSite({ mode: 'HS256', service: { KEYS_PER_OWNER: '6', KEY_MAX_LIFE_DAYS: '30' } })
  file = join(site.service.folder, 'data', 'service-a.sqlite')
  root = (await signIn(site, site.admin)).accessToken
  ann = await addPerson(site, root, { name: 'ann' })
  eve = await addPerson(site, root, { name: 'eve' })
  const token = ann.accessToken
  const expiresAt = Date.now() + 400
  given = {
    good: await makeKey(site, token),
    metered: await makeMeteredKey(site, root, ann.id),
    disabled: await makeKey(site, token),
    rotated: await makeKey(site, token),
    expired: await makeKey(site, token, { expiresAt: new Date(expiresAt).toISOString() }),
    revoked: await makeKey(site, token),
  }
  await keys(`/${given.disabled.id}`, { token, method: 'PATCH', json: { enabled: false } })
  await keys(`/${given.revoked.id}`, { token, method: 'DELETE' })
  keyOf(site, await keys(`/${given.rotated.id}/rotate`, { token, json: { graceSeconds: 3_600 } }))
  for (let count = 0; count < 6; count += 1) await makeKey(site, eve.accessToken)
  await Bun.sleep(expiresAt - Date.now() + 1)
})
afterAll(() => site.stage.end())

const inDays = (days: number): string => new Date(Date.now() + days * 86_400_000).toISOString()

type Who = 'ann' | 'eve' | 'root'
type Row = readonly [
  what: string,
  who: Who | Given,
  line: string,
  json: unknown,
  /** Status, code, and the fields that are named. */
  refused: string,
]

const make = (what: string, json: object, refused: string, who: Who = 'ann'): Row => [
  what,
  who,
  'POST ',
  { name: 'refused', ...json },
  refused,
]
const change = (what: string, key: Given, json: object, refused: string, who: Who = 'ann'): Row => [
  what,
  who,
  `PATCH /{${key}}`,
  json,
  refused,
]
const credit = (what: string, key: Given, json: object, refused: string, who: Who = 'root'): Row => [
  what,
  who,
  `POST /{${key}}/credits`,
  json,
  refused,
]

const limit = { name: 'burst', limit: 10, windowSeconds: 60 }
const notGrantable = '422 permission_not_grantable permissions/0'

const rows: Row[] = [
  make('a permission that its owner has not', { permissions: ['api-keys:manage'] }, notGrantable),
  change('the same, later', 'good', { permissions: ['*:*'] }, notGrantable),
  make(
    'an owner whom nobody knows',
    { ownerId: `usr_${'0'.repeat(32)}` },
    '422 owner_unknown ownerId',
    'root',
  ),
  make(
    'another owner, by somebody who is no administrator',
    { ownerId: 'usr_other' },
    '403 insufficient_permission',
  ),
  make('one key more than an owner may have', {}, '409 api_key_limit_reached', 'eve'),
  make('an expiry in the past', { expiresAt: inDays(-1) }, '422 expiry_invalid expiresAt'),
  make('an expiry beyond the longest life', { expiresAt: inDays(31) }, '422 expiry_invalid expiresAt'),
  change(
    'an expiry beyond the longest life, later',
    'good',
    { expiresAt: null },
    '422 expiry_invalid expiresAt',
  ),
  change(
    'another expiry of a key that has expired',
    'expired',
    { expiresAt: inDays(1) },
    '409 api_key_inactive',
  ),
  change(
    'another expiry of a key that was replaced',
    'rotated',
    { expiresAt: inDays(1) },
    '409 api_key_rotated',
  ),
  change('a key that was revoked', 'revoked', { enabled: true }, '404 api_key_not_found'),
  ['to replace a key twice', 'ann', 'POST /{rotated}/rotate', {}, '409 api_key_rotated'],
  ['to replace a key that is disabled', 'ann', 'POST /{disabled}/rotate', {}, '409 api_key_inactive'],
  ['to replace a key that has expired', 'ann', 'POST /{expired}/rotate', {}, '409 api_key_inactive'],
  [
    'a grace of more than 30 days',
    'ann',
    'POST /{good}/rotate',
    { graceSeconds: 2_592_001 },
    '422 invalid_request graceSeconds',
  ],
  make(
    'credits, by somebody who is no administrator',
    { credits: { remaining: 5 } },
    '403 insufficient_permission',
  ),
  change('to be rid of credits', 'metered', { credits: null }, '403 insufficient_permission'),
  credit('the same, by hand', 'metered', { add: 5 }, '403 insufficient_permission', 'ann'),
  credit('to add to a key that spends none', 'good', { add: 5 }, '409 api_key_unmetered'),
  credit('to subtract from a key that spends none', 'good', { subtract: 5 }, '409 api_key_unmetered'),
  credit('more credits than there can be', 'metered', { add: 1_000_000_000_000 }, '422 invalid_request add'),
  make('a limit of none', { limits: [{ ...limit, limit: 0 }] }, '422 invalid_request limits/0/limit'),
  make('two limits of one name', { limits: [limit, limit] }, '422 invalid_request limits/1/name'),
  change(
    'a network that is none',
    'good',
    { allowedNetworks: ['10.0.0.0/8', 'here'] },
    '422 invalid_request allowedNetworks/1',
  ),
  make('something that no key has', { secretHash: 'x' }, '422 invalid_request secretHash'),
  ['a cursor that nobody gave', 'ann', 'GET ?cursor=bm9uc2Vuc2U', undefined, '422 cursor_invalid cursor'],
  [
    'keys of another, by somebody who is no administrator',
    'eve',
    'GET ?owner=usr_other',
    undefined,
    '403 insufficient_permission',
  ],
  ['a page of none', 'ann', 'GET ?limit=0', undefined, '422 invalid_request limit'],
  ['a key of somebody else', 'eve', 'DELETE /{good}', undefined, '404 api_key_not_found'],
  ['its uses', 'eve', 'GET /{good}/usage', undefined, '404 api_key_not_found'],
  ['its credits', 'eve', 'GET /{metered}/credits', undefined, '404 api_key_not_found'],
  [
    'a cursor of the audit that nobody gave',
    'ann',
    'GET /audit?cursor=bm9uc2Vuc2U',
    undefined,
    '422 cursor_invalid cursor',
  ],
  ['to make a key by a key', 'good', 'POST ', { name: 'refused' }, '403 jwt_required'],
  ['to revoke a key by itself', 'good', 'DELETE /{good}', undefined, '403 jwt_required'],
  ['to replace a key by itself', 'metered', 'POST /{metered}/rotate', {}, '403 jwt_required'],
]

/** Everything that may not change, as text. */
const everything = (): string =>
  withDatabase(file, database =>
    JSON.stringify(
      ['api_keys', 'api_key_credits', 'api_key_audit'].map(table =>
        database.query(`SELECT * FROM ${table} ORDER BY 1`).values(),
      ),
      (_, value) => (typeof value === 'bigint' ? String(value) : value),
    ),
  )

const isGiven = (name: string): name is Given => Object.hasOwn(given, name)
const callerOf = (who: Who | Given): CallOptions =>
  isGiven(who)
    ? { key: given[who].key }
    : { token: who === 'root' ? root : who === 'ann' ? ann.accessToken : eve.accessToken }

test.each(rows)('%s, asked for by %s (%s %j), is refused with %s, and nothing is changed', async (...row) => {
  const [, who, line, json, refused] = row
  const [method = '', path = ''] = line
    .replace(/\{(\w+)\}/, (_, name) => (isGiven(name) ? given[name].id : ''))
    .split(' ')
  const before = everything()
  const answer = await keys(path, { ...callerOf(who), method, json })
  const [status = '', code = '', ...fields] = refused.split(' ')
  expectProblem(answer, Number(status), code)
  expect(fieldsOf(answer)).toEqual(fields)
  expect(answer.headers.get('cache-control')).toBe('no-store')
  const challenge = code === 'insufficient_permission' ? 'Bearer error="insufficient_scope"' : null
  expect(answer.headers.get('www-authenticate')?.slice(0, 33) ?? null).toBe(challenge)
  expect(everything()).toBe(before)
})

test('who is no manager at all is told so before anything is looked at', async () => {
  const before = everything()
  const options = { method: 'POST', json: { name: 'refused', permissions: ['api-keys:manage'] } }
  const nobody = await keys('', options)
  expectProblem(nobody, 400, 'credential_missing')
  expect(nobody.headers.get('www-authenticate')).toBe('Bearer')
  const forged = await keys('', { ...options, token: `${ann.accessToken}x` })
  expectProblem(forged, 401, 'token_invalid')
  expect(forged.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"')
  expectProblem(await keys('', { ...options, key: unknownKey() }), 403, 'jwt_required')
  expect(everything()).toBe(before)
})

test('no log holds a secret', async () => {
  await Promise.all([site.service.stop(), site.login.stop()])
  expect(site.stage.leaks()).toEqual([])
})

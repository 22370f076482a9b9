import { Database } from 'bun:sqlite'
import { beforeEach, describe, expect, test } from 'bun:test'
import { Elysia } from 'elysia'
import fc from 'fast-check'
import { createSigner } from '../lib/jwt/signer.ts'
import { type Ask, ask } from '../lib/test-http.ts'
import { apikey } from './plugin.ts'
import { apikeyRoutes } from './routes.ts'
import { createHost, type Host, members, text } from './test-host.ts'

const now = Date.UTC(2026, 0, 1)
let host: Host
let id: string
beforeEach(async () => {
  host = createHost({ clock: () => now, findOwner: async () => null })
  id = text(await host.by('ann', 'POST', '/api-keys', { body: { name: 'mine' } }), 'id')
})

type Refused = { readonly status: number; readonly code: string; readonly fields?: readonly string[] }

const fieldsOf = (errors: unknown): unknown[] =>
  Array.isArray(errors) ? errors.map(({ field }) => field).toSorted() : []

/** Holds a refusal against what it must be, and against what it must not tell. */
const refusal = async (method: string, path: string, given: Ask, expected: Refused, role = 'user') => {
  const answer = await host.by('ann', method, path.replace(':id', id), given, role)
  const { code, errors } = members(answer)
  expect({ status: answer.status, code }).toEqual({ status: expected.status, code: expected.code })
  if (expected.fields !== undefined) expect(fieldsOf(errors)).toEqual(expected.fields.toSorted())
  expect(answer.headers.get('content-type')).toBe('application/problem+json')
  expect(answer.text).not.toMatch(/argon|sqlite|secret_hash|secret-value/i)
  expect(host.unexpected).toEqual([])
}

const invalid = (...fields: string[]): Refused => ({ status: 422, code: 'invalid_request', fields })

describe('a body that is refused', () => {
  const writes = [
    ['POST', '/api-keys', { name: 'ci' }],
    ['PATCH', '/api-keys/:id', {}],
    ['POST', '/api-keys/:id/rotate', {}],
    ['POST', '/api-keys/transfer', { from: 'usr_ann', to: 'usr_bob' }],
  ] as const

  test.each(writes)('KEY-07, HTTP-08: %s %s names what it does not know', async (method, path, body) => {
    const unknown = [
      'id',
      'hash',
      'secretHash',
      'key',
      'secret',
      'createdAt',
      'createdBy',
      'prefix',
      'rotatedTo',
    ]
    for (const field of unknown) {
      await refusal(method, path, { body: { ...body, [field]: 'secret-value' } }, invalid(field))
    }
    const all = Object.fromEntries(unknown.map(field => [field, 'secret-value']))
    await refusal(method, path, { body: { ...body, ...all } }, invalid(...unknown))
    for (const field of ['__proto__', 'constructor', 'toString']) {
      const separator = Object.keys(body).length > 0 ? ',' : ''
      const raw = JSON.stringify(body).replace(/\}$/, `${separator}"${field}":{"a":1}}`)
      await refusal(method, path, { raw }, invalid(field))
    }
  })

  test.each(writes)('HTTP-05: %s %s takes JSON and nothing else', async (method, path) => {
    const unsupported = { status: 415, code: 'unsupported_media_type' }
    for (const type of ['application/x-www-form-urlencoded', 'text/plain', 'application/jsonx', '']) {
      const given = { raw: 'name=form&graceSeconds=0', headers: { 'content-type': type } }
      await refusal(method, path, given, unsupported)
    }
    await refusal(method, path, { raw: '{}', headers: { 'content-encoding': 'gzip' } }, unsupported)
    await refusal(method, path, { raw: '{"name":' }, { status: 400, code: 'malformed_body' })
    await refusal(method, path, { body: 'x'.repeat(65_536) }, { status: 413, code: 'body_too_large' })
  })

  test.each(writes)('HTTP-03: %s %s takes an object and nothing else', async (method, path) => {
    for (const raw of ['[]', '[{}]', '"text"', '5', 'true', 'null'])
      await refusal(method, path, { raw }, invalid('body'))
  })

  test.each([
    [{ name: undefined }, 'name'],
    [{ name: '' }, 'name'],
    [{ name: 'x'.repeat(101) }, 'name'],
    [{ name: 'a\nb' }, 'name'],
    [{ name: 'a\u0000' }, 'name'],
    [{ name: 'a\u202eb' }, 'name'],
    [{ name: '\ud800' }, 'name'],
    [{ name: 5 }, 'name'],
    [{ name: null }, 'name'],
    [{ permissions: 'notes:read' }, 'permissions'],
    [{ permissions: null }, 'permissions'],
    [{ permissions: ['notes'] }, 'permissions/0'],
    [{ permissions: ['notes:read', 'Notes:read'] }, 'permissions/1'],
    [{ permissions: Array.from({ length: 101 }, (_, index) => `notes:a${index}`) }, 'permissions'],
    [{ expiresAt: 5 }, 'expiresAt'],
    [{ expiresAt: '' }, 'expiresAt'],
    [{ expiresAt: '2026-02-01' }, 'expiresAt'],
    [{ expiresAt: '2026-02-01T00:00:00' }, 'expiresAt'],
    [{ expiresAt: '2026-02-01 00:00' }, 'expiresAt'],
    [{ expiresAt: '02/01/2026' }, 'expiresAt'],
    [{ expiresAt: '2026-13-01T00:00:00Z' }, 'expiresAt'],
    [{ expiresAt: '+012345-01-01T00:00:00Z' }, 'expiresAt'],
    [{ expiresAt: 'x 2026-02-01T00:00:00Z' }, 'expiresAt'],
    [{ ownerId: '' }, 'ownerId'],
    [{ ownerId: null }, 'ownerId'],
  ])('KEY-11, HTTP-03: %j is invalid by its field', async (changes, field) => {
    await refusal('POST', '/api-keys', { body: { name: 'ci', ...changes } }, invalid(field))
    if ('ownerId' in changes || Object.values(changes).includes(undefined)) return
    await refusal('PATCH', '/api-keys/:id', { body: changes }, invalid(field))
  })

  test.each([
    '2026-01-01T00:00:00Z',
    '2025-12-31T23:59:59.999Z',
    '2026-01-01T00:30:00+01:00',
    '1970-01-01T00:00:00Z',
    '2026-02-30T00:00:00Z',
    '9999-12-31T23:59:59-23:00',
  ])('KEY-11: an expiry that is past, now, or on no day of the calendar is refused: %s', async expiresAt => {
    const refused = { status: 422, code: 'expiry_invalid', fields: ['expiresAt'] }
    await refusal('POST', '/api-keys', { body: { name: 'ci', expiresAt } }, refused)
    await refusal('PATCH', '/api-keys/:id', { body: { expiresAt } }, refused)
  })

  test.each([-1, 0.5, 2_592_001, '60', null, [[1]]])(
    'a time of grace of %j is refused',
    async graceSeconds => {
      await refusal('POST', '/api-keys/:id/rotate', { body: { graceSeconds } }, invalid('graceSeconds'))
    },
  )

  test('HTTP-03: no JSON makes a route fail', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...writes),
        fc.record(
          {
            name: fc.jsonValue(),
            permissions: fc.jsonValue(),
            expiresAt: fc.jsonValue(),
            enabled: fc.jsonValue(),
            graceSeconds: fc.jsonValue(),
            from: fc.jsonValue(),
            to: fc.jsonValue(),
            keyIds: fc.jsonValue(),
          },
          { requiredKeys: [] },
        ),
        async ([method, path], body) => {
          const answer = await host.by('ann', method, path.replace(':id', id), { body })
          expect(answer.status).toBeLessThan(500)
        },
      ),
      { numRuns: 150 },
    )
    expect(host.unexpected).toEqual([])
  })
})

describe('what a caller may not', () => {
  const notGrantable = { status: 422, code: 'permission_not_grantable' }
  const forbidden = { status: 403, code: 'insufficient_permission' }

  test('KEY-16: give a key what they may not do themselves', async () => {
    const body = { name: 'ci', permissions: ['notes:read', 'notes:*', 'api-keys:manage', '*:*'] }
    const fields = ['permissions/1', 'permissions/2', 'permissions/3']
    await refusal('POST', '/api-keys', { body }, { ...notGrantable, fields })
    await refusal('PATCH', '/api-keys/:id', { body: { permissions: ['*:*'] } }, notGrantable)
    await refusal('POST', '/api-keys', { body: { name: 'ci', permissions: ['*:*'] } }, notGrantable, 'admin')
  })

  test('KEY-07: make keys for others, see theirs, or give theirs away', async () => {
    await refusal('POST', '/api-keys', { body: { name: 'ci', ownerId: 'usr_bob' } }, forbidden)
    await refusal('GET', '/api-keys?owner=usr_bob', {}, forbidden)
    await refusal('PATCH', '/api-keys/:id', { body: { ownerId: 'usr_bob' } }, invalid('ownerId'))
    await refusal('PATCH', '/api-keys/:id', { body: { ownerId: 'usr_bob' } }, invalid('ownerId'), 'admin')
    const unknown = { status: 422, code: 'owner_unknown', fields: ['ownerId'] }
    await refusal('POST', '/api-keys', { body: { name: 'ci', ownerId: 'usr_ghost' } }, unknown, 'admin')
    expect(
      (await host.by('ann', 'POST', '/api-keys', { body: { name: 'ci', ownerId: 'usr_ann' } })).status,
    ).toBe(201)
  })

  test.each([
    'limit=0',
    'limit=201',
    'limit=-1',
    'limit=x',
    'limit=1.5',
    'limit=1e9',
    'owner=',
    'usedSince=',
    'usedSince=now',
    'usedSince=1767225600000',
    'usedSince=2026-01-01',
    'usedSince=2026-01-01T00:00:00',
    'usedSince=2026-02-30T00:00:00Z',
    'usedSince=2026-01-01T00:00:00+01:00',
    `cursor=${'x'.repeat(257)}`,
  ])('KEY-12: list with %s', async query => {
    await refusal('GET', `/api-keys?${query}`, {}, invalid(query.replace(/=.*/, '')))
  })

  test('HTTP-04: turn a list into another by odd names or repetition', async () => {
    await refusal(
      'GET',
      '/api-keys?cursor=nonsense',
      {},
      { status: 422, code: 'cursor_invalid', fields: ['cursor'] },
    )
    const plain = (await host.by('ann', 'GET', '/api-keys')).text
    for (const query of ['__proto__[limit]=1', 'constructor.prototype=1', 'limit[]=1', 'a=1&a=2', '%00=1']) {
      const answer = await host.by('ann', 'GET', `/api-keys?${query}`)
      expect([answer.status, answer.text]).toEqual([200, plain])
    }
    for (const query of ['limit=1&limit=2', 'owner=usr_ann&owner=usr_bob', 'owner[]=usr_bob']) {
      const answer = await host.by('ann', 'GET', `/api-keys?${query}`)
      expect(answer.status).toBeLessThan(500)
      expect(answer.text).not.toContain('usr_bob')
    }
  })

  test('HTTP-03: make an id anything but the name of a key', async () => {
    for (const name of [
      "key_' OR 1=1 --",
      '%00',
      '%ff',
      '..%2f',
      '__proto__',
      'x'.repeat(5_000),
      '%F0%9F%8E%89',
      '*',
    ]) {
      for (const method of ['GET', 'DELETE']) {
        expect([400, 404]).toContain((await host.by('ann', method, `/api-keys/${name}`)).status)
      }
    }
    expect((await host.by('ann', 'GET', `/api-keys/${id}`)).status).toBe(200)
  })
})

describe('in any app', () => {
  test.each([true, false, 'typebox'] as const)(
    'HTTP-08: unknown fields are named with normalize: %p',
    async normalize => {
      host = createHost({ normalize })
      id = text(await host.by('ann', 'POST', '/api-keys', { body: { name: 'mine' } }), 'id')
      expect(id).not.toBe('')
      await refusal('POST', '/api-keys', { body: { name: 'ci', ownerid: 'usr_bob' } }, invalid('ownerid'))
      await refusal('PATCH', '/api-keys/:id', { body: { ownerId: 'usr_bob' } }, invalid('ownerId'))
      await refusal('POST', '/api-keys/:id/rotate', { body: { grace: 0 } }, invalid('grace'))
      await refusal(
        'POST',
        '/api-keys',
        { raw: 'name=a', headers: { 'content-type': 'text/plain' } },
        {
          status: 415,
          code: 'unsupported_media_type',
        },
      )
      const { app } = host
      expect(members(await ask(app, 'POST', '/api-keys', { body: { nonsense: 1 } })).code).toBe(
        'credential_missing',
      )
    },
  )

  test('HTTP-01: problems are problems without problems() too', async () => {
    host = createHost({ withProblems: false })
    id = text(await host.by('ann', 'POST', '/api-keys', { body: { name: 'mine' } }), 'id')
    await refusal('POST', '/api-keys', { body: { name: '' } }, invalid('name'))
    await refusal('GET', '/api-keys/key_ghost', {}, { status: 404, code: 'api_key_not_found' })
    await refusal('POST', '/api-keys/:id/rotate', { raw: '{' }, { status: 400, code: 'malformed_body' })
    const answer = await ask(host.app, 'GET', '/notes')
    expect([answer.status, members(answer).code]).toEqual([400, 'credential_missing'])
  })

  test('LOG-01: every change has its row, with who asked and by which request', async () => {
    const database = new Database(':memory:')
    const secret = 'a shared secret of 32 bytes, and then some'
    const issuer = 'http://login.test'
    const auth = apikey({ jwt: { secret }, issuer, audience: 'a', database, roles: { user: [] } })
    const app = new Elysia().use(auth).use(apikeyRoutes(auth))
    const exp = Math.floor(Date.now() / 1_000) + 60
    const claims = { iss: issuer, sub: 'usr_ann', aud: 'a', exp, jti: 'j', client_id: 'c' }
    const token = await createSigner({ algorithm: 'HS256', kid: null, secret }).sign(claims)
    const as = (requestId: string) => ({ authorization: `Bearer ${token}`, 'x-request-id': requestId })
    const made = text(await ask(app, 'POST', '/api-keys', { headers: as('r1'), body: { name: 'k' } }), 'id')
    await ask(app, 'PATCH', `/api-keys/${made}`, { headers: as('r2'), body: { name: 'l' } })
    const next = text(await ask(app, 'POST', `/api-keys/${made}/rotate`, { headers: as('r3') }), 'id')
    await ask(app, 'DELETE', `/api-keys/${next}`, { headers: as('r4') })
    await ask(app, 'DELETE', `/api-keys/${next}`, { headers: as('r5') })
    const rows = database.query('SELECT action, subject_id, actor_id, request_id FROM api_key_audit').values()
    expect(rows).toEqual([
      ['api_key.created', made, 'usr_ann', 'r1'],
      ['api_key.changed', made, 'usr_ann', 'r2'],
      ['api_key.created', next, 'usr_ann', 'r3'],
      ['api_key.rotated', made, 'usr_ann', 'r3'],
      ['api_key.revoked', next, 'usr_ann', 'r4'],
    ])
    database.close()
  })
})

import { beforeEach, describe, expect, spyOn, test } from 'bun:test'
import fc from 'fast-check'
import { bySystem } from '../lib/audit.ts'
import type { Answer } from '../lib/test-http.ts'
import { internalsOf } from './internals.ts'
import { createHost, type Host, members, text } from './test-host.ts'
import { formatKey, generateKey } from './token.ts'

let now: number
let host: Host
let caller: string
beforeEach(async () => {
  now = Date.UTC(2026, 2, 10, 12)
  host = createHost({ clock: () => now })
  caller = (await host.key(['api-keys:verify'], 'gateway'))['x-api-key'] ?? ''
})

type Made = { readonly id: string; readonly key: string }

const make = async (body: Readonly<Record<string, unknown>> = {}): Promise<Made> => {
  const answer = await host.by('ann', 'POST', '/api-keys', {
    body: { name: 'ci', permissions: ['notes:read'], ...body },
  })
  return { id: text(answer, 'id'), key: text(answer, 'key') }
}
const verify = (body: unknown): Promise<Answer> => host.with(caller, 'POST', '/api-keys/verify', { body })
const ann = (method: string, path: string, body?: unknown): Promise<Answer> =>
  host.by('ann', method, `/api-keys/${path}`, { body })

/** The same key with another secret, and a checksum that fits. */
const withOtherSecret = (key: string): string => formatKey({ ...generateKey('lk'), id: key.slice(3, 19) })

const usage = async (id: string): Promise<unknown> => members(await ann('GET', `${id}/usage?days=1`)).total

describe('a good key', () => {
  test('is told with whose it is and what it may do, and the answer is not to be kept', async () => {
    const expiresAt = new Date(now + 60_000).toISOString()
    const { id, key } = await make({ expiresAt })
    const answer = await verify({ key, permissions: ['notes:read'] })
    expect(answer.status).toBe(200)
    expect(answer.json()).toEqual({
      valid: true,
      code: null,
      keyId: id,
      ownerId: 'usr_ann',
      name: 'ci',
      permissions: ['notes:read'],
      expiresAt,
      metadata: null,
      creditsRemaining: null,
    })
    expect(answer.headers.get('cache-control')).toBe('no-store')
  })

  test.each([true, false, 'typebox'] as const)('is told so by any host (normalize: %p)', async normalize => {
    host = createHost({ normalize })
    caller = (await host.key(['api-keys:verify']))['x-api-key'] ?? ''
    const { id, key } = await make()
    expect(members(await verify({ key }))).toMatchObject({ valid: true, keyId: id, metadata: null })
    expect(members(await verify({ key, secret: 1 })).errors).toEqual([
      { field: 'secret', rule: 'Unexpected property' },
    ])
  })

  test('is verified by the memory of the guard, and for the guard', async () => {
    const { key } = await make()
    await host.with(key, 'GET', '/notes')
    const find = spyOn(internalsOf(host.auth).store(), 'findCredential')
    expect(members(await verify({ key })).valid).toBe(true)
    expect(find.mock.calls.map(([id]) => id)).not.toContain(`key_${key.slice(3, 19)}`)
    find.mockRestore()
  })

  test('is found bad from the very question on that comes after its change', async () => {
    const { id, key } = await make()
    expect(members(await verify({ key })).valid).toBe(true)
    await ann('PATCH', id, { enabled: false })
    expect(members(await verify({ key }))).toEqual({
      valid: false,
      code: 'api_key_disabled',
      keyId: id,
      retryAfterSeconds: null,
    })
    await ann('PATCH', id, { enabled: true })
    expect(members(await verify({ key })).valid).toBe(true)
    await ann('DELETE', id)
    expect(members(await verify({ key }))).toEqual({
      valid: false,
      code: 'api_key_revoked',
      keyId: id,
      retryAfterSeconds: null,
    })
  })

  test('that is revoked while it is asked about is not told as good', async () => {
    const { id, key } = await make()
    await verify({ key })
    const store = internalsOf(host.auth).store()
    const { find } = store
    const look = spyOn(store, 'find').mockImplementation(async (...args) => {
      await store.revoke(id, 'all', bySystem)
      return find(...args)
    })
    expect(members(await verify({ key }))).toEqual({
      valid: false,
      code: 'api_key_revoked',
      keyId: id,
      retryAfterSeconds: null,
    })
    look.mockRestore()
  })

  test('lacks a permission that is asked for, of several one as well', async () => {
    const { id, key } = await make()
    const lacking = { valid: false, code: 'insufficient_permission', keyId: id, retryAfterSeconds: null }
    expect(members(await verify({ key, permissions: ['notes:write'] }))).toEqual(lacking)
    expect(members(await verify({ key, permissions: ['notes:read', 'notes:write'] }))).toEqual(lacking)
    expect(members(await verify({ key, permissions: ['*:read'] }))).toEqual(lacking)
    expect(members(await verify({ key, permissions: [] })).valid).toBe(true)
  })

  test('is counted as the guard counts, with the address that is given', async () => {
    const { id, key } = await make()
    await verify({ key, address: '192.0.2.7' })
    await verify({ key, permissions: ['notes:write'] })
    await ann('PATCH', id, { enabled: false })
    await verify({ key })
    await verify({ key: withOtherSecret(key) })
    const told = members(await ann('GET', `${id}/usage?days=1`))
    expect(told.lastUsedAddress).toBe('192.0.2.7')
    expect(told.total).toEqual({ accepted: 1, refused: { insufficient_permission: 1, api_key_disabled: 1 } })
  })
})

describe('a key with allowed networks', () => {
  test('is good from there, and from nowhere else, before permissions are looked at', async () => {
    const { id, key } = await make({ allowedNetworks: ['192.0.2.0/24', '2001:db8::/32'] })
    for (const address of ['192.0.2.7', '::ffff:192.0.2.7', '2001:DB8::1']) {
      expect([address, members(await verify({ key, address })).valid]).toEqual([address, true])
    }
    const refused = { valid: false, code: 'api_key_network_not_allowed', keyId: id, retryAfterSeconds: null }
    for (const address of ['198.51.100.1', '2001:db9::1', undefined]) {
      expect(members(await verify({ key, address, permissions: ['notes:write'] }))).toEqual(refused)
    }
    expect(await usage(id)).toEqual({ accepted: 3, refused: { api_key_network_not_allowed: 3 } })
  })
})

describe('a key with limits and credits', () => {
  const make = async (body: Readonly<Record<string, unknown>>): Promise<Made> => {
    const answer = await host.by(
      'root',
      'POST',
      '/api-keys',
      { body: { name: 'ci', permissions: ['notes:read'], ...body } },
      'admin',
    )
    return { id: text(answer, 'id'), key: text(answer, 'key') }
  }

  test('pays what a use costs, and is told when there is not enough, without paying', async () => {
    const { id, key } = await make({ credits: { remaining: 5 } })
    const paid = async (cost?: number) => members(await verify({ key, cost }))
    expect(await paid(3)).toMatchObject({ valid: true, creditsRemaining: 2 })
    expect(await paid(3)).toEqual({
      valid: false,
      code: 'credits_exhausted',
      keyId: id,
      retryAfterSeconds: null,
    })
    expect(await paid(2)).toMatchObject({ valid: true, creditsRemaining: 0 })
    expect(await paid()).toMatchObject({ valid: true, creditsRemaining: null })
    expect(await paid(1)).toMatchObject({ valid: false, code: 'credits_exhausted' })
  })

  test('is counted with what the guard lets in, and a refusal burns neither', async () => {
    const limits = [{ name: 'few', limit: 2, windowSeconds: 60 }]
    const { id, key } = await make({ limits, credits: { remaining: 5 } })
    expect(members(await verify({ key, permissions: ['notes:write'], cost: 1 })).valid).toBe(false)
    expect(members(await verify({ key, cost: 9 })).code).toBe('credits_exhausted')
    expect((await host.with(key, 'GET', '/notes')).status).toBe(200)
    expect(members(await verify({ key, cost: 1 }))).toMatchObject({ valid: true, creditsRemaining: 4 })
    expect(members(await verify({ key, cost: 1 }))).toEqual({
      valid: false,
      code: 'rate_limited',
      keyId: id,
      retryAfterSeconds: expect.any(Number),
    })
    expect((await host.with(key, 'GET', '/notes')).status).toBe(429)
    now += 61_000
    expect(members(await verify({ key, cost: 1 }))).toMatchObject({ valid: true, creditsRemaining: 3 })
  })
})

describe('a bad key', () => {
  const invalid = { valid: false, code: 'api_key_invalid', keyId: null, retryAfterSeconds: null }

  test('is answered alike, whatever is wrong with it, unless its secret is right', async () => {
    const { id, key } = await make()
    await ann('DELETE', id)
    const texts = [
      '',
      'nonsense',
      'x'.repeat(129),
      'x'.repeat(60_000),
      `${key}a`,
      ` ${key}`,
      key.toUpperCase(),
      key.replace('lk_', 'sk_'),
      withOtherSecret(key),
      formatKey(generateKey('lk')),
      'é\0\u{1F511}\ud800',
    ]
    for (const bad of texts) {
      const answer = await verify({ key: bad })
      expect([bad.slice(0, 80), answer.status, answer.json()]).toEqual([bad.slice(0, 80), 200, invalid])
    }
    expect(members(await verify({ key }))).toEqual({
      valid: false,
      code: 'api_key_revoked',
      keyId: id,
      retryAfterSeconds: null,
    })
    expect(await usage(id)).toEqual({ accepted: 0, refused: { api_key_revoked: 1 } })
  })

  test('any text is an answer and never an error', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string({ unit: 'binary' }), fc.string()), async key => {
        const answer = await verify({ key })
        expect([answer.status, answer.json()]).toEqual([200, invalid])
      }),
      { numRuns: 50 },
    )
  })

  test('that expired is told as such from the very millisecond on', async () => {
    const { id, key } = await make({ expiresAt: new Date(now + 1_000).toISOString() })
    now += 999
    expect(members(await verify({ key })).valid).toBe(true)
    now += 1
    expect(members(await verify({ key }))).toEqual({
      valid: false,
      code: 'api_key_expired',
      keyId: id,
      retryAfterSeconds: null,
    })
  })
})

describe('the question', () => {
  const fields: [unknown, string][] = [
    [{}, 'key'],
    [{ key: 1 }, 'key'],
    [{ key: null }, 'key'],
    [{ key: ['lk_'] }, 'key'],
    [[], 'body'],
    ['"lk_"', 'body'],
    [{ key: 'k', cost: -1 }, 'cost'],
    [{ key: 'k', cost: 0.5 }, 'cost'],
    [{ key: 'k', cost: '1' }, 'cost'],
    [{ key: 'k', cost: 1e300 }, 'cost'],
    [{ key: 'k', permissions: 'notes:read' }, 'permissions'],
    [{ key: 'k', permissions: ['notes'] }, 'permissions/0'],
    [{ key: 'k', permissions: Array(21).fill('a:b') }, 'permissions'],
    [{ key: 'k', address: 'somewhere' }, 'address'],
    [{ key: 'k', address: '192.0.2.7, 10.0.0.1' }, 'address'],
    [{ key: 'k', address: '192.0.2.0/24' }, 'address'],
    [{ key: 'k', address: '1'.repeat(46) }, 'address'],
  ]
  test.each(fields)('%j is refused by field: %s', async (body, field) => {
    const answer = await host.with(
      caller,
      'POST',
      '/api-keys/verify',
      typeof body === 'string' ? { raw: body } : { body },
    )
    expect([answer.status, members(answer).code]).toEqual([422, 'invalid_request'])
    expect(JSON.stringify(members(answer).errors)).toContain(`"field":"${field}"`)
  })

  test('never has the key in its refusal, nor in what is logged', async () => {
    const { key } = await make()
    for (const body of [
      { key, [key]: 1 },
      { key: [key] },
      { key, permissions: [key] },
      { key, address: key },
    ]) {
      const answer = await verify(body)
      expect(answer.status).toBe(422)
      // The name of an unknown field is the caller's own.
      if (!(key in body)) expect(answer.text).not.toContain(key)
    }
    const store = internalsOf(host.auth).store()
    const find = spyOn(store, 'find').mockRejectedValue(new Error('the-disk-is-gone'))
    const answer = await verify({ key })
    find.mockRestore()
    expect([answer.status, members(answer).code]).toEqual([500, 'internal_error'])
    expect(answer.text + Bun.inspect(host.unexpected)).not.toContain(key)
  })

  test('is for holders of api-keys:verify: tokens and keys', async () => {
    const { key } = await make()
    const body = { key }
    const denied = async (answer: Promise<Answer>) => [(await answer).status, text(await answer, 'code')]
    expect(await denied(host.by('eve', 'POST', '/api-keys/verify', { body }))).toEqual([
      403,
      'insufficient_permission',
    ])
    expect(await denied(host.with(key, 'POST', '/api-keys/verify', { body }))).toEqual([
      403,
      'insufficient_permission',
    ])
    const admin = await host.by('root', 'POST', '/api-keys/verify', { body }, 'admin')
    expect(members(admin).valid).toBe(true)
  })

  test('with a key that may verify opens no other route of keys', async () => {
    const { id } = await make()
    for (const [method, path] of [
      ['GET', ''],
      ['POST', ''],
      ['GET', `/${id}`],
      ['DELETE', `/${id}`],
      ['PATCH', `/${id}`],
      ['POST', `/${id}/rotate`],
      ['POST', '/transfer'],
      ['GET', `/${id}/usage`],
    ] as const) {
      const answer = await host.with(caller, method, `/api-keys${path}`)
      expect([method, path, answer.status, text(answer, 'code')]).toEqual([method, path, 403, 'jwt_required'])
    }
  })
})

import { beforeEach, describe, expect, test } from 'bun:test'
import { createHost, type Host, members, text } from './test-host.ts'
import { keyPattern, parseKey } from './token.ts'

const day = 86_400_000
let now: number
let host: Host
beforeEach(() => {
  now = Date.UTC(2026, 0, 1)
  host = createHost({
    clock: () => now,
    findOwner: async id => (id === 'usr_bob' ? { id, roles: ['reader'] } : null),
  })
})

const make = async (user: string, body: object = {}): Promise<{ id: string; key: string }> => {
  const answer = await host.by(user, 'POST', '/api-keys', { body: { name: 'ci', ...body } })
  return { id: text(answer, 'id'), key: text(answer, 'key') }
}
const secretOf = (key: string): string => parseKey(key)?.secret ?? 'no secret'
const iso = (milliseconds: number): string => new Date(milliseconds).toISOString()

describe('POST /api-keys', () => {
  test('HTTP-08, KEY-05: is a 201 with Location, all of the key, and the key itself this once', async () => {
    const expiresAt = iso(now + day)
    const answer = await host.by('ann', 'POST', '/api-keys', {
      body: { name: 'ci', permissions: ['notes:read'], expiresAt },
    })
    expect(answer.status).toBe(201)
    const { key, ...record } = members(answer)
    expect(key).toMatch(keyPattern)
    const parts = parseKey(String(key))
    expect(record).toEqual({
      id: `key_${parts?.id}`,
      name: 'ci',
      ownerId: 'usr_ann',
      createdBy: 'usr_ann',
      permissions: ['notes:read'],
      enabled: true,
      expiresAt,
      start: String(key).slice(0, 7),
      last4: String(key).slice(-4),
      createdAt: iso(now),
      updatedAt: iso(now),
      rotatedFrom: null,
      rotatedTo: null,
      revokedAt: null,
      lastUsedAt: null,
      lastUsedAddress: null,
      metadata: null,
      allowedNetworks: null,
      limits: null,
      metered: false,
    })
    expect(answer.headers.get('location')).toBe(`/api-keys/key_${parts?.id}`)
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(answer.text).not.toMatch(/hash|argon/i)
    expect((await host.by('ann', 'GET', answer.headers.get('location') ?? '')).json()).toEqual(record)
  })

  test('KEY-16: a key that is made without permissions has none', async () => {
    const { key } = await make('ann')
    expect((await host.with(key, 'GET', '/notes')).json()).toMatchObject({ code: 'insufficient_permission' })
    expect((await host.with(key, 'GET', '/whoami')).json()).toMatchObject({ kind: 'key', permissions: [] })
    expect(host.ran).toEqual([])
  })

  test('KEY-11: a time of expiry may have any offset, and is given back in UTC', async () => {
    for (const [given, expected] of [
      ['2026-02-01T00:00:00Z', '2026-02-01T00:00:00.000Z'],
      ['2026-02-01T00:00:00.5+05:30', '2026-01-31T18:30:00.500Z'],
      ['2028-02-29T23:59:59-01:00', '2028-03-01T00:59:59.000Z'],
      ['9999-12-31T23:59:59.999Z', '9999-12-31T23:59:59.999Z'],
    ]) {
      const answer = await host.by('ann', 'POST', '/api-keys', { body: { name: 'ci', expiresAt: given } })
      expect(members(answer)).toMatchObject({ expiresAt: expected })
    }
  })

  test('KEY-12: the 101st key of an owner is refused, and one of another owner is not', async () => {
    for (let index = 0; index < 100; index += 1) await make('ann')
    const answer = await host.by('ann', 'POST', '/api-keys', { body: { name: 'ci' } })
    expect(answer.status).toBe(409)
    expect(members(answer)).toMatchObject({ code: 'api_key_limit_reached' })
    expect((await make('bob')).key).toMatch(keyPattern)
  })
})

describe('GET /api-keys', () => {
  test('KEY-05, KEY-06: lists the caller’s own keys, without secrets', async () => {
    const mine = [await make('ann'), await make('ann')]
    const other = await make('bob')
    const answer = await host.by('ann', 'GET', '/api-keys')
    expect(answer.status).toBe(200)
    for (const { id, key } of mine) {
      expect(answer.text).toContain(id)
      expect(answer.text).not.toContain(secretOf(key))
    }
    expect(answer.text).not.toContain(other.id)
    expect(answer.text).not.toMatch(/hash|argon|"key"/i)
  })

  test('KEY-12: pages hold the whole list once, oldest first', async () => {
    const ids: string[] = []
    for (let index = 0; index < 7; index += 1) {
      now += 1
      ids.push((await make('ann')).id)
    }
    const seen: unknown[] = []
    let cursor = ''
    do {
      const page = await host.by('ann', 'GET', `/api-keys?limit=3${cursor}`)
      const { items, nextCursor } = members(page)
      expect(Array.isArray(items)).toBe(true)
      if (Array.isArray(items)) seen.push(...items.map(({ id }) => id))
      cursor = nextCursor === null ? '' : `&cursor=${nextCursor}`
    } while (cursor !== '')
    expect(seen).toEqual(ids)
  })

  test('an admin lists the keys of an owner, and other callers only their own', async () => {
    const { id } = await make('ann')
    const list = async (user: string, path: string, role?: string) =>
      host.by(user, 'GET', path, {}, role).then(({ status, text: body }) => [status, body.includes(id)])
    expect(await list('root', '/api-keys?owner=usr_ann', 'admin')).toEqual([200, true])
    expect(await list('root', '/api-keys', 'admin')).toEqual([200, false])
    expect(await list('ann', '/api-keys?owner=usr_ann')).toEqual([200, true])
    expect(await list('bob', '/api-keys?owner=usr_ann')).toEqual([403, false])
  })
})

describe('PATCH /api-keys/:id', () => {
  test('what is absent stays, null clears, a value sets', async () => {
    const { id } = await make('ann', { permissions: ['notes:read'], expiresAt: iso(now + day) })
    const patch = async (body: object) => members(await host.by('ann', 'PATCH', `/api-keys/${id}`, { body }))
    const before = members(await host.by('ann', 'GET', `/api-keys/${id}`))
    now += 1_000
    const updatedAt = iso(now)
    expect(await patch({})).toEqual({ ...before, updatedAt })
    expect(await patch({ expiresAt: null })).toEqual({ ...before, updatedAt, expiresAt: null })
    const changes = { name: 'other', permissions: ['notes:write'], enabled: false, expiresAt: iso(now + 1) }
    expect(await patch(changes)).toEqual({ ...before, ...changes, updatedAt })
    expect(await patch({ permissions: [] })).toEqual({ ...before, ...changes, updatedAt, permissions: [] })
  })

  test('KEY-09: what it changes counts from the next request on', async () => {
    const { id, key } = await make('ann', { permissions: ['notes:read'] })
    const patch = (body: object) => host.by('ann', 'PATCH', `/api-keys/${id}`, { body })
    expect((await host.with(key, 'GET', '/notes')).status).toBe(200)
    await patch({ permissions: [] })
    expect(members(await host.with(key, 'GET', '/notes'))).toMatchObject({ code: 'insufficient_permission' })
    await patch({ enabled: false })
    expect(members(await host.with(key, 'GET', '/notes'))).toMatchObject({ code: 'api_key_disabled' })
    await patch({ enabled: true, permissions: ['notes:read'] })
    expect((await host.with(key, 'GET', '/notes')).status).toBe(200)
  })

  test('an admin may change the key of another, within what its owner may do', async () => {
    const { id } = await make('bob')
    const patch = (body: object) => host.by('root', 'PATCH', `/api-keys/${id}`, { body }, 'admin')
    expect((await patch({ name: 'renamed', permissions: ['notes:read'] })).status).toBe(200)
    expect(members(await patch({ permissions: ['notes:write'] }))).toMatchObject({
      code: 'permission_not_grantable',
      errors: [{ field: 'permissions/0' }],
    })
    const ghost = await make('ghost')
    const answer = await host.by(
      'root',
      'PATCH',
      `/api-keys/${ghost.id}`,
      { body: { permissions: ['notes:read'] } },
      'admin',
    )
    expect(members(answer)).toMatchObject({ code: 'owner_unknown' })
    const rotated = await host.by('root', 'POST', `/api-keys/${ghost.id}/rotate`, {}, 'admin')
    expect(members(rotated)).toMatchObject({ code: 'owner_unknown' })
    // To take away needs nobody's word.
    const narrowed = await host.by(
      'root',
      'PATCH',
      `/api-keys/${ghost.id}`,
      { body: { permissions: [] } },
      'admin',
    )
    expect(narrowed.status).toBe(200)
  })
})

describe('DELETE /api-keys/:id', () => {
  test('KEY-09: is a 204, and the key is refused from the next request on, for good', async () => {
    const { id, key } = await make('ann', { permissions: ['notes:read'] })
    const answer = await host.by('ann', 'DELETE', `/api-keys/${id}`)
    expect(answer).toMatchObject({ status: 204, text: '' })
    expect(members(await host.with(key, 'GET', '/notes'))).toMatchObject({ code: 'api_key_revoked' })
    for (const [method, path, body] of [
      ['GET', '', undefined],
      ['PATCH', '', { enabled: true }],
      ['DELETE', '', undefined],
      ['POST', '/rotate', {}],
    ] as const) {
      expect((await host.by('ann', method, `/api-keys/${id}${path}`, { body })).status).toBe(404)
    }
    expect(host.ran).toEqual([])
  })
})

describe('POST /api-keys/:id/rotate', () => {
  const rotate = (id: string, body?: unknown) => host.by('ann', 'POST', `/api-keys/${id}/rotate`, { body })

  test('HTTP-08, KEY-05: is a 201 with a new key, and both name each other', async () => {
    const old = await make('ann', { permissions: ['notes:read'] })
    const answer = await rotate(old.id, { graceSeconds: 60 })
    const { id, key } = members(answer)
    expect(answer.status).toBe(201)
    expect(answer.headers.get('location')).toBe(`/api-keys/${id}`)
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(key).toMatch(keyPattern)
    expect(members(answer)).toMatchObject({
      rotatedFrom: old.id,
      permissions: ['notes:read'],
      expiresAt: null,
    })
    expect(answer.text).not.toContain(secretOf(old.key))
    expect(members(await host.by('ann', 'GET', `/api-keys/${old.id}`))).toMatchObject({
      rotatedTo: id,
      expiresAt: iso(now + 60_000),
    })
    for (const text of [old.key, String(key)])
      expect((await host.with(text, 'GET', '/notes')).status).toBe(200)
    now += 60_000
    expect(members(await host.with(old.key, 'GET', '/notes'))).toMatchObject({ code: 'api_key_expired' })
    expect((await host.with(String(key), 'GET', '/notes')).status).toBe(200)
  })

  test.each([
    ['no body', undefined, day],
    ['an empty body', {}, day],
    ['a time', { graceSeconds: 1 }, 1_000],
    ['no time at all', { graceSeconds: 0 }, 0],
  ] as const)('the old key lives on for a day, or as long as is said: %s', async (_, body, milliseconds) => {
    const { id } = await make('ann')
    expect((await rotate(id, body)).status).toBe(201)
    const old = members(await host.by('ann', 'GET', `/api-keys/${id}`))
    expect(old).toMatchObject({ expiresAt: iso(now + milliseconds) })
  })

  test('a content type without a body is no body', async () => {
    const { id } = await make('ann')
    const answer = await host.by('ann', 'POST', `/api-keys/${id}/rotate`, {
      headers: { 'content-type': 'application/json' },
    })
    expect(answer.status).toBe(201)
  })

  test('KEY-10: of 20 at once one wins', async () => {
    const { id } = await make('ann')
    const answers = await Promise.all(Array.from({ length: 20 }, () => rotate(id, { graceSeconds: 0 })))
    const statuses = answers.map(({ status }) => status)
    expect(statuses.filter(status => status === 201)).toHaveLength(1)
    expect(statuses.filter(status => status === 409)).toHaveLength(19)
    const lost = answers.find(({ status }) => status === 409)
    expect(lost && members(lost)).toMatchObject({ code: 'api_key_rotated' })
  })

  test('KEY-10: what is disabled, expired or replaced is not brought back', async () => {
    const disabled = await make('ann')
    await host.by('ann', 'PATCH', `/api-keys/${disabled.id}`, { body: { enabled: false } })
    const expired = await make('ann', { expiresAt: iso(now + 1) })
    now += 1
    for (const { id } of [disabled, expired]) {
      const answer = await rotate(id)
      expect([answer.status, members(answer).code]).toEqual([409, 'api_key_inactive'])
    }
    const replaced = await make('ann')
    await rotate(replaced.id)
    const patched = await host.by('ann', 'PATCH', `/api-keys/${replaced.id}`, { body: { expiresAt: null } })
    expect([patched.status, members(patched).code]).toEqual([409, 'api_key_rotated'])
  })
})

test('KEY-06: what belongs to another is answered like what never was, and stays as it is', async () => {
  const { id, key } = await make('ann', { permissions: ['notes:read'] })
  const before = members(await host.by('ann', 'GET', `/api-keys/${id}`))
  const requests = [
    ['GET', '', undefined],
    ['PATCH', '', { name: 'theirs', permissions: ['notes:*'] }],
    ['PATCH', '', { expiresAt: '2000-01-01T00:00:00Z' }],
    ['DELETE', '', undefined],
    ['POST', '/rotate', { graceSeconds: 0 }],
  ] as const
  const headers = { 'x-request-id': 'same' }
  for (const [method, path, body] of requests) {
    const foreign = await host.by('bob', method, `/api-keys/${id}${path}`, { body, headers })
    const ghost = await host.by('bob', method, `/api-keys/key_0123456789abcdef${path}`, { body, headers })
    expect(foreign.status).toBe(404)
    expect(foreign.text).toBe(ghost.text)
    expect(foreign.headers.toJSON()).toEqual(ghost.headers.toJSON())
  }
  expect(members(await host.by('ann', 'GET', `/api-keys/${id}`))).toEqual(before)
  expect((await host.with(key, 'GET', '/notes')).status).toBe(200)
})

import { beforeEach, describe, expect, spyOn, test } from 'bun:test'
import type { Ask } from '../lib/test-http.ts'
import { internalsOf } from './internals.ts'
import { createHost, type Host, members, text } from './test-host.ts'

const owners: Record<string, { roles?: string[]; scopes?: string[] }> = {
  usr_bob: { roles: ['user'] },
  usr_reader: { roles: ['reader'] },
  cli_ci: { scopes: ['notes:read', 'notes:write', 'changes:read'] },
  cli_odd: { scopes: ['openid', '*', 'notes:read:all', ''] },
}
let now: number
let host: Host
let asked: string[]
beforeEach(() => {
  now = Date.UTC(2026, 0, 1)
  asked = []
  host = createHost({
    clock: () => now,
    findOwner: async id => {
      asked.push(id)
      return Object.hasOwn(owners, id) ? { id, ...owners[id] } : null
    },
  })
})

const make = async (user: string, body: object = {}): Promise<{ id: string; key: string }> => {
  const answer = await host.by(user, 'POST', '/api-keys', { body: { name: 'ci', ...body } })
  return { id: text(answer, 'id'), key: text(answer, 'key') }
}
const transfer = (body: unknown, role = 'admin', given: Ask = {}) =>
  host.by('root', 'POST', '/api-keys/transfer', { ...given, body }, role)
const read = async (id: string) => members(await host.by('root', 'GET', `/api-keys/${id}`, {}, 'admin'))

describe('POST /api-keys/transfer', () => {
  test('the engineer who left: the keys work on, and belong to the service account', async () => {
    const old = await make('ann', { name: 'deploy', permissions: ['notes:read'] })
    const before = await read(old.id)
    now += 1_000
    const answer = await transfer({ from: 'usr_ann', to: 'cli_ci' })
    expect(answer.status).toBe(200)
    const key = { ...before, ownerId: 'cli_ci', updatedAt: new Date(now).toISOString() }
    // Who made it stays written.
    expect(key).toMatchObject({ createdBy: 'usr_ann' })
    expect(answer.json()).toEqual({ items: [key], remaining: 0 })
    expect(answer.text).not.toContain(old.key)
    expect(answer.text).not.toMatch(/hash|argon/i)
    expect((await host.with(old.key, 'GET', '/notes')).status).toBe(200)
    expect(members(await host.with(old.key, 'GET', '/whoami'))).toMatchObject({ ownerId: 'cli_ci' })
    expect((await host.by('ann', 'GET', `/api-keys/${old.id}`)).status).toBe(404)
    const listed = await host.by('root', 'GET', '/api-keys?owner=cli_ci', {}, 'admin')
    expect(members(listed).items).toHaveLength(1)
    const rotated = await host.by('root', 'POST', `/api-keys/${old.id}/rotate`, {}, 'admin')
    expect(members(rotated)).toMatchObject({ ownerId: 'cli_ci', createdBy: 'usr_ann' })
  })

  test('asks about the new owner only: the old one may be gone', async () => {
    await make('ghost')
    expect(members(await transfer({ from: 'usr_ghost', to: 'usr_bob' })).items).toHaveLength(1)
    expect(asked).toEqual(['usr_bob'])
  })

  test('an admin takes keys over within what their own token allows', async () => {
    const { id } = await make('ann', { permissions: ['notes:read'] })
    expect((await transfer({ from: 'usr_ann', to: 'usr_root' })).status).toBe(200)
    expect(await read(id)).toMatchObject({ ownerId: 'usr_root' })
    expect(asked).toEqual([])
  })

  test('moves the named ones, and says how many are left', async () => {
    const [one, two] = [await make('ann'), await make('ann')]
    const answer = await transfer({ from: 'usr_ann', to: 'cli_ci', keyIds: [two.id] })
    expect(members(answer)).toMatchObject({ items: [{ id: two.id }], remaining: 1 })
    expect(await read(one.id)).toMatchObject({ ownerId: 'usr_ann' })
  })

  test('KEY-16: is refused whole, by key and permission, where the new owner may not do what a key may', async () => {
    const good = await make('ann', { permissions: ['notes:read'] })
    const bad = await make('ann', { permissions: ['notes:read', 'notes:write'] })
    const answer = await transfer({ from: 'usr_ann', to: 'usr_reader' })
    expect(answer.status).toBe(422)
    expect(members(answer)).toMatchObject({
      code: 'permission_not_grantable',
      errors: [{ field: bad.id, rule: 'has notes:write, which the new owner may not do' }],
    })
    for (const { id } of [good, bad]) expect(await read(id)).toMatchObject({ ownerId: 'usr_ann' })
  })

  test('KEY-16: scopes that are no permissions here allow nothing', async () => {
    await make('ann', { permissions: ['notes:read'] })
    const answer = await transfer({ from: 'usr_ann', to: 'cli_odd' })
    expect([answer.status, members(answer).code]).toEqual([422, 'permission_not_grantable'])
  })

  test('KEY-12: keeps the limit of the new owner', async () => {
    const bob = Array.from({ length: 100 }, () => make('bob'))
    await Promise.all(bob)
    const { id } = await make('ann')
    const answer = await transfer({ from: 'usr_ann', to: 'usr_bob' })
    expect([answer.status, members(answer).code]).toEqual([409, 'api_key_limit_reached'])
    expect(await read(id)).toMatchObject({ ownerId: 'usr_ann' })
  })

  test.each([
    ['nobody', { to: 'usr_ghost' }, 422, 'owner_unknown', 'to'],
    ['the same owner', { to: 'usr_ann' }, 422, 'invalid_request', 'to'],
    ['no new owner', { to: undefined }, 422, 'invalid_request', 'to'],
    ['a new owner without a name', { to: '' }, 422, 'invalid_request', 'to'],
    ['an old one without a name', { from: '' }, 422, 'invalid_request', 'from'],
    ['a name that is too long', { to: 'x'.repeat(129) }, 422, 'invalid_request', 'to'],
    ['no keys', { keyIds: [] }, 422, 'invalid_request', 'keyIds'],
    ['keys that are none', { keyIds: 'key_1' }, 422, 'invalid_request', 'keyIds'],
    ['null', { keyIds: null }, 422, 'invalid_request', 'keyIds'],
    ['a key without a name', { keyIds: ['key_1', ''] }, 422, 'invalid_request', 'keyIds/1'],
    ['101 keys', { keyIds: Array(101).fill('key_1') }, 422, 'invalid_request', 'keyIds'],
    ['a key that is none of theirs', { keyIds: ['key_ghost'] }, 404, 'api_key_not_found', 'keyIds/0'],
  ] as const)(
    'HTTP-03: %s: names the field, and nothing is moved',
    async (_, changes, status, code, field) => {
      const { id } = await make('ann')
      const answer = await transfer({ from: 'usr_ann', to: 'cli_ci', ...changes })
      expect([answer.status, members(answer).code]).toEqual([status, code])
      expect(members(answer)).toMatchObject({ errors: [{ field }] })
      expect(await read(id)).toMatchObject({ ownerId: 'usr_ann' })
      expect(host.unexpected).toEqual([])
    },
  )

  test('KEY-07: is for admins: others neither give keys away nor take them, and nobody is asked about', async () => {
    const store = internalsOf(host.auth).store()
    const moved = spyOn(store, 'transfer')
    const mine = text(await host.by('root', 'POST', '/api-keys', { body: { name: 'mine' } }), 'id')
    for (const body of [
      { from: 'usr_ann', to: 'usr_root' },
      { from: 'usr_root', to: 'usr_bob' },
      { from: 'usr_root', to: 'usr_bob', keyIds: [mine] },
      { from: 'usr_root', to: 'usr_root' },
    ]) {
      const answer = await transfer(body, 'user')
      expect([answer.status, members(answer).code]).toEqual([403, 'insufficient_permission'])
      expect(answer.headers.get('www-authenticate')).toBe(
        'Bearer error="insufficient_scope", scope="api-keys:manage"',
      )
    }
    expect(moved).not.toHaveBeenCalled()
    expect(asked).toEqual([])
    moved.mockRestore()
  })
})

describe('a key that is given away while it is changed', () => {
  const racing = async (act: (id: string) => Promise<{ status: number }>): Promise<number> => {
    const { id } = await make('bob')
    const store = internalsOf(host.auth).store()
    const find = store.find.bind(store)
    const spy = spyOn(store, 'find').mockImplementation(async (...args) => {
      const found = await find(...args)
      spy.mockRestore()
      expect((await transfer({ from: 'usr_bob', to: 'usr_reader' })).status).toBe(200)
      return found
    })
    const { status } = await act(id)
    const key = await read(id)
    expect(key).toMatchObject({ ownerId: 'usr_reader', permissions: [], rotatedTo: null })
    return status
  }

  test('KEY-16: gets no permission that only the owner of before may have', async () => {
    const body = { permissions: ['notes:write'] }
    expect(await racing(id => host.by('root', 'PATCH', `/api-keys/${id}`, { body }, 'admin'))).toBe(404)
  })

  test('KEY-16: nor a new text for somebody that nobody asked about', async () => {
    expect(await racing(id => host.by('root', 'POST', `/api-keys/${id}/rotate`, {}, 'admin'))).toBe(404)
  })
})

describe('a service account as owner', () => {
  test('has the keys that an admin makes for it, within its scopes; who made them is kept', async () => {
    const body = { name: 'deploy', ownerId: 'cli_ci', permissions: ['notes:write'] }
    const answer = await host.by('root', 'POST', '/api-keys', { body }, 'admin')
    expect(answer.status).toBe(201)
    expect(members(answer)).toMatchObject({ ownerId: 'cli_ci', createdBy: 'usr_root' })
    const beyond = await host.by(
      'root',
      'POST',
      '/api-keys',
      { body: { ...body, permissions: ['notes:delete'] } },
      'admin',
    )
    expect([beyond.status, members(beyond).code]).toEqual([422, 'permission_not_grantable'])
    expect((await host.by('ann', 'POST', '/api-keys', { body })).status).toBe(403)
  })
})

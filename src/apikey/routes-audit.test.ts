import { beforeEach, describe, expect, test } from 'bun:test'
import type { Answer } from '../lib/test-http.ts'
import { createHost, type Host, members, text } from './test-host.ts'

let now: number
let host: Host
beforeEach(() => {
  now = Date.UTC(2026, 0, 1)
  host = createHost({ clock: () => now, findOwner: async id => ({ id, roles: ['user'] }) })
})

const iso = (milliseconds: number): string => new Date(milliseconds).toISOString()
const make = async (user: string, body: object = {}): Promise<{ id: string; key: string }> => {
  now += 1_000
  const answer = await host.by(user, 'POST', '/api-keys', { body: { name: 'ci', ...body } })
  return { id: text(answer, 'id'), key: text(answer, 'key') }
}
const audit = (user: string, query = '', role = 'user'): Promise<Answer> =>
  host.by(user, 'GET', `/api-keys/audit?${query}`, {}, role)
const itemsOf = (answer: Answer): Record<string, unknown>[] => {
  expect(answer.status).toBe(200)
  const { items } = members(answer)
  return Array.isArray(items) ? items : []
}
const told = async (user: string, query = '', role = 'user'): Promise<string[]> =>
  itemsOf(await audit(user, query, role)).map(({ action, keyId }) => `${action} ${keyId}`)
const act = async (
  user: string,
  method: string,
  path: string,
  body?: object,
  role = 'user',
): Promise<Answer> => {
  now += 1_000
  return host.by(user, method, path, body === undefined ? {} : { body }, role)
}

describe('GET /api-keys/audit', () => {
  test('LOG-01: tells of each action who, what, before and after, and the request, the last first', async () => {
    const { id, key } = await make('ann', { permissions: ['notes:read'] })
    await act('ann', 'PATCH', `/api-keys/${id}`, { name: 'build', expiresAt: iso(now + 86_400_000) })
    const next = await act('ann', 'POST', `/api-keys/${id}/rotate`, { graceSeconds: 60 })
    const rotatedAt = now
    const expiresAt = text(next, 'expiresAt')
    await act('ann', 'DELETE', `/api-keys/${text(next, 'id')}`)
    const answer = await audit('ann')
    const rows = itemsOf(answer)
    expect(rows.map(({ sequence }) => sequence)).toEqual(
      rows.map(({ sequence }) => Number(sequence)).toSorted((a, b) => b - a),
    )
    for (const row of rows) {
      expect(Object.keys(row)).toEqual([
        'sequence',
        'at',
        'action',
        'actorId',
        'keyId',
        'before',
        'after',
        'detail',
        'address',
        'requestId',
      ])
      expect(row).toMatchObject({ actorId: 'usr_ann', requestId: expect.stringMatching(/./) })
    }
    expect(rows).toMatchObject([
      { action: 'api_key.revoked', keyId: text(next, 'id'), at: iso(now) },
      {
        action: 'api_key.rotated',
        keyId: id,
        before: { expiresAt },
        after: { expiresAt: iso(rotatedAt + 60_000), rotatedTo: text(next, 'id') },
      },
      {
        action: 'api_key.created',
        keyId: text(next, 'id'),
        detail: { name: 'build', ownerId: 'usr_ann', permissions: ['notes:read'], rotatedFrom: id },
      },
      {
        action: 'api_key.changed',
        keyId: id,
        before: { name: 'ci', expiresAt: null },
        after: { name: 'build', expiresAt },
      },
      { action: 'api_key.created', keyId: id, detail: { name: 'ci', expiresAt: null } },
    ])
    // Only what changed.
    expect(Object.keys(Object(rows[3]?.before)).toSorted()).toEqual(['expiresAt', 'name'])
    for (const secret of [key.slice(24), text(next, 'key').slice(24), 'argon', 'hash']) {
      expect(answer.text).not.toContain(secret)
    }
  })

  test('KEY-06: tells a user what happened to keys while they were theirs, and nothing else', async () => {
    const { id } = await make('ann')
    const own = await make('bob')
    await act('ann', 'PATCH', `/api-keys/${id}`, { name: 'of ann' })
    await act('root', 'PATCH', `/api-keys/${id}`, { name: 'of root' }, 'admin')
    await act('root', 'POST', '/api-keys/transfer', { from: 'usr_ann', to: 'usr_bob', keyIds: [id] }, 'admin')
    await act('bob', 'PATCH', `/api-keys/${id}`, { name: 'of bob' })
    await act('bob', 'DELETE', `/api-keys/${id}`)
    const ofAnn = ['transferred', 'changed', 'changed', 'created'].map(action => `api_key.${action} ${id}`)
    expect(await told('ann')).toEqual(ofAnn)
    expect(await told('ann', `key=${id}`)).toEqual(ofAnn)
    const ofBob = [`api_key.revoked ${id}`, `api_key.changed ${id}`]
    expect(await told('bob')).toEqual([...ofBob, `api_key.created ${own.id}`])
    expect(await told('bob', `key=${id}`)).toEqual(ofBob)
    expect(await told('eve')).toEqual([])
    expect(await told('eve', `key=${id}`)).toEqual([])
    expect(await told('eve', 'actor=usr_ann')).toEqual([])
    expect(await told('ann', 'actor=usr_bob')).toEqual([])
    // What she once did as an admin is no longer hers to read.
    expect(await told('root')).toEqual([])
    expect(await told('root', `key=${id}`, 'admin')).toEqual([...ofBob, ...ofAnn])
    expect(await told('root', '', 'admin')).toHaveLength(7)
  })

  test('from where somebody else came only admins learn', async () => {
    const { id } = await make('ann')
    await act('root', 'PATCH', `/api-keys/${id}`, { name: 'other' }, 'admin')
    expect(itemsOf(await audit('ann'))).toMatchObject([
      { actorId: 'usr_root', requestId: null, address: null },
      { actorId: 'usr_ann', requestId: expect.any(String) },
    ])
    expect(itemsOf(await audit('root', '', 'admin'))).toMatchObject([
      { actorId: 'usr_root', requestId: expect.any(String) },
      { actorId: 'usr_ann', requestId: expect.any(String) },
    ])
  })

  test('has what the filters say, together', async () => {
    const one = await make('ann')
    const two = await make('bob')
    const between = now
    await act('root', 'PATCH', `/api-keys/${one.id}`, { enabled: false }, 'admin')
    await act('bob', 'DELETE', `/api-keys/${two.id}`)
    const [made, other] = [`api_key.created ${one.id}`, `api_key.created ${two.id}`]
    const [changed, revoked] = [`api_key.changed ${one.id}`, `api_key.revoked ${two.id}`]
    for (const [query, expected] of [
      ['', [revoked, changed, other, made]],
      ['action=api_key.created', [other, made]],
      ['actor=usr_bob', [revoked, other]],
      ['actor=usr_bob&action=api_key.revoked', [revoked]],
      [`key=${one.id}`, [changed, made]],
      [`key=${one.id}&actor=usr_bob`, []],
      [`since=${iso(between)}`, [revoked, changed, other]],
      [`until=${iso(between)}`, [made]],
      [`since=${iso(between)}&until=${iso(between + 1)}`, [other]],
      ['key=nonsense', []],
      ['action=no.such', []],
    ] as const) {
      expect([query, await told('root', query, 'admin')]).toEqual([query, [...expected]])
    }
  })

  test('KEY-12: pages hold it once, while more is written, and a cursor is good for its own filters', async () => {
    for (let index = 0; index < 7; index += 1) await make(index % 2 === 0 ? 'ann' : 'bob')
    const whole = await told('root', '', 'admin')
    const seen: string[] = []
    let cursor = ''
    do {
      const answer = await audit('root', `limit=2${cursor}`, 'admin')
      seen.push(...itemsOf(answer).map(({ action, keyId }) => `${action} ${keyId}`))
      const next = text(answer, 'nextCursor')
      if (cursor === '') {
        for (const [user, query, role] of [
          ['root', 'actor=usr_ann', 'admin'],
          ['ann', '', 'user'],
          ['bob', '', 'user'],
        ] as const) {
          const refused = await audit(user, `${query}&cursor=${next}`, role)
          expect([refused.status, members(refused).code]).toEqual([422, 'cursor_invalid'])
        }
      }
      cursor = next === '' ? '' : `&cursor=${next}`
      await make('eve')
    } while (cursor !== '')
    expect(seen).toEqual(whole)
  })

  test.each([
    'limit=0',
    'limit=201',
    'key=',
    `key=${'x'.repeat(65)}`,
    'actor=',
    `actor=${'x'.repeat(129)}`,
    'action=',
    'action=created',
    'action=api_key.*',
    'since=',
    'since=2026-01-01',
    'until=2026-02-30T00:00:00Z',
    `cursor=${'x'.repeat(257)}`,
  ])('HTTP-02: %s is refused by the field', async query => {
    const answer = await audit('ann', query)
    const { code, errors } = members(answer)
    expect([answer.status, code]).toEqual([422, 'invalid_request'])
    expect(errors).toMatchObject([{ field: query.replace(/=.*/, '') }])
  })

  test('is its own route: neither is it a key, nor is a key it', async () => {
    const { id } = await make('ann')
    expect(Array.isArray(members(await act('ann', 'GET', '/api-keys/audit')).items)).toBe(true)
    expect(members(await act('ann', 'GET', `/api-keys/${id}`))).toMatchObject({ id })
    expect((await act('ann', 'DELETE', '/api-keys/audit')).status).toBe(404)
    expect((await act('ann', 'GET', '/api-keys/audit/usage')).status).toBe(404)
    expect((await act('ann', 'GET', '/api-keys/find')).status).toBe(404)
  })
})

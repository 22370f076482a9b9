import { beforeEach, describe, expect, test } from 'bun:test'
import type { Answer } from '../lib/test-http.ts'
import { internalsOf } from './internals.ts'
import { createHost, type Host, members, text } from './test-host.ts'
import { formatKey, generateKey } from './token.ts'

let now: number
let host: Host
beforeEach(() => {
  now = Date.UTC(2026, 0, 1)
  host = createHost({
    clock: () => now,
    findOwner: async id => ({ id, roles: ['user'] }),
  })
})

const iso = (milliseconds: number): string => new Date(milliseconds).toISOString()
type Made = { id: string; key: string }
const make = async (user: string, body: object = {}): Promise<Made> => {
  now += 1
  const answer = await host.by(user, 'POST', '/api-keys', { body: { name: 'ci', ...body } })
  return { id: text(answer, 'id'), key: text(answer, 'key') }
}
const list = (user: string, query: string, role = 'user'): Promise<Answer> =>
  host.by(user, 'GET', `/api-keys?${query}`, {}, role)
const itemsOf = (answer: Answer): Record<string, unknown>[] => {
  const { items } = members(answer)
  return Array.isArray(items) ? items : []
}
const idsOf = (answer: Answer): unknown[] => itemsOf(answer).map(({ id }) => id)
const problemOf = (answer: Answer): unknown[] => {
  const { code, errors } = members(answer)
  const fields = Array.isArray(errors) ? errors.map(({ field }) => field) : []
  return [answer.status, code, ...fields]
}
const listed = async (): Promise<Record<string, unknown>[]> =>
  itemsOf(await host.by('root', 'GET', '/api-keys/audit?action=api_key.listed', {}, 'admin'))

describe('GET /api-keys with filters', () => {
  test('KEY-12: lists what all of them say, the revoked ones only where they are asked for', async () => {
    const plain = await make('ann', { name: 'Build' })
    const reader = await make('ann', { name: 'build reader', permissions: ['notes:read'] })
    const ending = await make('ann', { name: 'deploy', expiresAt: iso(now + 60_000) })
    const revoked = await make('ann')
    await host.by('ann', 'DELETE', `/api-keys/${revoked.id}`)
    now += 1_000
    await host.with(reader.key, 'GET', '/whoami')
    for (const [query, expected] of [
      ['', [plain, reader, ending]],
      ['status=all', [plain, reader, ending, revoked]],
      ['status=revoked', [revoked]],
      ['name=BUILD', [plain, reader]],
      ['name=%25', []],
      ['permission=notes:read', [reader]],
      ['permission=notes:write', []],
      [`expiringBefore=${iso(now + 60_000)}`, [ending]],
      [`expiringBefore=${iso(now)}`, []],
      ['neverUsed=true', [plain, ending]],
      [`unusedSince=${iso(now)}`, [plain, ending]],
      [`unusedSince=${iso(now + 1)}`, [plain, reader, ending]],
      ['name=build&neverUsed=true', [plain]],
    ] as const) {
      const answer = await list('ann', query)
      expect([query, answer.status, idsOf(answer)]).toEqual([query, 200, expected.map(({ id }) => id)])
    }
    now += 120_000
    expect(idsOf(await list('ann', 'status=expired'))).toEqual([ending.id])
    expect(itemsOf(await list('ann', 'status=revoked'))).toMatchObject([{ revokedAt: iso(now - 121_000) }])
    expect(await listed()).toEqual([])
  })

  test.each([
    'status=',
    'status=gone',
    'name=',
    `name=${'x'.repeat(101)}`,
    'name=%00',
    'name=a%0Ab',
    'permission=',
    'permission=notes',
    'permission=notes:read:all',
    'permission=Notes:read',
    'expiringBefore=tomorrow',
    'expiringBefore=2026-02-30T00:00:00Z',
    'neverUsed=false',
    'neverUsed=',
    'neverUsed=1',
    'unusedSince=2026-01-01',
    'unusedSince=2026-02-30T00:00:00Z',
    'owner=',
  ])('HTTP-04: %s is refused by the name of the field', async query => {
    await make('ann')
    expect(problemOf(await list('ann', query))).toEqual([422, 'invalid_request', query.replace(/=.*/, '')])
    expect(host.unexpected).toEqual([])
  })

  test('LOG-02: the text of a key is no name to look for, and stands in no answer and no row', async () => {
    const { key } = await make('ann')
    const answer = await list('root', `owner=*&name=${key}`, 'admin')
    expect(problemOf(answer)).toEqual([422, 'invalid_request', 'name'])
    expect(answer.text).not.toContain(key.slice(24))
    expect(await listed()).toEqual([])
  })

  test('HTTP-04: repetition and odd names make no other list', async () => {
    await make('ann')
    await make('bob')
    const plain = (await list('ann', '')).text
    for (const query of ['Status=revoked', 'status[]=revoked', 'nonsense=1', '__proto__[status]=all']) {
      expect((await list('ann', query)).text).toBe(plain)
    }
    // Of one name the last counts, for what is allowed as for what is listed.
    for (const [query, last] of [
      ['name=ci&name=xx', 'name=xx'],
      ['status=all&status=disabled', 'status=disabled'],
      ['owner=*&owner=usr_ann', 'owner=usr_ann'],
    ] as const) {
      expect((await list('ann', query)).text).toBe((await list('ann', last)).text)
    }
    expect(problemOf(await list('ann', 'owner=usr_ann&owner=*'))).toEqual([403, 'insufficient_permission'])
  })

  test('a cursor is good for its own filters and owner alone', async () => {
    for (let index = 0; index < 4; index += 1) await make('ann')
    for (let index = 0; index < 4; index += 1) await make('bob')
    const cursor = text(await list('ann', 'limit=1&name=ci'), 'nextCursor')
    expect(cursor).not.toBe('')
    expect((await list('ann', `name=ci&cursor=${cursor}`)).status).toBe(200)
    expect(idsOf(await list('ann', `name=ci&owner=usr_ann&limit=2&cursor=${cursor}`))).toHaveLength(2)
    for (const [user, query, role] of [
      ['ann', ''],
      ['ann', 'name=CI'],
      ['ann', 'name=ci&neverUsed=true'],
      ['ann', 'name=ci&status=all'],
      ['bob', 'name=ci'],
      ['root', 'name=ci&owner=*', 'admin'],
    ] as const) {
      const answer = await list(user, `${query}&cursor=${cursor}`, role)
      expect([query, ...problemOf(answer)]).toEqual([query, 422, 'cursor_invalid', 'cursor'])
    }
    const [place = '', mark = ''] = cursor.split('.')
    for (const bad of [place, `${place}.`, `.${mark}`, `${cursor}.x`, `x.${mark}`, mark, '.', '..']) {
      expect(problemOf(await list('ann', `name=ci&cursor=${bad}`))).toEqual([422, 'cursor_invalid', 'cursor'])
    }
  })
})

describe('GET /api-keys?owner=*', () => {
  test('lists the keys of everybody, to admins, page by page', async () => {
    const ids: string[] = []
    for (const user of ['ann', 'bob', 'ann', 'eve']) ids.push((await make(user)).id)
    const seen: unknown[] = []
    let cursor = ''
    do {
      const answer = await list('root', `owner=*&limit=3${cursor}`, 'admin')
      seen.push(...idsOf(answer))
      const next = text(answer, 'nextCursor')
      cursor = next === '' ? '' : `&cursor=${next}`
    } while (cursor !== '')
    expect(seen).toEqual(ids)
  })

  test('KEY-07: is refused to anybody else, and leaves no trace', async () => {
    await make('bob')
    const lists = internalsOf(host.auth).store()
    const { list: original } = lists
    let ran = 0
    Object.assign(lists, {
      list: (...given: Parameters<typeof original>) => {
        ran += 1
        return original(...given)
      },
    })
    for (const owner of ['*', 'usr_bob', '%2A']) {
      const answer = await list('ann', `owner=${owner}`)
      expect(problemOf(answer)).toEqual([403, 'insufficient_permission'])
      expect(answer.text).not.toContain('bob')
    }
    expect(ran).toBe(0)
    Object.assign(lists, { list: original })
    expect(await listed()).toEqual([])
  })

  test('LOG-01: that an admin reads the keys of others has a row a page, with the filters and who from where', async () => {
    await make('bob')
    await list('root', `owner=*&name=ci&expiringBefore=${iso(now)}`, 'admin')
    await list('root', 'owner=usr_bob', 'admin')
    await list('root', 'owner=usr_root', 'admin')
    await list('root', '', 'admin')
    await list('root', 'owner=*&limit=0', 'admin')
    const rows = await listed()
    expect(rows).toMatchObject([
      { actorId: 'usr_root', keyId: null, detail: { filters: { owner: 'usr_bob' } } },
      { detail: { filters: { owner: '*', name: 'ci', expiringBefore: iso(now) } } },
    ])
    expect(rows).toHaveLength(2)
    expect(rows[0]?.requestId).toMatch(/./)
    // Whose keys were read is the business of admins.
    expect(itemsOf(await host.by('bob', 'GET', '/api-keys/audit'))).toMatchObject([
      { action: 'api_key.created' },
    ])
  })
})

describe('POST /api-keys/find', () => {
  const find = (user: string, body: unknown, role = 'user'): Promise<Answer> =>
    host.by(user, 'POST', '/api-keys/find', { body }, role)

  test('tells which key a text is, to its owner and to admins, also of one that is revoked', async () => {
    const { id, key } = await make('ann')
    for (const [user, role] of [['ann'], ['root', 'admin']] as const) {
      const answer = await find(user, { key }, role)
      expect([answer.status, members(answer).id]).toEqual([200, id])
      expect(answer.text).not.toContain(key.slice(24))
      expect(answer.text).not.toMatch(/hash|argon/i)
      expect(answer.headers.get('cache-control')).toBe('no-store')
    }
    expect((await find('ann', { key })).text).toBe((await host.by('ann', 'GET', `/api-keys/${id}`)).text)
    await host.by('ann', 'DELETE', `/api-keys/${id}`)
    expect(members(await find('ann', { key }))).toMatchObject({ id, revokedAt: iso(now) })
    expect(members(await find('root', { key }, 'admin'))).toMatchObject({ id, revokedAt: iso(now) })
  })

  test('KEY-06: says of the key of another what it says of none', async () => {
    const { key } = await make('ann')
    const others = members(await find('bob', { key }))
    const none = members(await find('bob', { key: formatKey(generateKey('lk')) }))
    expect([others.status, others.code]).toEqual([404, 'api_key_not_found'])
    expect({ ...others, requestId: '' }).toEqual({ ...none, requestId: '' })
  })

  test('looks at the id alone, and says nothing of the secret', async () => {
    const { id, key } = await make('ann')
    const { prefix, id: own } = { prefix: 'lk', id: id.slice(4) }
    const forged = formatKey({ prefix, id: own, secret: 'A'.repeat(43) })
    const before = await find('ann', { key })
    expect((await find('ann', { key: forged })).text).toBe(before.text)
    // Nobody used it: no note, no row.
    await internalsOf(host.auth).usage().flush()
    expect(members(await find('ann', { key }))).toMatchObject({ lastUsedAt: null })
  })

  test.each([
    [{ key: '' }, 'key'],
    [{ key: 'lk_x' }, 'key'],
    [{ key: `lk_${'A'.repeat(65)}` }, 'key'],
    [{ key: 'x'.repeat(129) }, 'key'],
    [{ key: 7 }, 'key'],
    [{}, 'key'],
    [{ key: 'lk_x', owner: 'usr_bob' }, 'owner'],
    [[], 'body'],
  ])('HTTP-02: %j is refused by the field, without a word of what was sent', async (body, field) => {
    const answer = await find('ann', body)
    expect(problemOf(answer)).toEqual([422, 'invalid_request', field])
    expect(answer.text).not.toMatch(/lk_|AAAA|xxxx|usr_bob/)
  })

  test('a typo is no key: its checksum tells', async () => {
    const { key } = await make('ann')
    const typo = key.slice(0, -8) + (key.at(-8) === 'a' ? 'b' : 'a') + key.slice(-7)
    expect(problemOf(await find('ann', { key: typo }))).toEqual([422, 'invalid_request', 'key'])
  })
})

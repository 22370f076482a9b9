import { beforeEach, describe, expect, spyOn, test } from 'bun:test'
import { Failure } from '../lib/failure.ts'
import { internalsOf } from './internals.ts'
import { createHost, type Host, members, text } from './test-host.ts'

let now: number
let host: Host
beforeEach(() => {
  now = Date.UTC(2026, 0, 1)
  host = createHost({ clock: () => now })
})

const iso = (milliseconds: number): string => new Date(milliseconds).toISOString()
const make = async (user: string): Promise<string> => {
  now += 1
  return text(await host.by(user, 'POST', '/api-keys', { body: { name: 'ci' } }), 'id')
}
const usage = () => internalsOf(host.auth).usage()
const list = (query: string, role = 'admin') => host.by('root', 'GET', `/api-keys?${query}`, {}, role)
const idsOf = (answer: Awaited<ReturnType<typeof list>>): unknown[] => {
  const { items } = members(answer)
  return Array.isArray(items) ? items.map(({ id }) => id) : []
}

describe('GET /api-keys?usedSince=', () => {
  test('tells what a disable would stop, with uses of this very moment', async () => {
    const [before, then, never] = [await make('ann'), await make('ann'), await make('ann')]
    await make('bob')
    usage().record(before, 'accepted', null)
    now += 1_000
    const since = iso(now)
    usage().record(then, 'accepted', null)
    const answer = await list(`owner=usr_ann&usedSince=${since}`)
    expect(answer.status).toBe(200)
    expect(idsOf(answer)).toEqual([then])
    expect(members(answer).items).toMatchObject([{ lastUsedAt: since }])
    expect(idsOf(await list('owner=usr_ann'))).toEqual([before, then, never])
  })

  test('a key that was let in a moment ago is told, and one that was refused is not', async () => {
    const make = async () => {
      const answer = await host.by('ann', 'POST', '/api-keys', { body: { name: 'ci' } })
      return { id: text(answer, 'id'), key: text(answer, 'key') }
    }
    const [good, disabled] = [await make(), await make()]
    await host.by('ann', 'PATCH', `/api-keys/${disabled.id}`, { body: { enabled: false } })
    now += 1_000
    expect((await host.with(good.key, 'GET', '/whoami')).status).toBe(200)
    expect((await host.with(disabled.key, 'GET', '/whoami')).status).toBe(403)
    await host.by('ann', 'PATCH', `/api-keys/${disabled.id}`, { body: { enabled: true } })
    expect(idsOf(await list(`owner=usr_ann&usedSince=${iso(now)}`))).toEqual([good.id])
  })

  test('a time with an offset is the moment that it names, up to the millisecond', async () => {
    const id = await make('ann')
    now = Date.UTC(2026, 1, 1, 12)
    usage().record(id, 'accepted', null)
    for (const [time, isIn] of [
      ['2026-02-01T12:00:00Z', true],
      ['2026-02-01T12:00:00.000Z', true],
      ['2026-02-01T12:00:00.001Z', false],
      ['2026-02-01T13:00:00%2B01:00', true],
      ['2026-02-01T12:00:00-00:01', false],
      ['9999-12-31T23:59:59Z', false],
      ['0001-01-01T00:00:00Z', true],
    ] as const) {
      const answer = await list(`owner=usr_ann&usedSince=${time}`)
      expect([time, answer.status, idsOf(answer).length > 0]).toEqual([time, 200, isIn])
    }
  })

  test('KEY-12: goes by pages, and the filter holds on each', async () => {
    const used: string[] = []
    for (let index = 0; index < 9; index += 1) {
      const id = await make('ann')
      if (index % 2 === 0) used.push(id)
    }
    for (const id of used) usage().record(id, 'accepted', null)
    const seen: unknown[] = []
    let cursor = ''
    do {
      const page = await list(`owner=usr_ann&limit=2&usedSince=${iso(now)}${cursor}`)
      seen.push(...idsOf(page))
      const { nextCursor } = members(page)
      cursor = nextCursor === null ? '' : `&cursor=${nextCursor}`
    } while (cursor !== '')
    expect(seen).toEqual(used)
  })

  test('people ask about their own keys, and of others only admins do', async () => {
    const id = text(await host.by('root', 'POST', '/api-keys', { body: { name: 'ci' } }), 'id')
    usage().record(id, 'accepted', null)
    expect(idsOf(await list(`usedSince=${iso(now)}`, 'user'))).toEqual([id])
    expect((await list(`owner=usr_ann&usedSince=${iso(now)}`, 'user')).status).toBe(403)
  })

  test('is a 503 where the uses can not be written: an answer without them would be wrong', async () => {
    const spy = spyOn(usage(), 'flush')
    spy.mockImplementation(async () => {
      throw new Failure('unavailable')
    })
    const id = await make('ann')
    usage().record(id, 'accepted', null)
    const answer = await list(`owner=usr_ann&usedSince=${iso(now)}`)
    expect([answer.status, members(answer).code]).toEqual([503, 'unavailable'])
    expect((await list('owner=usr_ann')).status).toBe(200)
    spy.mockRestore()
    expect(idsOf(await list(`owner=usr_ann&usedSince=${iso(now)}`))).toEqual([id])
  })
})

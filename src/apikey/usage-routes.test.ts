import { beforeEach, describe, expect, spyOn, test } from 'bun:test'
import { Failure } from '../lib/failure.ts'
import type { Answer } from '../lib/test-http.ts'
import { internalsOf } from './internals.ts'
import { createHost, type Host, members, text } from './test-host.ts'
import { dayMilliseconds } from './usage-notes.ts'
import { usageOutcomes } from './usage-outcomes.ts'

let now: number
let host: Host
beforeEach(() => {
  now = Date.UTC(2026, 2, 10, 12)
  host = createHost({ clock: () => now })
})

const make = async (user = 'ann', role = 'user'): Promise<{ id: string; key: string }> => {
  const answer = await host.by(user, 'POST', '/api-keys', { body: { name: 'ci' } }, role)
  return { id: text(answer, 'id'), key: text(answer, 'key') }
}
const usage = () => internalsOf(host.auth).usage()
const read = (id: string, query = '', user = 'ann', role = 'user'): Promise<Answer> =>
  host.by(user, 'GET', `/api-keys/${id}/usage${query}`, {}, role)
const days = (answer: Answer): Record<string, unknown>[] => {
  const found = members(answer).days
  return Array.isArray(found) ? found : []
}
const iso = (milliseconds: number): string => new Date(milliseconds).toISOString()

describe('GET /api-keys/:id/usage', () => {
  test('tells each day up to this very moment, also those without use, and what it comes to', async () => {
    const { id } = await make()
    usage().record(id, 'accepted', '192.0.2.1')
    usage().record(id, 'api_key_expired', '192.0.2.9')
    await usage().flush()
    now += 2 * dayMilliseconds
    usage().record(id, 'accepted', '192.0.2.2')
    usage().record(id, 'accepted', '192.0.2.2')
    usage().record(id, 'insufficient_permission', '192.0.2.9')
    const answer = await read(id, '?days=4')
    expect(answer.status).toBe(200)
    expect(answer.json()).toEqual({
      keyId: id,
      from: '2026-03-09',
      to: '2026-03-12',
      lastUsedAt: iso(now),
      lastUsedAddress: '192.0.2.2',
      total: { accepted: 3, refused: { api_key_expired: 1, insufficient_permission: 1 } },
      days: [
        { day: '2026-03-09', accepted: 0, refused: {} },
        { day: '2026-03-10', accepted: 1, refused: { api_key_expired: 1 } },
        { day: '2026-03-11', accepted: 0, refused: {} },
        { day: '2026-03-12', accepted: 2, refused: { insufficient_permission: 1 } },
      ],
    })
    expect(members(await read(id, '?days=1'))).toMatchObject({
      from: '2026-03-12',
      total: { accepted: 2, refused: { insufficient_permission: 1 } },
    })
  })

  test('of a key that was never used is all zero, over 30 days', async () => {
    const { id } = await make()
    const answer = await read(id)
    expect(members(answer)).toMatchObject({
      from: '2026-02-09',
      to: '2026-03-10',
      lastUsedAt: null,
      lastUsedAddress: null,
      total: { accepted: 0, refused: {} },
    })
    expect(days(answer)).toHaveLength(30)
  })

  test('has every outcome by its name', async () => {
    const { id } = await make()
    for (const outcome of usageOutcomes) usage().record(id, outcome, null)
    const { accepted: _, ...refused } = Object.fromEntries(usageOutcomes.map(outcome => [outcome, 1]))
    expect(members(await read(id)).total).toEqual({ accepted: 1, refused })
  })

  test('counts the requests themselves', async () => {
    const { id, key } = await make()
    for (let index = 0; index < 3; index += 1) await host.with(key, 'GET', '/whoami')
    expect(members(await read(id)).total).toMatchObject({ accepted: 3 })
    expect(members(await host.by('ann', 'GET', `/api-keys/${id}`))).toMatchObject({ lastUsedAt: iso(now) })
  })

  test('goes back 400 days at most', async () => {
    const { id } = await make()
    expect(days(await read(id, '?days=400'))).toHaveLength(400)
    expect(days(await read(id, '?days=1'))).toHaveLength(1)
    for (const bad of ['0', '401', '-1', '1.5', 'all', '']) {
      const answer = await read(id, `?days=${bad}`)
      expect([bad, answer.status, members(answer).errors]).toMatchObject([bad, 422, [{ field: 'days' }]])
    }
  })

  test('any other query is answered, and with a name where it is refused', async () => {
    const { id } = await make()
    for (const query of [
      '?days=NaN',
      '?days=1e999',
      '?days=1&days=2',
      '?days[]=1',
      '?days=%00',
      '?days={}',
    ]) {
      const answer = await read(id, query)
      expect([query, answer.status === 200 || answer.status === 422]).toEqual([query, true])
      if (answer.status === 422)
        expect([query, answer.text]).toEqual([query, expect.stringContaining('days')])
    }
  })

  test('is there for a revoked key as well: somebody may still come with it', async () => {
    const { id, key } = await make()
    await host.with(key, 'GET', '/whoami')
    await host.by('ann', 'DELETE', `/api-keys/${id}`)
    usage().record(id, 'api_key_revoked', '192.0.2.9')
    expect((await host.by('ann', 'GET', `/api-keys/${id}`)).status).toBe(404)
    expect(members(await read(id)).total).toEqual({ accepted: 1, refused: { api_key_revoked: 1 } })
  })

  test('a key of somebody else is answered like one that never was, and only admins see it', async () => {
    const { id } = await make()
    usage().record(id, 'accepted', null)
    const flushed = spyOn(usage(), 'flushKey')
    const [theirs, none] = [await read(id, '', 'bob'), await read('key_0123456789abcdef', '', 'bob')]
    expect([theirs.status, members(theirs).code]).toEqual([404, 'api_key_not_found'])
    const { requestId: _, ...one } = members(theirs)
    const { requestId: __, ...other } = members(none)
    expect(one).toEqual(other)
    expect(flushed).not.toHaveBeenCalled()
    expect(members(await read(id, '', 'root', 'admin')).total).toMatchObject({ accepted: 1 })
  })

  test('takes access tokens alone', async () => {
    const { id, key } = await make()
    const flushed = spyOn(usage(), 'flushKey')
    const answer = await host.with(key, 'GET', `/api-keys/${id}/usage`)
    expect([answer.status, members(answer).code]).toEqual([403, 'jwt_required'])
    expect(flushed).not.toHaveBeenCalled()
  })

  test('is a 503 where the last uses can not be written: an answer without them would be wrong', async () => {
    const { id } = await make()
    usage().record(id, 'accepted', null)
    const spy = spyOn(usage(), 'flushKey')
    spy.mockImplementation(async () => {
      throw new Failure('unavailable')
    })
    const answer = await read(id)
    expect([answer.status, members(answer).code]).toEqual([503, 'unavailable'])
    spy.mockRestore()
    expect(members(await read(id)).total).toMatchObject({ accepted: 1 })
  })
})

import { beforeEach, describe, expect, test } from 'bun:test'
import type { Answer } from '../lib/test-http.ts'
import { type CreditsInput, toGrant } from './credit-model.ts'
import { internalsOf } from './internals.ts'
import { createHost, type Host, members, text } from './test-host.ts'
import { codeOf } from './test-store.ts'

let now: number
let host: Host
let id: string
let key: string
beforeEach(async () => {
  now = Date.UTC(2026, 2, 10, 12)
  host = createHost({ clock: () => now })
  const made = await host.by('ann', 'POST', '/api-keys', { body: { name: 'ci' } })
  id = text(made, 'id')
  key = text(made, 'key')
})

const change = (body: object, role = 'admin', user = 'root'): Promise<Answer> =>
  host.by(user, 'POST', `/api-keys/${id}/credits`, { body }, role)
const read = (user = 'ann', role = 'user'): Promise<Answer> =>
  host.by(user, 'GET', `/api-keys/${id}/credits`, {}, role)
const none = { remaining: null, refill: null, nextRefillAt: null }

describe('POST /api-keys/:id/credits', () => {
  test('sets, adds and subtracts, and answers with what there is then', async () => {
    expect(await read().then(members)).toEqual(none)
    const answer = await change({ set: 10 })
    expect([answer.status, answer.json()]).toEqual([200, { ...none, remaining: 10 }])
    expect(members(await change({ add: 5 }))).toEqual({ ...none, remaining: 15 })
    expect(members(await change({ subtract: 20 }))).toEqual({ ...none, remaining: 0 })
    expect(members(await change({ set: 1e12 }))).toMatchObject({ remaining: 1e12 })
    expect(members(await change({ set: 0 }))).toMatchObject({ remaining: 0 })
  })

  test('is for who may manage keys: an owner is refused, and nothing changes', async () => {
    const answer = await change({ set: 10 }, 'user', 'ann')
    expect([answer.status, members(answer).code]).toEqual([403, 'insufficient_permission'])
    expect(await read().then(members)).toEqual(none)
  })

  test('takes no key, not even one of an admin', async () => {
    const answer = await host.with(key, 'POST', `/api-keys/${id}/credits`, { body: { set: 10 } })
    expect([answer.status, members(answer).code]).toEqual([403, 'jwt_required'])
    expect(await read().then(members)).toEqual(none)
  })

  test.each([
    [{}, 'body', 'exactly one'],
    [{ set: 1, add: 1 }, 'body', 'exactly one'],
    [{ add: 1, subtract: 1 }, 'body', 'exactly one'],
    [{ set: -1 }, 'set', 'greater or equal to 0'],
    [{ set: 1e12 + 1 }, 'set', 'less or equal'],
    [{ set: 1.5 }, 'set', 'integer'],
    [{ set: '7' }, 'set', 'integer'],
    [{ set: null }, 'set', 'integer'],
    [{ add: 0 }, 'add', 'greater or equal to 1'],
    [{ subtract: 0 }, 'subtract', 'greater or equal to 1'],
    [{ add: 1e12 }, 'add', 'above 1000000000000'],
    [{ set: 1, remaining: 2 }, 'remaining', 'Unexpected'],
  ])('%o is a 422 that names what is wrong, and changes nothing', async (body, field, rule) => {
    await change({ set: 3 })
    const answer = await change(body)
    expect(answer.status).toBe(422)
    expect(members(answer)).toMatchObject({
      code: 'invalid_request',
      errors: [{ field, rule: expect.stringContaining(rule) }],
    })
    expect(await read().then(members)).toEqual({ ...none, remaining: 3 })
  })

  test('is a 409 where there is nothing to add to, and a 404 where there is no key', async () => {
    const answer = await change({ add: 1 })
    expect([answer.status, members(answer).code]).toEqual([409, 'api_key_unmetered'])
    id = 'key_0123456789abcdef'
    expect((await change({ set: 1 })).status).toBe(404)
  })
})

describe('GET /api-keys/:id/credits', () => {
  test('tells the owner and who may manage keys, and nobody else', async () => {
    await change({ set: 10 })
    expect(await read().then(members)).toMatchObject({ remaining: 10 })
    expect(await read('root', 'admin').then(members)).toMatchObject({ remaining: 10 })
    const answer = await read('bob')
    expect([answer.status, members(answer).code]).toEqual([404, 'api_key_not_found'])
  })

  test('tells the refill, with one that is due by now', async () => {
    const refill = { amount: 100, interval: 'monthly', dayOfMonth: 31 } as const
    await internalsOf(host.auth)
      .store()
      .changeCredits(
        id,
        'all',
        { grant: { remaining: 1, refill } },
        { actorId: null, requestId: null, address: null },
      )
    expect(await read().then(members)).toEqual({
      remaining: 1,
      refill,
      nextRefillAt: '2026-03-31T00:00:00.000Z',
    })
    now = Date.UTC(2026, 3, 1)
    expect(await read().then(members)).toEqual({
      remaining: 100,
      refill,
      nextRefillAt: '2026-04-30T00:00:00.000Z',
    })
  })
})

describe('credits in a body', () => {
  test('have the first of the month where none is named, and no day of a daily refill', async () => {
    const grant = (refill: NonNullable<NonNullable<CreditsInput>['refill']> | null) =>
      toGrant({ remaining: 5, refill })
    expect(toGrant(null)).toBeNull()
    expect(toGrant({ remaining: 5 })).toEqual({ remaining: 5, refill: null })
    expect(grant(null)).toEqual({ remaining: 5, refill: null })
    expect(grant({ amount: 1, interval: 'monthly' })?.refill?.dayOfMonth).toBe(1)
    expect(grant({ amount: 1, interval: 'monthly', dayOfMonth: 31 })?.refill?.dayOfMonth).toBe(31)
    expect(grant({ amount: 1, interval: 'daily' })?.refill?.dayOfMonth).toBeNull()
    const wrong = async () => grant({ amount: 1, interval: 'daily', dayOfMonth: 1 })
    expect(await codeOf(wrong())).toBe('invalid_request')
  })
})

import { describe, expect, test } from 'bun:test'
import { connect } from 'node:net'
import { bySystem } from '../lib/audit.ts'
import { ask } from '../lib/test-http.ts'
import { serve } from '../lib/test-serve.ts'
import type { FailureLimits } from './failures.ts'
import { internalsOf } from './internals.ts'
import { apikey } from './plugin.ts'
import { host, roles, shared } from './test-plugin.ts'
import { testAuth } from './testing.ts'
import { formatKey, generateKey, parseKey } from './token.ts'

const start = 1_800_000_000_000

/** An app on a clock that stands, for callers of `app.handle`, who have no address. */
const setUp = (failures: FailureLimits) => {
  const time = { now: start }
  const made = testAuth({ roles, clock: () => time.now, failures })
  const { app, ran } = host(made.auth, true)
  const send = (headers: Record<string, string> = {}, method = 'GET') =>
    ask(app, method, '/notes', { headers: { 'x-request-id': 'same', ...headers } })
  return { ...made, time, app, ran, send }
}

const unknownKey = (): string => formatKey(generateKey('lk'))
/** A key of the same id and another secret. */
const wrong = (text: string): string => {
  const parts = parseKey(text)
  if (parts === null) throw new Error('This is no key')
  return formatKey({ ...parts, secret: generateKey('lk').secret })
}

const told = ({ status, headers, text }: Awaited<ReturnType<typeof ask>>) => ({
  status,
  text,
  headers: [...headers].sort(),
})

describe('a caller that fails too often', () => {
  test('is answered 429 with when to try again, whatever else is wrong, and no handler runs', async () => {
    const { send, ran } = setUp({ perAddress: 4, perKey: null })
    const failing: [Record<string, string>, number][] = [
      [{}, 400],
      [{ authorization: 'Basic YTpi' }, 400],
      [{ authorization: 'Bearer x' }, 401],
      [{ 'x-api-key': unknownKey() }, 403],
    ]
    for (const [headers, status] of failing) expect((await send(headers)).status).toBe(status)
    for (const method of ['GET', 'POST']) {
      for (const [headers] of [...failing, [{ 'x-api-key': 'lk_x' }] as const]) {
        const answer = await send(headers, method)
        expect(told(answer)).toEqual({
          status: 429,
          text: JSON.stringify({
            type: 'urn:latchkey:problem:rate_limited',
            title: 'There were too many requests',
            status: 429,
            code: 'rate_limited',
            requestId: 'same',
          }),
          headers: [
            ['cache-control', 'no-store'],
            ['content-type', 'application/problem+json'],
            ['ratelimit', '"failures";r=0;t=65'],
            ['ratelimit-policy', '"failures";q=4;w=60'],
            ['retry-after', '65'],
            ['x-content-type-options', 'nosniff'],
            ['x-request-id', 'same'],
          ],
        })
      }
    }
    expect(ran).toEqual([])
  })

  test('is told why again after the time that Retry-After says, and not a second before', async () => {
    const { send, time } = setUp({ perAddress: 1 })
    await send()
    expect((await send()).headers.get('retry-after')).toBe('65')
    time.now += 64_000
    expect([(await send()).status, (await send()).headers.get('retry-after')]).toEqual([429, '1'])
    time.now += 1_000
    expect((await send()).status).toBe(400)
  })

  test('passes with a right credential all the while, cold and hot, and that counts as nothing', async () => {
    const { send, key, as, ran } = setUp({ perAddress: 1, perKey: 1 })
    const right = await key(['notes:read'])
    for (let count = 0; count < 5; count += 1) await send({ 'x-api-key': wrong(right['x-api-key'] ?? '') })
    expect((await send()).status).toBe(429)
    for (const headers of [right, await as('user')]) {
      for (const state of ['cold', 'hot', 'hot']) {
        expect([state, (await send(headers)).status]).toEqual([state, 200])
        expect((await send()).status).toBe(429)
      }
    }
    expect(ran).toHaveLength(6)
  })

  test('hears of a right credential what is the matter with it: revoked, without permission, expired', async () => {
    const { send, key, as, auth, time } = setUp({ perAddress: 1, perKey: 1 })
    const weak = await key([])
    const dead = await key(['notes:read'])
    const id = parseKey(dead['x-api-key'] ?? '')?.id ?? ''
    await internalsOf(auth).store().revoke(`key_${id}`, 'all', bySystem)
    const token = await as('user')
    for (const text of [weak, dead]) await send({ 'x-api-key': wrong(text['x-api-key'] ?? '') })
    expect((await send()).status).toBe(429)
    expect((await send(weak)).json()).toMatchObject({ code: 'insufficient_permission' })
    expect((await send(dead)).json()).toMatchObject({ code: 'api_key_revoked' })
    expect((await ask(host(auth).app, 'GET', '/people', { headers: weak })).json()).toMatchObject({
      code: 'jwt_required',
    })
    time.now += 400_000
    await send()
    expect((await send()).status).toBe(429)
    for (let count = 0; count < 3; count += 1) {
      expect((await send(token)).json()).toMatchObject({ status: 401, code: 'token_expired' })
    }
  })
})

describe('guesses at the secret of one key', () => {
  test('are answered like guesses at a key that never was, before the limit and beyond, to the byte', async () => {
    const limits = { perAddress: null, perKey: 3 }
    const of = async (text: string, send: ReturnType<typeof setUp>['send']) => {
      const answers: unknown[] = []
      for (let count = 0; count < 6; count += 1) answers.push(told(await send({ 'x-api-key': wrong(text) })))
      return answers
    }
    const { send, key } = setUp(limits)
    const known = await of((await key(['notes:read']))['x-api-key'] ?? '', send)
    const unknown = await of(unknownKey(), send)
    expect(known).toEqual(unknown)
    expect(known.map(answer => JSON.stringify(answer).includes('key-failures'))).toEqual([
      ...[false, false, false],
      ...[true, true, true],
    ])
  })

  test('are counted by the id alone: other keys, and malformed ones, are told why', async () => {
    const { send, key } = setUp({ perAddress: null, perKey: 1 })
    const text = (await key([]))['x-api-key'] ?? ''
    const statusOf = async (given: string) => (await send({ 'x-api-key': given })).status
    expect([await statusOf(wrong(text)), await statusOf(wrong(text))]).toEqual([403, 429])
    expect([await statusOf(`${text}0`), await statusOf(`${text}0`)]).toEqual([403, 403])
    expect(await statusOf(unknownKey())).toBe(403)
  })
})

/** Asks over a connection from one of the addresses of this machine, and answers with the status. */
const askFrom = (localAddress: string, port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress }, () => {
      socket.write('GET /notes HTTP/1.1\r\nHost: localhost\r\n\r\n')
    })
    socket.once('data', chunk => {
      socket.destroy()
      resolve(Number(String(chunk).split(' ')[1]))
    })
    socket.once('error', reject)
  })

describe('over a socket', () => {
  const setUpServer = () => {
    const made = testAuth({ roles, failures: { perAddress: 3 } })
    const { app, ran } = host(made.auth, true)
    return { ...made, app, ran, served: serve(app) }
  }

  test('the address of the connection is what counts, and no header has a word in it', async () => {
    const { served, key, as, ran, auth } = setUpServer()
    await using _ = served
    const send = async (headers: Record<string, string> = {}) =>
      (await fetch(`${served.url}/notes`, { headers })).status
    const statuses: number[] = []
    for (let count = 0; count < 5; count += 1) {
      const address = `198.51.100.${count}`
      const forwarded = { 'x-forwarded-for': address, forwarded: `for=${address}`, 'x-real-ip': address }
      statuses.push(await send(forwarded))
    }
    expect(statuses).toEqual([400, 400, 400, 429, 429])
    expect(ran).toEqual([])
    const right = await key(['notes:read'])
    for (const headers of [right, right, await as('user')]) expect(await send(headers)).toBe(200)
    expect(ran).toHaveLength(3)
    expect(internalsOf(auth).failures.throttled).toEqual({ address: 2, key: 0 })
  })

  test('two addresses are counted apart', async () => {
    const { served } = setUpServer()
    await using _ = served
    const statusesFrom = async (address: string): Promise<number[]> => {
      const statuses: number[] = []
      for (let count = 0; count < 4; count += 1) statuses.push(await askFrom(address, served.port))
      return statuses
    }
    expect(await statusesFrom('127.0.0.8')).toEqual([400, 400, 400, 429])
    expect(await statusesFrom('127.0.0.9')).toEqual([400, 400, 400, 429])
  })
})

test('limits that can not be counted stop before anything is built', () => {
  for (const limit of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 60_001]) {
    for (const name of ['perAddress', 'perKey']) {
      expect(() => apikey({ ...shared, database: ':memory:', failures: { [name]: limit } })).toThrow(
        `failures.${name}`,
      )
    }
  }
})

test('a plugin that is told nothing has limits', async () => {
  const { app } = host(apikey({ ...shared, database: ':memory:' }))
  const statuses = new Set<number>()
  for (let count = 0; count < 300; count += 1) statuses.add((await ask(app, 'GET', '/notes')).status)
  expect([...statuses]).toEqual([400])
  expect((await ask(app, 'GET', '/notes')).status).toBe(429)
})

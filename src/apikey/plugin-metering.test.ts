import { beforeEach, describe, expect, test } from 'bun:test'
import { Elysia, status, t } from 'elysia'
import { Failure } from '../lib/failure.ts'
import { ask } from '../lib/test-http.ts'
import { internalsOf } from './internals.ts'
import { problems } from './problems.ts'
import { apikeyRoutes } from './routes.ts'
import { type TestAuthOptions, testAuth } from './testing.ts'

const roles = { user: ['notes:read', 'notes:write'], admin: ['notes:*', 'api-keys:*'] } as const
type Options = Omit<TestAuthOptions<'notes:read' | 'notes:write' | 'notes:*' | 'api-keys:*'>, 'roles'>

let now: number
const start = Date.UTC(2026, 0, 1)
beforeEach(() => {
  now = start
})

const itemsOf = ({ body }: { body: unknown }): number =>
  typeof body === 'object' && body !== null && 'items' in body && Array.isArray(body.items)
    ? body.items.length
    : 0

const setUp = (options: Options = {}) => {
  const { auth, as } = testAuth({ clock: () => now, ...options, roles })
  const ran: string[] = []
  const done = (name: string): { ok: true } => {
    ran.push(name)
    return { ok: true }
  }
  const app = new Elysia()
    .use(problems({ onUnexpected: () => undefined }))
    .use(auth)
    .use(apikeyRoutes(auth))
    .get('/free', () => done('free'), { permission: 'notes:read' })
    .get('/zero', () => done('zero'), { permission: 'notes:read', cost: 0 })
    .get('/five', () => done('five'), { permission: 'notes:read', cost: 5 })
    .post('/each', ({ body }) => done(`each ${body.items.length}`), {
      permission: 'notes:write',
      cost: itemsOf,
      body: t.Object({ items: t.Array(t.String()) }),
    })
    .get('/bad-cost', () => done('bad-cost'), { permission: 'notes:read', cost: () => 0.5 })
    .get(
      '/throws',
      () => {
        ran.push('throws')
        throw new Error('broken')
      },
      { permission: 'notes:read', cost: 5 },
    )
    .get('/status', () => status(503, { code: 'busy' }), { permission: 'notes:read', cost: 5 })
    .get('/response', () => new Response('no', { status: 500 }), { permission: 'notes:read', cost: 5 })
    .get(
      '/set',
      ({ set }) => {
        set.status = 'Bad Gateway'
        return 'no'
      },
      { permission: 'notes:read', cost: 5 },
    )
    .get('/client-error', () => status(409, 'no'), { permission: 'notes:read', cost: 5 })
    .get('/checked', () => done('checked'), {
      permission: 'notes:read',
      cost: 5,
      check: () => {
        throw new Failure('invalid_request')
      },
    })
    .group('/group', { cost: 2 }, inner =>
      inner
        .get('/plain', () => done('plain'), { permission: 'notes:read' })
        .get('/more', () => done('more'), { permission: 'notes:read', cost: 3 }),
    )

  const by = async (method: string, path: string, body?: object, role: 'user' | 'admin' = 'admin') =>
    ask(app, method, path, { headers: await as(role, 'ann'), body })
  return {
    app,
    auth,
    ran,
    by,
    make: async (body: object = {}) => {
      const made = await by('POST', '/api-keys', {
        name: 'ci',
        permissions: ['notes:read', 'notes:write'],
        ...body,
      })
      const record = made.json()
      const member = (name: string): string =>
        typeof record === 'object' && record !== null
          ? String(Object.entries(record).find(([key]) => key === name)?.[1])
          : ''
      return { status: made.status, id: member('id'), key: member('key') }
    },
    use: (key: string, path: string, body?: object) =>
      ask(app, body === undefined ? 'GET' : 'POST', path, { headers: { 'x-api-key': key }, body }),
    balance: async (id: string) => (await by('GET', `/api-keys/${id}/credits`)).json(),
    settle: async () => {
      await Bun.sleep(1)
      await internalsOf(auth).ledger().flush()
    },
  }
}

const limit = (most: number, windowSeconds = 60, name = 'burst') => ({ name, limit: most, windowSeconds })

describe('limits', () => {
  test('the request after the last that is allowed is a 429 that says when, and runs no handler', async () => {
    const { make, use, ran } = setUp()
    const { key } = await make({ limits: [limit(2), limit(100, 3_600, 'hour')] })
    const first = await use(key, '/free')
    expect(first.status).toBe(200)
    expect(first.headers.get('ratelimit-policy')).toBe('"burst";q=2;w=60, "hour";q=100;w=3600')
    expect(first.headers.get('ratelimit')).toMatch(/^"burst";r=1;t=6[01], "hour";r=99;t=360[01]$/)
    now += 10_000
    expect((await use(key, '/free')).status).toBe(200)
    const refused = await use(key, '/free')
    expect(refused.status).toBe(429)
    expect(refused.json()).toMatchObject({ code: 'rate_limited', status: 429 })
    expect(refused.headers.get('retry-after')).toMatch(/^5[01]$/)
    expect(refused.headers.get('ratelimit')).toMatch(/^"burst";r=0;t=5[01], "hour";r=98;t=/)
    expect(ran).toEqual(['free', 'free'])
    now += 50_001
    expect((await use(key, '/free')).status).toBe(200)
    expect((await use(key, '/free')).status).toBe(429)
  })

  test('count on routes too that have the guard from a module alone', async () => {
    const { auth, as } = testAuth({ clock: () => now, defaultLimits: [limit(1)], roles })
    let runs = 0
    const app = new Elysia()
      .use(problems({ onUnexpected: () => undefined }))
      .use(apikeyRoutes(auth))
      .get('/free', () => ++runs, { permission: 'notes:read' })
      .get('/price', () => ++runs, { permission: 'notes:read', cost: 1 })
    const made = await ask(app, 'POST', '/api-keys', {
      headers: await as('admin', 'ann'),
      body: { name: 'ci', permissions: ['notes:read'] },
    })
    const headers = {
      'x-api-key': String(Object.entries(made.json() ?? {}).find(([key]) => key === 'key')?.[1]),
    }
    expect((await ask(app, 'GET', '/free', { headers })).status).toBe(200)
    expect((await ask(app, 'GET', '/free', { headers })).status).toBe(429)
    expect((await ask(app, 'GET', '/price', { headers })).status).toBe(429)
    expect(runs).toBe(1)
  })

  test('keys without limits have those of the service, which speak up when they are full', async () => {
    const { make, use } = setUp({ defaultLimits: [limit(1, 60, 'default')] })
    const { key } = await make()
    const first = await use(key, '/free')
    expect(first.status).toBe(200)
    expect(first.headers.get('ratelimit')).toBeNull()
    const refused = await use(key, '/free')
    expect(refused.status).toBe(429)
    expect(refused.headers.get('ratelimit-policy')).toBe('"default";q=1;w=60')
    expect((await use((await make()).key, '/free')).status).toBe(200)
  })

  test('out of the box a key is let in 6,000 times a minute', async () => {
    const { make, use } = setUp()
    const { key } = await make()
    for (let count = 0; count < 6_000; count += 1) await use(key, '/free')
    expect((await use(key, '/free')).status).toBe(429)
  })

  test('what was refused for another reason counts for nothing', async () => {
    const { make, use, by, ran } = setUp()
    const { id, key } = await make({
      limits: [limit(1)],
      permissions: ['notes:write'],
      credits: { remaining: 7 },
    })
    expect((await use(key, '/free')).status).toBe(403)
    expect((await use(key, '/each', { items: 'none' })).status).toBe(422)
    expect(
      (await use(key, '/each', { items: ['1', '2', '3', '4', '5', '6', '7', '8'] })).json(),
    ).toMatchObject({
      code: 'credits_exhausted',
    })
    await by('PATCH', `/api-keys/${id}`, { enabled: false })
    expect((await use(key, '/each', { items: [] })).status).toBe(403)
    await by('PATCH', `/api-keys/${id}`, { enabled: true })
    expect((await use(key, '/each', { items: ['1', '2', '3', '4', '5', '6', '7'] })).status).toBe(200)
    expect((await use(key, '/each', { items: [] })).status).toBe(429)
    expect(ran).toEqual(['each 7'])
  })

  test('a changed limit counts from the next request on, with what was let in before', async () => {
    const { make, use, by } = setUp()
    const { id, key } = await make({ limits: [limit(3)] })
    for (const expected of [200, 200]) expect((await use(key, '/free')).status).toBe(expected)
    await by('PATCH', `/api-keys/${id}`, { limits: [limit(2)] })
    expect((await use(key, '/free')).status).toBe(429)
    await by('PATCH', `/api-keys/${id}`, { limits: [limit(4)] })
    for (const expected of [200, 200, 429]) expect((await use(key, '/free')).status).toBe(expected)
  })

  test('a key and its successor share them: a rotation lets nobody in twice', async () => {
    const { make, use, by } = setUp()
    const { id, key } = await make({ limits: [limit(2)] })
    await use(key, '/free')
    const next = (await by('POST', `/api-keys/${id}/rotate`)).json()
    const text = typeof next === 'object' && next !== null && 'key' in next ? String(next.key) : ''
    expect((await use(text, '/free')).status).toBe(200)
    for (const either of [key, text]) expect((await use(either, '/free')).status).toBe(429)
  })

  test('people with tokens are not counted', async () => {
    const { by } = setUp({ defaultLimits: [limit(1)] })
    for (let count = 0; count < 3; count += 1) expect((await by('GET', '/five')).status).toBe(200)
  })
})

describe('credits', () => {
  test('are spent by what a route costs, and told with the answer', async () => {
    const { make, use, balance, ran } = setUp()
    const { id, key } = await make({ credits: { remaining: 9 } })
    const first = await use(key, '/five')
    expect(first.status).toBe(200)
    expect(first.headers.get('x-credits-remaining')).toBe('4')
    const refused = await use(key, '/five')
    expect(refused.status).toBe(429)
    expect(refused.json()).toMatchObject({
      code: 'credits_exhausted',
      detail: "needs 5 of the key's credits, and there are 4",
    })
    expect(refused.headers.get('retry-after')).toBeNull()
    expect(await balance(id)).toMatchObject({ remaining: 4 })
    expect(ran).toEqual(['five'])
  })

  test('Retry-After is the time to the refill, where that will do', async () => {
    const { make, use } = setUp()
    now = start + 3_600_000
    const { key } = await make({ credits: { remaining: 0, refill: { amount: 5, interval: 'daily' } } })
    expect((await use(key, '/five')).headers.get('retry-after')).toBe(String(23 * 3_600))
    expect(
      (await use(key, '/each', { items: ['1', '2', '3', '4', '5', '6'] })).headers.get('retry-after'),
    ).toBeNull()
    now = start + 86_400_000
    expect((await use(key, '/five')).status).toBe(200)
    expect((await use(key, '/five')).status).toBe(429)
  })

  test('a request that costs nothing passes at a balance of 0', async () => {
    const { make, use } = setUp()
    const { key } = await make({ credits: { remaining: 0 } })
    for (const path of ['/free', '/zero']) expect((await use(key, path)).status).toBe(200)
    expect((await use(key, '/each', { items: [] })).status).toBe(200)
    expect((await use(key, '/each', { items: ['1'] })).status).toBe(429)
  })

  test('are of no concern to keys without, and to tokens', async () => {
    const { make, use, by } = setUp()
    const { id, key } = await make()
    expect((await use(key, '/five')).headers.get('x-credits-remaining')).toBeNull()
    expect((await by('GET', '/five')).status).toBe(200)
    await by('PATCH', `/api-keys/${id}`, { credits: { remaining: 1 } })
    expect((await use(key, '/five')).status).toBe(429)
    await by('PATCH', `/api-keys/${id}`, { credits: null })
    expect((await use(key, '/five')).status).toBe(200)
  })

  test('only who manages keys gives them', async () => {
    const { by, make } = setUp()
    const body = { name: 'ci', credits: { remaining: 1_000_000 } }
    expect((await by('POST', '/api-keys', body, 'user')).status).toBe(403)
    const { id } = await make()
    expect((await by('PATCH', `/api-keys/${id}`, { credits: null }, 'user')).status).toBe(403)
    expect((await by('POST', `/api-keys/${id}/credits`, { set: 5 }, 'user')).status).toBe(403)
  })

  test.each(['/throws', '/status', '/response', '/set'])(
    '%s, which fails with 5xx, gives them back, once',
    async path => {
      const { make, use, balance, settle } = setUp()
      const { id, key } = await make({ credits: { remaining: 12 } })
      expect((await use(key, path)).status).toBeGreaterThanOrEqual(500)
      await settle()
      expect(await balance(id)).toMatchObject({ remaining: 12 })
      expect((await use(key, '/five')).status).toBe(200)
      await settle()
      expect(await balance(id)).toMatchObject({ remaining: 7 })
    },
  )

  test('any other answer keeps them', async () => {
    const { make, use, balance, settle } = setUp()
    const { id, key } = await make({ credits: { remaining: 12 } })
    expect((await use(key, '/client-error')).status).toBe(409)
    await settle()
    expect(await balance(id)).toMatchObject({ remaining: 7 })
  })

  test('a cost that is none is a fault of the app: nothing is taken, and the handler does not run', async () => {
    const { make, use, balance, ran, settle } = setUp()
    const { id, key } = await make({ credits: { remaining: 12 } })
    expect((await use(key, '/bad-cost')).status).toBe(500)
    await settle()
    expect(await balance(id)).toMatchObject({ remaining: 12 })
    expect(ran).toEqual([])
    for (const cost of [-1, 0.5, Number.NaN, 2 ** 60]) {
      expect(() =>
        new Elysia().use(testAuth({ roles }).auth).get('/', () => '', { permission: 'any', cost }),
      ).toThrow('cost takes a whole number')
    }
  })

  test('what a route refuses while it looks at the request is refused before it is paid for', async () => {
    const { make, use, balance, ran, settle } = setUp()
    const { id, key } = await make({ credits: { remaining: 12 }, limits: [limit(1)] })
    expect((await use(key, '/checked')).status).toBe(422)
    await settle()
    expect(await balance(id)).toMatchObject({ remaining: 12 })
    expect((await use(key, '/free')).status).toBe(200)
    expect(ran).toEqual(['free'])
  })

  test('what a group costs comes to what its routes do, and both are taken or none', async () => {
    const { make, use, balance, settle, ran } = setUp()
    const { id, key } = await make({ credits: { remaining: 8 }, limits: [limit(3)] })
    expect((await use(key, '/group/plain')).status).toBe(200)
    expect(await balance(id)).toMatchObject({ remaining: 6 })
    expect((await use(key, '/group/more')).status).toBe(200)
    expect(await balance(id)).toMatchObject({ remaining: 1 })
    expect((await use(key, '/group/more')).status).toBe(429)
    await settle()
    expect(await balance(id)).toMatchObject({ remaining: 1 })
    expect(ran).toEqual(['plain', 'more'])
  })

  test('are counted as refusals of the key where there are too few', async () => {
    const { make, use, by } = setUp()
    const { id, key } = await make({ credits: { remaining: 5 }, limits: [limit(2)] })
    for (const path of ['/five', '/five', '/free', '/free']) await use(key, path)
    expect((await by('GET', `/api-keys/${id}/usage`)).json()).toMatchObject({
      total: { accepted: 2, refused: { credits_exhausted: 1, rate_limited: 1 } },
    })
  })

  test('an event tells when the balance falls below a tenth, once', async () => {
    const told: unknown[] = []
    const { make, use } = setUp({
      onEvent: event => {
        if (event.type === 'api_key.credits_low') told.push(event.remaining)
      },
    })
    const { key } = await make({ credits: { remaining: 100 } })
    for (let count = 0; count < 20; count += 1) await use(key, '/five')
    await Bun.sleep(5)
    expect(told).toEqual([5])
  })
})

describe('a key that was replaced', () => {
  test('says so with every answer, since when and until when; its successor does not', async () => {
    const { make, use, by } = setUp()
    const { id, key } = await make()
    now += 1_500
    const next = (await by('POST', `/api-keys/${id}/rotate`, { graceSeconds: 3_600 })).json()
    const text = typeof next === 'object' && next !== null && 'key' in next ? String(next.key) : ''
    const answer = await use(key, '/free')
    expect(answer.status).toBe(200)
    expect(answer.headers.get('deprecation')).toBe(`@${start / 1_000 + 1}`)
    expect(answer.headers.get('sunset')).toBe('Thu, 01 Jan 2026 01:00:01 GMT')
    const fresh = await use(text, '/free')
    expect(fresh.headers.get('deprecation')).toBeNull()
    expect(fresh.headers.get('sunset')).toBeNull()
    now += 3_600_000
    expect((await use(key, '/free')).json()).toMatchObject({ code: 'api_key_expired' })
  })
})

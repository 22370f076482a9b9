import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { type Answer, type Ask, contractOf, expectAnswer, sent } from '../lib/test-http.ts'
import { createPeople, createTestLogin, type TestLogin } from './test-login.ts'
import { basic, sendForm, tokenOf } from './test-oauth.ts'

let login: TestLogin
let people: Awaited<ReturnType<typeof createPeople>>
beforeEach(async () => {
  login = createTestLogin()
  people = await createPeople(login)
})
afterEach(() => login.database.close())

const Made = Type.Object({ id: Type.String(), secret: Type.String(), updatedAt: Type.String() })
const send = (request: string, options: Ask = {}): Promise<Answer> => people.send(request, options)
const make = async (body: object = { name: 'Invoices', scopes: ['documents:read', 'changes:read'] }) => {
  const answer = await send('root POST /clients', { body })
  expect(answer.status).toBe(201)
  return Value.Parse(Made, answer.json())
}
const grant = { grant_type: 'client_credentials' }
const signsIn = async (id: string, secret: string): Promise<boolean> =>
  (await sendForm(login, '/oauth/token', grant, basic(id, secret))).status === 200
const clientAudit = () => login.audit().filter(({ action }) => action.startsWith('client.'))

describe('POST /clients', () => {
  test('makes a service account: 201, where it is, and its secret this once, kept by nobody', async () => {
    const answer = await send('root POST /clients', { body: { name: 'Invoices', scopes: ['b:b', 'a:a'] } })
    const { id, secret } = Value.Parse(Made, answer.json())
    expectAnswer(answer, {
      status: 201,
      headers: { location: `/clients/${id}`, 'cache-control': 'no-store' },
    })
    const at = new Date(login.time.now).toISOString()
    const view = {
      id: expect.stringMatching(/^cli_[0-9a-f]{32}$/),
      name: 'Invoices',
      scopes: ['a:a', 'b:b'],
      status: 'active',
      createdBy: people.ids.root,
      createdAt: at,
      updatedAt: at,
      secrets: [{ id: expect.stringMatching(/^sec_[0-9a-f]{32}$/), createdAt: at, expiresAt: null }],
    }
    expect(answer.json()).toEqual({ ...view, secret: expect.stringMatching(/^lcs_[A-Za-z0-9_-]{43}$/) })
    expect((await send(`root GET /clients/${id}`)).json()).toEqual(view)
    expect(await signsIn(id, secret)).toBe(true)
    for (const path of ['/clients', `/clients/${id}`]) {
      expectAnswer(await send(`root GET ${path}`), { status: 200, lacks: [secret, 'hash', 'argon2'] })
    }
    const kept =
      login.lines.join() + JSON.stringify(login.audit()) + login.database.serialize().toString('latin1')
    expect(kept).not.toContain(secret)
    expect(clientAudit()).toMatchObject([
      { action: 'client.created', actor_id: people.ids.root, subject_id: id },
    ])
  })

  const name = 'Invoices'
  const scopes: string[] = []
  test.each<[unknown, string]>([
    [{ name, scopes }, '201'],
    [{ name: 'é'.repeat(100), scopes: Array.from({ length: 32 }, (_, index) => `a${index}:b`) }, '201'],
    [{ scopes }, '422 invalid_request name'],
    [{ name }, '422 invalid_request scopes'],
    [{ name: '', scopes }, '422 invalid_request name'],
    [{ name: '  ', scopes }, '422 invalid_request name'],
    [{ name: 'x'.repeat(101), scopes }, '422 invalid_request name'],
    [{ name: 'a\nb', scopes }, '422 invalid_request name'],
    [{ name: 'a\u202eb', scopes }, '422 invalid_request name'],
    [{ name: 5, scopes }, '422 invalid_request name'],
    [{ name, scopes: 'a:b' }, '422 invalid_request scopes'],
    [{ name, scopes: ['a'] }, '422 invalid_request scopes/0'],
    [{ name, scopes: ['a:b', 'a:*'] }, '422 invalid_request scopes/1'],
    [{ name, scopes: ['*:*'] }, '422 invalid_request scopes/0'],
    [{ name, scopes: ['A:b'] }, '422 invalid_request scopes/0'],
    [{ name, scopes: ['a:b c:d'] }, '422 invalid_request scopes/0'],
    [{ name, scopes: ['a:b:c'] }, '422 invalid_request scopes/0'],
    [{ name, scopes: [`${'a'.repeat(41)}:b`] }, '422 invalid_request scopes/0'],
    [{ name, scopes: Array.from({ length: 33 }, (_, index) => `a${index}:b`) }, '422 invalid_request scopes'],
    [
      {
        name,
        scopes: Array.from({ length: 13 }, (_, index) => `a${index}${'x'.repeat(37)}:${'y'.repeat(40)}`),
      },
      '422 invalid_request scopes',
    ],
    [{ name, scopes, id: 'cli_mine' }, '422 invalid_request id'],
    [{ name, scopes, secret: 'mine' }, '422 invalid_request secret'],
    [{ name, scopes, status: 'active' }, '422 invalid_request status'],
    ['{"name":', '400 malformed_body'],
  ])('%j: %s', async (body, outcome) => {
    expectAnswer(await send('root POST /clients', sent(body)), contractOf(outcome))
    expect(clientAudit()).toHaveLength(outcome === '201' ? 1 : 0)
  })
})

describe('who may manage service accounts', () => {
  test('administrators alone: everybody else is refused, and nothing is done', async () => {
    const { id, secret } = await make()
    const token = await tokenOf(login, { headers: basic(id, secret) })
    const before = clientAudit().length
    for (const [method, path] of [
      ['GET', '/clients'],
      ['POST', '/clients'],
      ['GET', `/clients/${id}`],
      ['PATCH', `/clients/${id}`],
      ['DELETE', `/clients/${id}`],
      ['POST', `/clients/${id}/disable`],
      ['POST', `/clients/${id}/enable`],
      ['POST', `/clients/${id}/rotate`],
    ] as const) {
      const options = method === 'GET' ? {} : { body: { name: 'Mine', scopes: ['users:manage'] } }
      expectAnswer(await send(`ann ${method} ${path}`, options), contractOf('403 insufficient_permission'))
      const headers = { authorization: `Bearer ${token}` }
      expectAnswer(
        await login.send(method, path, { ...options, headers }),
        contractOf('403 insufficient_permission'),
      )
    }
    expect(clientAudit()).toHaveLength(before)
    expect(await signsIn(id, secret)).toBe(true)
  })
})

describe('GET /clients', () => {
  test('lists them oldest first, page by page, without those that were deleted', async () => {
    const made = [await make(), await make(), await make(), await make()]
    await send(`root DELETE /clients/${made[1]?.id}`)
    const Page = Type.Object({
      items: Type.Array(Type.Object({ id: Type.String() })),
      nextCursor: Type.Union([Type.String(), Type.Null()]),
    })
    const first = Value.Parse(Page, (await send('root GET /clients?limit=2')).json())
    const second = Value.Parse(
      Page,
      (await send(`root GET /clients?limit=2&cursor=${first.nextCursor}`)).json(),
    )
    expect([...first.items, ...second.items].map(({ id }) => id)).toEqual(
      [made[0], made[2], made[3]].map(each => each?.id ?? ''),
    )
    expect([first.items.length, second.nextCursor]).toEqual([2, null])
  })

  test.each([
    ['limit=0', '422 invalid_request limit'],
    ['limit=201', '422 invalid_request limit'],
    ['cursor=nonsense', '422 cursor_invalid cursor'],
  ])('?%s: %s', async (query, outcome) => {
    expectAnswer(await send(`root GET /clients?${query}`), contractOf(outcome))
  })
})

describe('PATCH /clients/:id', () => {
  test('changes what is there and keeps what is absent; a token loses what its client lost', async () => {
    const { id, secret } = await make()
    const token = await tokenOf(login, { headers: basic(id, secret) })
    const snapshot = () =>
      login.send('GET', '/changes/snapshot', { headers: { authorization: `Bearer ${token}` } })
    expectAnswer(await snapshot(), { status: 200 })
    const answer = await send(`root PATCH /clients/${id}`, { body: { scopes: ['documents:read'] } })
    expect(answer.json()).toMatchObject({ name: 'Invoices', scopes: ['documents:read'] })
    expectAnswer(await snapshot(), contractOf('403 insufficient_permission'))
    const renamed = await send(`root PATCH /clients/${id}`, { body: { name: 'Bills' } })
    expect(renamed.json()).toMatchObject({ name: 'Bills', scopes: ['documents:read'] })
    expect(renamed.text).not.toContain('secret"')
    expect((await send(`root PATCH /clients/${id}`, { body: {} })).status).toBe(200)
    expect(clientAudit().map(({ action }) => action)).toEqual([
      'client.created',
      'client.changed',
      'client.changed',
    ])
  })

  test.each([
    [{ name: null }, '422 invalid_request name'],
    [{ scopes: ['x'] }, '422 invalid_request scopes/0'],
    [{ status: 'disabled' }, '422 invalid_request status'],
  ])('%j: %s', async (body, outcome) => {
    const { id } = await make()
    expectAnswer(await send(`root PATCH /clients/${id}`, { body }), contractOf(outcome))
  })
})

describe('disable, enable and delete', () => {
  test('a disabled service account can not sign in, and can again when enabled', async () => {
    const { id, secret } = await make()
    const disabled = await send(`root POST /clients/${id}/disable`)
    expect([disabled.status, disabled.json()]).toMatchObject([200, { status: 'disabled' }])
    expect(await signsIn(id, secret)).toBe(false)
    const enabled = await send(`root POST /clients/${id}/enable`)
    expect([enabled.status, enabled.json()]).toMatchObject([200, { status: 'active' }])
    login.time.now += 1_000
    expect(await signsIn(id, secret)).toBe(true)
  })

  test('a deleted one is gone: 204, and 404 from then on', async () => {
    const { id, secret } = await make()
    expectAnswer(await send(`root DELETE /clients/${id}`), { status: 204 })
    expect(await signsIn(id, secret)).toBe(false)
    for (const request of [
      `GET /clients/${id}`,
      `PATCH /clients/${id}`,
      `DELETE /clients/${id}`,
      `POST /clients/${id}/disable`,
      `POST /clients/${id}/enable`,
      `POST /clients/${id}/rotate`,
      'GET /clients/cli_nobody',
      'GET /clients/..%2fusers',
    ]) {
      const options = request.startsWith('PATCH') ? { body: { name: 'x' } } : {}
      expectAnswer(await send(`root ${request}`, options), contractOf('404 client_not_found'))
    }
  })
})

describe('POST /clients/:id/rotate', () => {
  test('gives another secret, and the one before is good for a day when nobody says otherwise', async () => {
    const { id, secret } = await make()
    const answer = await send(`root POST /clients/${id}/rotate`)
    expectAnswer(answer, { status: 201, headers: { 'cache-control': 'no-store' } })
    const next = Value.Parse(Made, answer.json()).secret
    expect(answer.json()).toMatchObject({
      secrets: [{ expiresAt: new Date(login.time.now + 86_400_000).toISOString() }, { expiresAt: null }],
    })
    expect([await signsIn(id, secret), await signsIn(id, next)]).toEqual([true, true])
    login.time.now += 86_400_000
    expect([await signsIn(id, secret), await signsIn(id, next)]).toEqual([false, true])
  })

  test('with graceSeconds 0 ends the one before at once', async () => {
    const { id, secret } = await make()
    const answer = await send(`root POST /clients/${id}/rotate`, { body: { graceSeconds: 0 } })
    login.time.now += 1_000
    expect(await signsIn(id, secret)).toBe(false)
    expect(await signsIn(id, Value.Parse(Made, answer.json()).secret)).toBe(true)
  })

  test.each<[unknown, string]>([
    [{}, '201'],
    [{ graceSeconds: 2_592_000 }, '201'],
    [{ graceSeconds: 2_592_001 }, '422 invalid_request graceSeconds'],
    [{ graceSeconds: -1 }, '422 invalid_request graceSeconds'],
    [{ graceSeconds: 0.5 }, '422 invalid_request graceSeconds'],
    [{ graceSeconds: '60' }, '422 invalid_request graceSeconds'],
    [{ grace: 5 }, '422 invalid_request grace'],
  ])('%j: %s', async (body, outcome) => {
    const { id } = await make()
    expectAnswer(await send(`root POST /clients/${id}/rotate`, { body }), contractOf(outcome))
  })
})

import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { Value } from '@sinclair/typebox/value'
import { bySystem } from '../lib/audit.ts'
import { expectAnswer } from '../lib/test-http.ts'
import { UserList } from './model.ts'
import { createPeople, createTestLogin, password, type TestLogin } from './test-login.ts'

type People = Awaited<ReturnType<typeof createPeople>>
let login: TestLogin
let send: People['send']
let ids: People['ids']

beforeEach(async () => {
  login = createTestLogin()
  const people = await createPeople(login)
  send = people.send
  ids = people.ids
})
afterEach(() => login.database.close())

const newcomer = { email: 'new@example.com', password: 'a password of a newcomer' }
const id = (name: string): string => ids[name] ?? ''

describe('changing a user', () => {
  test('absent keeps, null clears, a value sets', async () => {
    const change = async (body: object) => {
      const answer = await send('root PATCH /users/{bob}', { body })
      expectAnswer(answer, { status: 200 })
      return answer.json()
    }
    const roles = ['support', 'user']
    expect(await change({ displayName: 'Bob' })).toMatchObject({ displayName: 'Bob', roles })
    expect(await change({ roles: ['user'] })).toMatchObject({ displayName: 'Bob', roles: ['user'] })
    expect(await change({})).toMatchObject({ displayName: 'Bob', roles: ['user'] })
    expect(await change({ displayName: null, roles: [] })).toMatchObject({ displayName: null, roles: [] })
  })

  test('what leaves everything as it was writes no audit row', async () => {
    const rows = login.audit().length
    expectAnswer(await send('root PATCH /users/{bob}', { body: {} }), { status: 200 })
    expectAnswer(await send('root POST /users/{bob}/enable'), { status: 200 })
    expectAnswer(await send('root PATCH /users/me', { body: { displayName: null } }), { status: 200 })
    expect(login.audit()).toHaveLength(rows)
  })

  test('who was made can sign in, who is disabled or deleted can not, and the address is free again', async () => {
    const made = await send('root POST /users', { body: newcomer })
    ids.new = made.headers.get('location')?.split('/').at(-1) ?? ''
    const signIn = async () => (await login.send('POST', '/auth/login', { body: newcomer })).status
    expect(await signIn()).toBe(200)
    await send('root POST /users/{new}/disable')
    expect(await signIn()).toBe(401)
    await send('root POST /users/{new}/enable')
    expect(await signIn()).toBe(200)
    await send('root DELETE /users/{new}')
    expect(await signIn()).toBe(401)
    const again = await send('root POST /users', { body: newcomer })
    expectAnswer(again, { status: 201, lacks: [id('new')] })
  })

  test('HTTP-08: the location of a user who was made leads to them', async () => {
    const made = await send('root POST /users', { body: newcomer })
    const read = await send(`root GET ${made.headers.get('location')}`)
    expect(read.json()).toEqual(made.json())
  })

  test.each(['POST /users/ID/disable', 'DELETE /users/ID', 'PATCH /users/ID'])(
    'AZ-04: of two administrators who do %s to each other at once, one stays',
    async request => {
      await login.users.update(id('ann'), { roles: ['admin'] }, bySystem)
      const body = request.startsWith('PATCH') ? { body: { roles: [] } } : {}
      const answers = await Promise.all([
        send(`root ${request.replace('ID', '{ann}')}`, body),
        send(`ann ${request.replace('ID', '{root}')}`, body),
      ])
      expect(answers.filter(({ status }) => status < 300)).toHaveLength(1)
      // The one who lost was refused as the last one, or as nobody any more.
      expect(answers.find(({ status }) => status >= 300)?.status).toBeOneOf([401, 403, 409])
      expect(await login.userStore.hasAdmin()).toBe(true)
    },
  )
})

describe('LOG-01: every change of a user has its audit row', () => {
  type Write = [action: string, request: string, body: unknown, subject: string, detail: string]
  const before = '"before":{"displayName":null,"roles":["support","user"]}'
  test.each<Write>([
    ['user.created', 'root POST /users', newcomer, 'new', '"roles":["user"]'],
    [
      'user.changed',
      'root PATCH /users/{bob}',
      { roles: ['user'] },
      'bob',
      `${before},"after":{"displayName":null,"roles":["user"]}`,
    ],
    [
      'user.changed',
      'root PATCH /users/{bob}',
      { displayName: 'Bob' },
      'bob',
      '"after":{"displayName":"Bob"',
    ],
    ['user.changed', 'ann PATCH /users/me', { displayName: 'Ann' }, 'ann', '"after":{"displayName":"Ann"'],
    ['user.disabled', 'root POST /users/{bob}/disable', undefined, 'bob', '"status":"disabled"'],
    ['user.enabled', 'root POST /users/{cid}/enable', undefined, 'cid', '"status":"active"'],
    ['user.deleted', 'root DELETE /users/{bob}', undefined, 'bob', '"roles":["support","user"]'],
    ['user.deleted', 'ann DELETE /users/me', undefined, 'ann', '"roles":["user"]'],
  ])('%s, for %s: who, whom, when, by which request', async (action, request, body, subject, detail) => {
    const cid = await login.addUser('cid@example.com')
    ids.cid = (await login.users.disable(cid.id, bySystem)).id
    login.time.now += 1_234
    const rows = login.audit().length
    const { status } = await send(request, { body, headers: { 'x-request-id': 'req-audit' } })
    expect(status).toBeLessThan(300)
    const [row, ...others] = login.audit().slice(rows)
    expect(others).toEqual([])
    expect(row).toMatchObject({
      at: login.time.now,
      action,
      actor_id: id(request.split(' ')[0] ?? ''),
      subject_id: subject === 'new' ? expect.stringMatching(/^usr_/) : id(subject),
      request_id: 'req-audit',
    })
    expect(row?.detail).toContain(detail)
    expect(JSON.stringify(row)).not.toMatch(/argon2|hash|password/i)
  })

  test('and the log names the same request and caller', async () => {
    await send('root DELETE /users/{bob}', { headers: { 'x-request-id': 'req-audit' } })
    const line = login.lines.find(text => text.includes('req-audit')) ?? ''
    expect(JSON.parse(line)).toMatchObject({ requestId: 'req-audit', actorId: id('root'), status: 204 })
  })
})

describe('listing users', () => {
  const page = async (query: string) => {
    const answer = await send(`root GET /users${query}`)
    expectAnswer(answer, { status: 200, lacks: ['argon2', /hash/i, password] })
    return Value.Parse(UserList, answer.json())
  }

  const walk = async (limit: number): Promise<string[]> => {
    const seen: string[] = []
    let query = `?limit=${limit}`
    while (query !== '') {
      const { items, nextCursor } = await page(query)
      expect(items.length).toBeLessThanOrEqual(limit)
      seen.push(...items.map(item => item.id))
      query = nextCursor === null ? '' : `?limit=${limit}&cursor=${nextCursor}`
    }
    return seen
  }

  test('goes through everybody once, oldest first, in pages of any size', async () => {
    for (let index = 0; index < 4; index += 1) {
      login.time.now += index % 2
      await login.addUser(`user-${index}@example.com`)
    }
    const { items } = await page('')
    expect(items).toHaveLength(7)
    expect(items.map(({ createdAt }) => createdAt)).toEqual(
      items.map(({ createdAt }) => createdAt).toSorted(),
    )
    for (const limit of [1, 2, 3, 7, 200]) expect(await walk(limit)).toEqual(items.map(item => item.id))
  })

  test('a cursor is opaque, goes into a query as it is, and is no filter', async () => {
    const { nextCursor } = await page('?limit=1')
    expect(nextCursor).toMatch(/^[A-Za-z0-9_-]+$/)
    expect((await page(`?limit=9&cursor=${nextCursor}&status=active`)).items).toHaveLength(2)
    expect((await page(`?limit=9&cursor=${nextCursor}&status=disabled`)).items).toEqual([])
  })

  test('passes nobody over who stays, while others are made and deleted', async () => {
    const first = await page('?limit=1')
    await send('root DELETE /users/{bob}')
    await send('root POST /users', { body: newcomer })
    const rest = await page(`?cursor=${first.nextCursor}`)
    const emails = [...first.items, ...rest.items].map(({ email }) => email)
    expect(emails.filter(email => email !== 'bob@example.com').toSorted()).toEqual([
      'ann@example.com',
      'new@example.com',
      'root@example.com',
    ])
  })

  test('HTTP-11: 50 are a page when nobody says how many, and 200 the most', async () => {
    const insert = login.database.query("INSERT INTO users VALUES ($id, $email, NULL, NULL, 'active', 1, 1)")
    for (let index = 0; index < 250; index += 1) {
      insert.run({ id: `usr_${String(index).padStart(32, '0')}`, email: `row-${index}@example.com` })
    }
    expect((await page('')).items).toHaveLength(50)
    expect((await page('?limit=200')).items).toHaveLength(200)
    expect(await walk(200)).toHaveLength(253)
  })
})

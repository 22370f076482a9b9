import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bySystem } from '../lib/audit.ts'
import { type Answer, type Contract, expectAnswer } from '../lib/test-http.ts'
import { createSetupTokens } from './setup.ts'
import { createTestLogin, openLoginDatabase, password, startOfTest, type TestLogin } from './test-login.ts'

const day = 86_400_000
const refused: Contract = { status: 403, code: 'setup_token_invalid', lacks: [/lks_/, password, 'argon2'] }

let login: TestLogin
beforeEach(() => {
  login = createTestLogin()
})
afterEach(() => login.database.close())

const use = (token: string, body: object = {}, of: TestLogin = login): Promise<Answer> =>
  of.send('POST', '/auth/setup', {
    headers: { 'x-request-id': 'req-setup' },
    body: { token, email: 'Root@example.com', password, ...body },
  })
const stored = () => login.database.query('SELECT * FROM setup_tokens').all()

describe('PWD-12: the one-time token makes the first administrator', () => {
  test('who is answered without a secret, audited, and can sign in and manage users', async () => {
    const token = await login.setup.create()
    const answer = await use(token, { displayName: 'Root' })
    const [user] = (await login.users.list({ limit: 2, after: null })).items
    expectAnswer(answer, {
      status: 201,
      lacks: [/lks_/, password, 'argon2', 'hash'],
      headers: { location: `/users/${user?.id}` },
    })
    expect(answer.json()).toMatchObject({
      id: user?.id,
      email: 'root@example.com',
      displayName: 'Root',
      roles: ['admin', 'user'],
      status: 'active',
    })
    expect(login.audit()).toMatchObject([
      { action: 'user.created', subject_id: user?.id, actor_id: null, request_id: 'req-setup' },
    ])
    const headers = await login.as('root@example.com')
    expectAnswer(await login.send('GET', '/users', { headers }), { status: 200 })
  })

  test('and is used up by it, whatever the second one asks for', async () => {
    const token = await login.setup.create()
    expectAnswer(await use(token), { status: 201 })
    expectAnswer(await use(token), refused)
    expectAnswer(await use(token, { email: 'eve@example.com' }), refused)
    expect(stored()).toEqual([])
    expect((await login.users.list({ limit: 9, after: null })).items).toHaveLength(1)
  })

  test('has 256 random bits, of which only a hash is kept', async () => {
    const tokens = [await login.setup.create(), await login.setup.create()]
    expect(new Set(tokens).size).toBe(2)
    for (const token of tokens) {
      expect(token).toMatch(/^lks_[A-Za-z0-9_-]{43}$/)
      expect(JSON.stringify(stored())).not.toContain(token.slice(4))
    }
    expect(stored()).toHaveLength(1)
  })

  test('is good for 24 hours, to the millisecond', async () => {
    const token = await login.setup.create()
    login.time.now = startOfTest + day
    expect(login.setup.isValid(token)).toBe(false)
    expectAnswer(await use(token), refused)
    login.time.now = startOfTest + day - 1
    expect(login.setup.isValid(token)).toBe(true)
    expectAnswer(await use(token), { status: 201 })
  })

  test('is replaced at each start, and its predecessor is good for nothing', async () => {
    const first = await login.setup.create()
    const second = await login.setup.create()
    expectAnswer(await use(first), refused)
    expectAnswer(await use(second), { status: 201 })
  })

  test.each<[string, (token: string, hash: string) => string]>([
    ['made up', () => `lks_${'A'.repeat(43)}`],
    ['the hash that is kept', (_, hash) => hash],
    ['in another case', token => token.toUpperCase()],
    ['with more behind it', token => `${token} `],
    ['cut short', token => token.slice(0, -1)],
    ['a wildcard', () => '%'],
  ])('another text is refused, such as one %s, and spends nothing', async (_, change) => {
    const token = await login.setup.create()
    const [row] = login.database.query<{ hash: string }, []>('SELECT hash FROM setup_tokens').all()
    expectAnswer(await use(change(token, row?.hash ?? '')), refused)
    expectAnswer(await use(token), { status: 201 })
  })

  test('without a token no text is one', async () => {
    expectAnswer(await use('lks_'), refused)
    expectAnswer(await use(`lks_${'A'.repeat(43)}`), refused)
  })

  test.each<[string, object, Contract]>([
    [
      'a password that is too short',
      { password: 'short' },
      { status: 422, code: 'password_unacceptable', fields: ['password'], lacks: ['short'] },
    ],
    [
      'an address that is none',
      { email: 'nonsense' },
      { status: 422, code: 'email_invalid', fields: ['email'], lacks: ['nonsense'] },
    ],
    ['an address that is taken', { email: 'ann@example.com' }, { status: 409, code: 'email_taken' }],
    ['roles of one’s own', { roles: ['admin'] }, { status: 422, code: 'invalid_request', fields: ['roles'] }],
    ['an empty token', { token: '' }, { status: 422, code: 'invalid_request', fields: ['token'] }],
    [
      'an endless token',
      { token: 'x'.repeat(257) },
      { status: 422, code: 'invalid_request', fields: ['token'], lacks: ['xxx'] },
    ],
  ])('%s is told and does not spend it', async (_, body, contract) => {
    await login.addUser('ann@example.com')
    const token = await login.setup.create()
    expectAnswer(await use(token, body), contract)
    expectAnswer(await use(token), { status: 201 })
  })
})

describe('PWD-12: where there is an administrator', () => {
  test('a token that is still there makes no second one', async () => {
    const token = await login.setup.create()
    await login.users.createFirstAdmin({ email: 'root@example.com', password }, bySystem)
    expect(stored()).toEqual([])
    expectAnswer(await use(token, { email: 'eve@example.com' }), refused)
  })

  test('a token that was made after is refused too', async () => {
    await login.addUser('root@example.com', ['admin'])
    const token = await login.setup.create()
    expectAnswer(await use(token, { email: 'eve@example.com' }), refused)
    expect((await login.users.list({ limit: 9, after: null })).items).toHaveLength(1)
  })

  test('users who are none leave the token as it is', async () => {
    const token = await login.setup.create()
    await login.addUser('ann@example.com')
    expect(login.setup.isValid(token)).toBe(true)
  })
})

describe('racing uses of one token', () => {
  test('make one administrator, and the others are refused', async () => {
    const token = await login.setup.create()
    const answers = await Promise.all(
      Array.from({ length: 6 }, (_, index) => use(token, { email: `root-${index}@example.com` })),
    )
    expect(answers.map(({ status }) => status).toSorted()).toEqual([201, 403, 403, 403, 403, 403])
    expect((await login.users.list({ limit: 9, after: null })).items).toHaveLength(1)
  })

  test('make one also when two processes share the file', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'login-'))
    const path = join(folder, 'login.sqlite')
    const processes = [1, 2].map(() => createTestLogin({ database: openLoginDatabase(path) }))
    const [first] = processes
    const token = (await first?.setup.create()) ?? ''
    const answers = await Promise.all(
      processes.map((each, index) => use(token, { email: `root-${index}@example.com` }, each)),
    )
    expect(answers.map(({ status }) => status).toSorted()).toEqual([201, 403])
    for (const { database } of processes) database.close()
    rmSync(folder, { recursive: true })
  })

  test('of two processes that start at once, one token is left', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'login-'))
    const databases = [1, 2].map(() => openLoginDatabase(join(folder, 'login.sqlite')))
    const setups = databases.map(database => createSetupTokens({ database, clock: () => startOfTest }))
    const tokens = await Promise.all(setups.map(setup => setup.create()))
    const good = tokens.filter(token => setups.every(setup => setup.isValid(token)))
    expect(good).toHaveLength(1)
    for (const database of databases) database.close()
    rmSync(folder, { recursive: true })
  })
})

test('LOG-02: no line of the log has the token or the password in it', async () => {
  const token = await login.setup.create()
  await use(token, { password: 'short' })
  await use(`${token}x`)
  await use(token)
  expect(login.lines).toHaveLength(3)
  expect(login.lines.join()).not.toContain(token.slice(4, -1))
  expect(login.lines.join()).not.toContain(password)
})

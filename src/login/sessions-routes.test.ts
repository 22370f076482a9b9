import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { Value } from '@sinclair/typebox/value'
import { bySystem } from '../lib/audit.ts'
import { type Answer, type Ask, type Contract, expectAnswer } from '../lib/test-http.ts'
import type { User } from '../userdb/index.ts'
import { TokenAnswer } from './model.ts'
import { createTestLogin, issuer, newUser, password, type TestLogin } from './test-login.ts'

const noStore = { 'cache-control': 'no-store' }
/** What no answer and no line of the log may hold. */
const secrets = [password, 'argon2', /hash"/i, /refresh_?key/i]

let login: TestLogin
let ann: User
beforeEach(async () => {
  login = createTestLogin()
  ann = await login.addUser('ann@example.com')
})
afterEach(() => {
  expect(login.lines.join()).not.toContain(password)
  expect(login.lines.join()).not.toMatch(/lkr_|eyJ|argon2/)
  login.database.close()
})

const post = (path: string, body: unknown, options: Ask = {}) =>
  login.send('POST', path, { body, ...options })
const signIn = (email: string, given: string = password) => post('/auth/login', { email, password: given })
const tokensOf = (answer: Answer) => Value.Parse(TokenAnswer, answer.json())

describe('POST /auth/login', () => {
  test('SES-05: gives both tokens, for nobody to keep, as RFC 6749 names them', async () => {
    const answer = await signIn('ann@example.com')
    expectAnswer(answer, { status: 200, lacks: [...secrets, 'ann@example.com'], headers: noStore })
    expect(answer.json()).toEqual({
      access_token: expect.stringMatching(/^eyJ[\w-]+\.[\w-]+\.[\w-]+$/),
      token_type: 'Bearer',
      expires_in: 300,
      refresh_token: expect.stringMatching(/^lkr_/),
    })
  })

  test('LOG-01: is audited with the user as actor and the request that asked', async () => {
    await post(
      '/auth/login',
      { email: 'ann@example.com', password },
      { headers: { 'x-request-id': 'req-7' } },
    )
    expect(login.audit().at(-1)).toMatchObject({
      action: 'session.started',
      actor_id: ann.id,
      subject_id: ann.id,
      request_id: 'req-7',
      at: login.time.now,
    })
  })

  test.each(['ANN@EXAMPLE.COM', 'Ann@Example.Com', 'ａｎｎ@example.com'])(
    'PWD-13: %s is the same address',
    async email => expectAnswer(await signIn(email), { status: 200 }),
  )

  test('PWD-03: a password is the same in every composition', async () => {
    const composed = 'caf\u00e9 cr\u00e8me br\u00fbl\u00e9e'
    await login.users.create({ email: 'bob@example.com', password: composed }, bySystem)
    await login.users.create({ email: 'cid@example.com', password: composed.normalize('NFD') }, bySystem)
    for (const email of ['bob@example.com', 'cid@example.com']) {
      for (const form of ['NFC', 'NFD'] as const) {
        expectAnswer(await signIn(email, composed.normalize(form)), { status: 200 })
      }
    }
  })

  test('PWD-02: nothing about a password is trimmed, folded or cut', async () => {
    for (const given of [` ${password}`, `${password} `, password.toUpperCase(), password.slice(0, -1)]) {
      expectAnswer(await signIn('ann@example.com', given), { status: 401, code: 'credentials_invalid' })
    }
  })

  test('PWD-08: unknown, wrong, disabled and unusable are one answer: status, body and headers', async () => {
    const bob = await login.addUser('bob@example.com')
    await login.users.disable(bob.id, bySystem)
    await login.userStore.insert({ ...newUser('cid@example.com'), passwordHash: null }, bySystem)
    await login.userStore.insert({ ...newUser('dan@example.com'), passwordHash: 'nonsense' }, bySystem)
    const rows = login.audit().length
    const cases: [string, string][] = [
      ['ann@example.com', 'another password altogether'],
      ['nobody@example.com', password],
      ['bob@example.com', password],
      ['bob@example.com', 'another password altogether'],
      ['cid@example.com', password],
      ['dan@example.com', password],
      ['not an address', password],
      ['', password],
      ['ann@example.com\u0000', password],
      ["' OR 1=1 --", password],
      ['%', password],
    ]
    const seen: string[] = []
    for (const [email, given] of cases) {
      const answer = await signIn(email, given)
      expectAnswer(answer, {
        status: 401,
        code: 'credentials_invalid',
        lacks: secrets,
        headers: { ...noStore, 'www-authenticate': 'Bearer' },
      })
      const id = answer.headers.get('x-request-id') ?? ''
      seen.push(JSON.stringify([answer.text, ...answer.headers]).replaceAll(id, ''))
    }
    expect(new Set(seen).size).toBe(1)
    expect(login.audit()).toHaveLength(rows)
  })

  test('PWD-07: when too many passwords are being checked it says when to come again, before hashing', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    let hashes = 0
    const busy = createTestLogin({
      passwords: {
        concurrency: 1,
        queueLimit: 0,
        argon2: {
          hash: Bun.password.hash,
          verify: async () => {
            hashes += 1
            await promise
            return false
          },
        },
      },
    })
    const body = { email: 'ann@example.com', password }
    const first = busy.send('POST', '/auth/login', { body })
    while (hashes === 0) await Bun.sleep(0)
    const second = await busy.send('POST', '/auth/login', { body })
    expectAnswer(second, { status: 503, code: 'overloaded', headers: { 'retry-after': /^[1-9]\d*$/ } })
    expect(hashes).toBe(1)
    expect((await busy.send('GET', '/livez')).status).toBe(200)
    resolve()
    expectAnswer(await first, { status: 401, code: 'credentials_invalid' })
  })
})

describe('POST /auth/refresh', () => {
  const refresh = (token: string, options: Ask = {}) =>
    post('/auth/refresh', { refresh_token: token }, options)
  const refused: Contract = {
    status: 401,
    code: 'refresh_token_invalid',
    lacks: [/lkr_/],
    headers: { ...noStore, 'www-authenticate': 'Bearer' },
  }

  test('SES-02, SES-05: trades the token for new ones that are good', async () => {
    const first = tokensOf(await signIn('ann@example.com'))
    login.time.now += 60_000
    const answer = await refresh(first.refresh_token)
    expectAnswer(answer, { status: 200, lacks: secrets, headers: noStore })
    const second = tokensOf(answer)
    expect(second.refresh_token).not.toBe(first.refresh_token)
    expect(second.access_token).not.toBe(first.access_token)
    const headers = { authorization: `Bearer ${second.access_token}` }
    expectAnswer(await login.send('GET', '/users/me', { headers }), { status: 200, has: [ann.id] })
  })

  test('SES-02: reuse after the grace ends the session, access tokens with it, and is audited', async () => {
    const first = tokensOf(await signIn('ann@example.com'))
    const second = tokensOf(await refresh(first.refresh_token))
    login.time.now += 10_001
    expectAnswer(await refresh(first.refresh_token, { headers: { 'x-request-id': 'req-9' } }), refused)
    expect(login.audit().at(-1)).toMatchObject({
      action: 'session.ended',
      request_id: 'req-9',
      actor_id: null,
    })
    expectAnswer(await refresh(second.refresh_token), refused)
    const headers = { authorization: `Bearer ${second.access_token}` }
    expectAnswer(await login.send('GET', '/users/me', { headers }), { status: 401, code: 'token_invalid' })
  })

  test('the new token has the roles that the user has by now', async () => {
    const { refresh_token: token } = tokensOf(await signIn('ann@example.com'))
    await login.users.update(ann.id, { roles: ['support'] }, bySystem)
    const { access_token: accessToken } = tokensOf(await refresh(token))
    expect(Buffer.from(accessToken.split('.')[1] ?? '', 'base64url').toString()).toContain('["support"]')
  })

  test.each(['', 'lkr_', `lkr_${'a'.repeat(32)}0_${'A'.repeat(43)}`, 'x'.repeat(256), '\u0000', 'lkr_%'])(
    'a text that is none, as %j, is refused alike',
    async token => {
      const { status, code = '' } = token === '' ? { status: 422, code: 'invalid_request' } : refused
      expectAnswer(await refresh(token), { status, code })
    },
  )

  test('TOK-20: an access token is no refresh token', async () => {
    const { access_token: accessToken } = tokensOf(await signIn('ann@example.com'))
    const { status, text } = await refresh(accessToken)
    expect(status).toBeWithin(401, 423)
    expect(text).not.toContain(accessToken)
  })

  test('SES-04: the token of a user who is disabled or deleted is refused, as one that never was', async () => {
    const { refresh_token: token } = tokensOf(await signIn('ann@example.com'))
    await login.users.disable(ann.id, bySystem)
    expectAnswer(await refresh(token), refused)
    login.database.run('UPDATE sessions SET ended_at = NULL')
    expectAnswer(await refresh(token), refused)
    await login.users.remove(ann.id, bySystem)
    login.database.run('UPDATE sessions SET ended_at = NULL')
    expectAnswer(await refresh(token), refused)
  })

  test('AUT-09: a user who can not be read is no reason to call the token bad', async () => {
    const { refresh_token: token } = tokensOf(await signIn('ann@example.com'))
    login.database.run('ALTER TABLE user_roles RENAME TO user_roles_gone')
    expectAnswer(await refresh(token), { status: 500, code: 'internal_error', lacks: ['user_roles'] })
    login.database.run('ALTER TABLE user_roles_gone RENAME TO user_roles')
    expectAnswer(await refresh(token), { status: 200 })
  })
})

describe('POST /auth/logout', () => {
  const logout = (body: object) => post('/auth/logout', body)
  const me = (token: string) =>
    login.send('GET', '/users/me', { headers: { authorization: `Bearer ${token}` } })

  test.each([
    [undefined, [401, 200]],
    ['local', [401, 200]],
    ['others', [200, 401]],
    ['global', [401, 401]],
  ])('SES-04: with the scope %s ends what it says, and access tokens with it', async (scope, expected) => {
    const here = tokensOf(await signIn('ann@example.com'))
    const there = tokensOf(await signIn('ann@example.com'))
    const body = { refresh_token: here.refresh_token, ...(scope === undefined ? {} : { scope }) }
    expectAnswer(await logout(body), { status: 204 })
    const statuses = [(await me(here.access_token)).status, (await me(there.access_token)).status]
    expect(statuses).toEqual(expected)
  })

  test('SES-06: answers alike whatever the token, and a forged one ends nothing', async () => {
    const { access_token: accessToken, refresh_token: token } = tokensOf(await signIn('ann@example.com'))
    const forged = `${token.slice(0, -43)}${'A'.repeat(43)}`
    for (const text of ['nonsense', `lkr_${'a'.repeat(32)}0_${'A'.repeat(43)}`, forged]) {
      expectAnswer(await logout({ refresh_token: text, scope: 'global' }), { status: 204 })
    }
    expectAnswer(await me(accessToken), { status: 200 })
    expectAnswer(await logout({ refresh_token: token }), { status: 204 })
    expectAnswer(await logout({ refresh_token: token }), { status: 204 })
    expectAnswer(await me(accessToken), { status: 401, code: 'token_invalid' })
  })
})

describe('what is open to anyone', () => {
  test('TOK-21: the description of the API names no issuer, path on disk or version of a part', async () => {
    const answer = await login.send('GET', '/openapi.json')
    expectAnswer(answer, { status: 200, lacks: [issuer, '/work', 'elysia', 'bun', 'sqlite'] })
  })
})

import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { bySystem } from '../lib/audit.ts'
import type { AccessTokenClaims } from '../lib/jwt/claims.ts'
import { type Contract, expectAnswer } from '../lib/test-http.ts'
import type { User } from '../userdb/index.ts'
import { audience, createTestKeys, createTestLogin, issuer, type TestLogin } from './test-login.ts'

const invalid: Contract = {
  status: 401,
  code: 'token_invalid',
  headers: { 'www-authenticate': 'Bearer error="invalid_token"' },
}
const insufficient: Contract = {
  status: 403,
  code: 'insufficient_permission',
  headers: { 'www-authenticate': /^Bearer error="insufficient_scope"/ },
}

let login: TestLogin
let ann: User
let root: User

beforeEach(async () => {
  login = createTestLogin()
  root = await login.addUser('root@example.com', ['admin', 'user'])
  ann = await login.addUser('ann@example.com')
})
afterEach(() => login.database.close())

const me = (headers: Record<string, string>) => login.send('GET', '/users/me', { headers })
const list = (headers: Record<string, string>) => login.send('GET', '/users', { headers })

describe('which credentials are taken', () => {
  const token = async () => (await login.signIn('ann@example.com')).access_token
  const key = `lk_${'0'.repeat(65)}`
  const table: [string, (token: string) => Record<string, string>, string][] = [
    ['AUT-03: none', () => ({}), 'credential_missing'],
    ['AUT-03: an empty one', () => ({ authorization: '' }), 'credential_missing'],
    ['AUT-03: a scheme alone', () => ({ authorization: 'Bearer' }), 'credential_missing'],
    ['AUT-03: an empty API key', () => ({ 'x-api-key': '' }), 'credential_missing'],
    ['AUT-03: Basic', () => ({ authorization: 'Basic YTpi' }), 'credential_unsupported'],
    ['AUT-03: a bare token', good => ({ authorization: good }), 'credential_unsupported'],
    ['an API key, of which this service has none', () => ({ 'x-api-key': key }), 'credential_unsupported'],
    [
      'AUT-06: token and API key',
      good => ({ authorization: `Bearer ${good}`, 'x-api-key': key }),
      'credential_ambiguous',
    ],
    [
      'AUT-07: a token twice',
      good => ({ authorization: `Bearer ${good}, Bearer ${good}` }),
      'credential_ambiguous',
    ],
    ['AUT-06: a token in a cookie', good => ({ cookie: `access_token=${good}` }), 'credential_missing'],
  ]
  test.each(table)('%s is refused with 400, and what is supported is named', async (_, headers, code) => {
    expectAnswer(await me(headers(await token())), {
      status: 400,
      code,
      headers: { 'www-authenticate': 'Bearer' },
    })
  })

  test('AUT-06: a token in the query or in the body is none', async () => {
    const good = await token()
    expectAnswer(await login.send('GET', `/users/me?access_token=${good}`), {
      status: 400,
      code: 'credential_missing',
      lacks: [good],
    })
    expectAnswer(await login.send('PATCH', '/users/me', { body: { access_token: good } }), {
      status: 400,
      code: 'credential_missing',
    })
    expect(login.lines.join()).not.toContain(good)
  })

  test.each(['Bearer', 'bearer', 'BEARER', 'bEaReR'])('AUT-05: the scheme %s is taken', async scheme => {
    expectAnswer(await me({ authorization: `${scheme} ${await token()}` }), { status: 200, has: [ann.id] })
  })

  test('an API key in Bearer is a bad token and no key', async () => {
    expectAnswer(await me({ authorization: `Bearer ${key}` }), invalid)
  })

  test('TOK-20: a refresh token is no access token', async () => {
    const { refresh_token: refreshToken } = await login.signIn('ann@example.com')
    expectAnswer(await me({ authorization: `Bearer ${refreshToken}` }), invalid)
  })
})

describe('a token says who calls and no more', () => {
  test('SES-04: a session that has ended is over at the next request', async () => {
    const { access_token: token, refresh_token: refreshToken } = await login.signIn('ann@example.com')
    const headers = { authorization: `Bearer ${token}` }
    expectAnswer(await me(headers), { status: 200 })
    expectAnswer(await login.send('POST', '/auth/logout', { body: { refresh_token: refreshToken } }), {
      status: 204,
    })
    expectAnswer(await me(headers), invalid)
  })

  test('SES-04: a disabled user is out at the next request, and stays out with that token when enabled', async () => {
    const headers = await login.as('ann@example.com')
    await login.users.disable(ann.id, bySystem)
    expectAnswer(await me(headers), invalid)
    await login.users.enable(ann.id, bySystem)
    expectAnswer(await me(headers), invalid)
  })

  test('a disabled user is out also where their session was left open', async () => {
    const headers = await login.as('ann@example.com')
    login.database.query("UPDATE users SET status = 'disabled' WHERE id = ?").run(ann.id)
    expectAnswer(await me(headers), invalid)
  })

  test('SES-04: a deleted user is out at the next request, also where the session was left open', async () => {
    const headers = await login.as('ann@example.com')
    const others = await login.as('root@example.com')
    await login.users.remove(ann.id, bySystem)
    expectAnswer(await me(headers), invalid)
    login.database.run('UPDATE sessions SET ended_at = NULL')
    expectAnswer(await me(headers), invalid)
    expectAnswer(await me(others), { status: 200 })
  })

  test('AZ-03: a role that was lowered is gone at the next request, though the token has it', async () => {
    await login.addUser('second@example.com', ['admin'])
    const headers = await login.as('root@example.com')
    expectAnswer(await list(headers), { status: 200 })
    await login.users.update(root.id, { roles: ['user'] }, bySystem)
    expectAnswer(await list(headers), insufficient)
    expectAnswer(await me(headers), { status: 200 })
  })

  test('AZ-03: a role that was given counts at the next request, though the token lacks it', async () => {
    const headers = await login.as('ann@example.com')
    expectAnswer(await list(headers), insufficient)
    await login.users.update(ann.id, { roles: ['admin'] }, bySystem)
    expectAnswer(await list(headers), { status: 200 })
  })

  test('SES-03: a session that has run out is over, though the token has not', async () => {
    const headers = await login.as('ann@example.com')
    login.database.query('UPDATE sessions SET expires_at = ?').run(login.time.now)
    expectAnswer(await me(headers), invalid)
  })

  test('TOK-08: a token that has run out says so', async () => {
    const headers = await login.as('ann@example.com')
    login.time.now += 305_000
    expectAnswer(await me(headers), {
      status: 401,
      code: 'token_expired',
      headers: { 'www-authenticate': 'Bearer error="invalid_token"' },
    })
  })
})

describe('AUT-12: whoever shares the secret can sign anything, and yet be nobody here', () => {
  const forge = async (claims: Partial<Omit<AccessTokenClaims, 'iat'>>): Promise<Record<string, string>> => {
    const { signer } = createTestKeys(login.time.clock)
    const token = await signer.sign({
      iss: issuer,
      sub: root.id,
      aud: [issuer, audience],
      exp: Math.floor(login.time.now / 1_000) + 300,
      jti: crypto.randomUUID(),
      client_id: 'latchkey-login',
      roles: ['admin', 'user'],
      ...claims,
    })
    return { authorization: `Bearer ${token}` }
  }
  const session = async (user: User): Promise<string> =>
    (await login.sessions.start(user.id, bySystem))?.sessionId ?? ''

  test('a token for an administrator without a session is not valid', async () => {
    await session(root)
    expectAnswer(await list(await forge({})), invalid)
    expectAnswer(await list(await forge({ sid: `ses_${'0'.repeat(32)}` })), invalid)
  })

  test('a token for an administrator on somebody else’s session is not valid', async () => {
    expectAnswer(await list(await forge({ sid: await session(ann) })), invalid)
    expectAnswer(await me(await forge({ sub: ann.id, sid: await session(root) })), invalid)
  })

  test('roles that nobody gave grant nothing', async () => {
    const headers = await forge({ sub: ann.id, sid: await session(ann), roles: ['admin'] })
    expectAnswer(await list(headers), insufficient)
    expectAnswer(await me(headers), { status: 200, has: ['"roles":["user"]'], lacks: ['admin'] })
  })

  test.each([
    ['TOK-10: for another service', { aud: [audience] }],
    ['TOK-10: for one whose name begins like this one', { aud: [`${issuer}/`] }],
    ['TOK-09: from another issuer', { iss: 'https://login.example.org' }],
    ['TOK-11: about nobody', { sub: 'usr_nobody' }],
    ['TOK-11: about a name that every object has', { sub: '__proto__' }],
    ['TOK-08: with its end in the past', { exp: 1_000_000_000 }],
  ])('a token %s is refused', async (_, claims) => {
    const { status } = await me(await forge({ sid: await session(root), ...claims }))
    expect(status).toBe(401)
    expectAnswer(await me(await forge({ sid: await session(root) })), { status: 200 })
  })
})

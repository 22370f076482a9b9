import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { Elysia } from 'elysia'
import { bySystem } from '../lib/audit.ts'
import { createVerifier } from '../lib/jwt/verifier.ts'
import { createLog } from '../lib/log.ts'
import { ask, type Contract, expectAnswer } from '../lib/test-http.ts'
import { createClientGuard } from './client-guard.ts'
import { createLoginGuard } from './guard.ts'
import { createLoginProblems } from './problems.ts'
import { createSecretKeys } from './signing-keys.ts'
import { clientToken } from './test-feed.ts'
import { createTestLogin, issuer, secret, type TestLogin } from './test-login.ts'
import { addService, type Service, sendForm, tokenOf } from './test-oauth.ts'
import { createTokenHolders } from './token-holder.ts'

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
let service: Service
let ran: string[]
beforeEach(async () => {
  login = createTestLogin()
  service = await addService(login, ['changes:read', 'documents:read', 'users:manage', 'clients:manage'])
  ran = []
})
afterEach(() => login.database.close())

/** Both guards, each before routes that say who was let in. */
const createApp = () => {
  const { clock } = login.time
  const options = {
    verifier: createVerifier({ keys: createSecretKeys(secret).source, issuer, audience: issuer, clock }),
    holders: createTokenHolders({
      sessions: login.sessions,
      users: login.userStore,
      clients: login.clients,
      revocation: login.revocation,
    }),
  }
  const problems = createLoginProblems(createLog({ level: 'silent', service: 'test' }))
  const forClients = new Elysia({ prefix: '/client' })
    .use(problems)
    .use(createClientGuard(options))
    .get(
      '/any',
      ({ principal }) => {
        ran.push('any')
        return principal
      },
      { permission: 'any' },
    )
    .get('/changes', () => ran.push('changes'), { permission: 'changes:read' })
    .get('/introspect', () => ran.push('introspect'), { permission: 'tokens:introspect' })
  const forUsers = new Elysia({ prefix: '/user' })
    .use(problems)
    .use(createLoginGuard(options))
    .get('/any', () => ran.push('user'), { permission: 'any' })
    .get('/users', () => ran.push('users'), { permission: 'users:manage' })
  return new Elysia().use(forClients).use(forUsers)
}

const get = (path: string, token: string) =>
  ask(createApp(), 'GET', path, { headers: { authorization: `Bearer ${token}` } })
const refuses = async (path: string, token: string, contract: Contract): Promise<void> => {
  const answer = await get(path, token)
  // `observe`, which writes the request id, is not what this is about.
  expect([answer.status, answer.json()]).toMatchObject([contract.status, { code: contract.code }])
  const challenge = contract.headers?.['www-authenticate'] ?? null
  if (challenge instanceof RegExp) expect(answer.headers.get('www-authenticate')).toMatch(challenge)
  else expect(answer.headers.get('www-authenticate')).toBe(challenge)
  expect(ran).toEqual([])
}

describe('a route of service accounts', () => {
  test('lets a client in, as it is in the database now', async () => {
    const answer = await get('/client/any', await tokenOf(login, service))
    expect(answer.json()).toEqual({
      kind: 'service',
      ownerId: service.id,
      clientId: service.id,
      permissions: ['changes:read'],
      roles: [],
    })
    expect((await get('/client/changes', await tokenOf(login, service))).status).toBe(200)
  })

  test.each([
    ['that the token lacks', ['changes:read', 'tokens:introspect'], 'changes:read'],
    ['that the client lost since', ['changes:read'], 'changes:read tokens:introspect'],
    ['that a wildcard would cover', ['changes:read'], '*:* tokens:*'],
    ['spelled otherwise', ['changes:read'], 'changes:read Tokens:introspect tokens:introspect2'],
  ])('refuses a scope %s, before the handler', async (_, scopes, tokenScope) => {
    const { id } = await addService(login, scopes)
    await refuses('/client/introspect', await clientToken(login, id, tokenScope), insufficient)
  })

  test('refuses a token without scopes', async () => {
    const { id } = await addService(login, ['changes:read'])
    await refuses('/client/changes', await clientToken(login, id, ''), insufficient)
  })

  test('refuses a user, administrators too: their token is good and of no use here', async () => {
    await login.addUser('root@example.com', ['admin', 'user'])
    const { access_token: token } = await login.signIn('root@example.com')
    await refuses('/client/any', token, insufficient)
    await refuses('/client/changes', token, insufficient)
  })

  test('refuses a client at once when it is disabled or deleted, and a token when it is revoked', async () => {
    const token = await tokenOf(login, service)
    await login.clients.disable(service.id, bySystem)
    await refuses('/client/any', token, invalid)
    await login.clients.enable(service.id, bySystem)
    await refuses('/client/any', token, invalid)
    login.time.now += 1_000
    await refuses('/client/any', token, invalid)
    const next = await tokenOf(login, service)
    expect((await get('/client/any', next)).status).toBe(200)
    ran = []
    await sendForm(login, '/oauth/revoke', { token: next }, service.headers)
    await refuses('/client/any', next, invalid)
    const another = await tokenOf(login, service)
    await login.clients.remove(service.id, bySystem)
    await refuses('/client/any', another, invalid)
  })

  test('refuses a client that nobody registered, though the signature is good', async () => {
    await refuses('/client/any', await clientToken(login, 'cli_nobody', 'changes:read'), invalid)
  })

  test('refuses its own secret, and an expired token', async () => {
    await refuses('/client/any', service.secret, invalid)
    const token = await tokenOf(login, service)
    login.time.now += 305_000
    await refuses('/client/any', token, { ...invalid, code: 'token_expired' })
  })
})

describe('a route of users', () => {
  test('refuses a client with 403: its token is good, and it holds no right over users, whatever its scopes', async () => {
    const token = await tokenOf(login, service)
    await refuses('/user/any', token, insufficient)
    await refuses('/user/users', token, insufficient)
    for (const path of ['/users/me', '/users', '/clients', '/signing-keys']) {
      const answer = await login.send('GET', path, { headers: { authorization: `Bearer ${token}` } })
      expectAnswer(answer, insufficient)
    }
  })

  test('refuses a client that is disabled like any bad token', async () => {
    const token = await tokenOf(login, service)
    await login.clients.disable(service.id, bySystem)
    await refuses('/user/any', token, invalid)
  })

  test('refuses a token that was revoked by itself, and takes another of the session', async () => {
    await login.addUser('ann@example.com')
    const { access_token: token, refresh_token: refresh } = await login.signIn('ann@example.com')
    await sendForm(login, '/oauth/revoke', { token })
    await refuses('/user/any', token, invalid)
    const answer = await login.send('POST', '/auth/refresh', { body: { refresh_token: refresh } })
    const { access_token: next } = Object.fromEntries(Object.entries(answer.json() ?? {}))
    expect((await get('/user/any', String(next))).status).toBe(200)
  })
})

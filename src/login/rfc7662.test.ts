import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { decodeJwt } from 'jose'
import { bySystem } from '../lib/audit.ts'
import { idleMilliseconds } from './session-store.ts'
import { audience, createTestKeys, createTestLogin, issuer, type TestLogin } from './test-login.ts'
import { addService, basic, expectOAuthError, type Service, sendForm, tokenOf } from './test-oauth.ts'

let login: TestLogin
let service: Service
let annId: string
beforeEach(async () => {
  login = createTestLogin()
  service = await addService(login, ['tokens:introspect', 'documents:read'])
  annId = (await login.addUser('ann@example.com')).id
})
afterEach(() => login.database.close())

const introspect = (token: string, headers: Record<string, string> = service.headers) =>
  sendForm(login, '/oauth/introspect', { token }, headers)
/** Section 2.2: what is not active is told by exactly this. */
const expectInactive = async (token: string): Promise<void> => {
  const answer = await introspect(token)
  expect([answer.status, answer.text]).toEqual([200, '{"active":false}'])
}

describe('RFC 7662 section 2.1: who may ask', () => {
  test('SES-07: only a client that authenticates, by either method', async () => {
    const { access_token: token } = await login.signIn('ann@example.com')
    for (const headers of [{}, basic(service.id, 'wrong'), { authorization: `Bearer ${token}` }]) {
      expectOAuthError(await introspect(token, headers), 401, 'invalid_client', ['active'])
    }
    expectOAuthError(await sendForm(login, '/oauth/introspect', '', {}), 401, 'invalid_client')
    const form = { token, client_id: service.id, client_secret: service.secret }
    expect((await sendForm(login, '/oauth/introspect', form)).json()).toMatchObject({ active: true })
  })

  test('only a client that has the scope for it now: 403', async () => {
    const { access_token: token } = await login.signIn('ann@example.com')
    const other = await addService(login, ['changes:read'])
    expectOAuthError(await introspect(token, other.headers), 403, 'insufficient_scope', ['active'])
    await login.clients.update(service.id, { scopes: ['documents:read'] }, bySystem)
    expectOAuthError(await introspect(token), 403, 'insufficient_scope', ['active'])
  })

  test('a request without a token, or with two, is invalid_request', async () => {
    for (const form of ['', 'token=', 'token=a&token=b', 'token_type_hint=access_token']) {
      expectOAuthError(
        await sendForm(login, '/oauth/introspect', form, service.headers),
        400,
        'invalid_request',
      )
    }
  })
})

describe('RFC 7662 section 2.2: a token that is active', () => {
  test('of a user is told by its claims, without roles, names or addresses', async () => {
    const { access_token: token } = await login.signIn('ann@example.com')
    const { exp, iat, jti } = decodeJwt(token)
    const answer = await introspect(token)
    expect(answer.json()).toEqual({
      active: true,
      client_id: 'latchkey-login',
      token_type: 'Bearer',
      sub: annId,
      iss: issuer,
      aud: [issuer, audience],
      exp,
      iat,
      jti,
    })
    expect(answer.headers.get('cache-control')).toBe('no-store')
  })

  test('of a client has the scopes that the token and the client have now, whatever audience it is for', async () => {
    const other = await addService(login, ['documents:read', 'documents:write'])
    const token = await tokenOf(login, other, { grant_type: 'client_credentials', audience })
    expect((await introspect(token)).json()).toMatchObject({
      active: true,
      sub: other.id,
      client_id: other.id,
      scope: 'documents:read documents:write',
    })
    await login.clients.update(other.id, { scopes: ['changes:read', 'documents:write'] }, bySystem)
    expect((await introspect(token)).json()).toMatchObject({ active: true, scope: 'documents:write' })
    await login.clients.update(other.id, { scopes: [] }, bySystem)
    expect((await introspect(token)).json()).not.toHaveProperty('scope')
  })

  test('may be a refresh token, which asking does not use up', async () => {
    const { refresh_token: token } = await login.signIn('ann@example.com')
    const expected = {
      active: true,
      client_id: 'latchkey-login',
      sub: annId,
      iss: issuer,
      iat: Math.floor(login.time.now / 1_000),
      exp: Math.floor((login.time.now + idleMilliseconds) / 1_000),
    }
    for (let time = 0; time < 3; time += 1) {
      login.time.now += 60_000
      expect((await introspect(token)).json()).toEqual(expected)
    }
    const refreshed = await login.send('POST', '/auth/refresh', { body: { refresh_token: token } })
    expect(refreshed.status).toBe(200)
  })

  test.each(['access_token', 'refresh_token', 'nonsense', ''])(
    'is found whatever the hint: %p',
    async hint => {
      const { access_token: access, refresh_token: refresh } = await login.signIn('ann@example.com')
      for (const token of [access, refresh]) {
        const form = { token, token_type_hint: hint }
        const answer = await sendForm(login, '/oauth/introspect', form, service.headers)
        expect(answer.json()).toMatchObject({ active: true })
      }
    },
  )
})

describe('RFC 7662 section 2.2: what is not active is {"active":false} and no more', () => {
  test('an access token from the second in which it expires', async () => {
    const { access_token: token } = await login.signIn('ann@example.com')
    login.time.now += 299_999
    expect((await introspect(token)).json()).toMatchObject({ active: true })
    login.time.now += 1
    await expectInactive(token)
  })

  test('tokens of a user who signed out, was disabled, or is deleted', async () => {
    const tokens = async (email: string) => login.signIn(email)
    const ann = await tokens('ann@example.com')
    await login.sessions.signOut(ann.refresh_token, 'local', bySystem)
    const again = await tokens('ann@example.com')
    await login.users.disable(annId, bySystem)
    const bob = await login.addUser('bob@example.com')
    const bobs = await tokens('bob@example.com')
    await login.users.remove(bob.id, bySystem)
    for (const pair of [ann, again, bobs]) {
      await expectInactive(pair.access_token)
      await expectInactive(pair.refresh_token)
    }
  })

  test('tokens of a user who is disabled though the session was left open', async () => {
    const { access_token: access, refresh_token: refresh } = await login.signIn('ann@example.com')
    login.database.query("UPDATE users SET status = 'disabled'").run()
    await expectInactive(access)
    await expectInactive(refresh)
  })

  test('tokens of a client that is disabled or deleted; enabled again, those that it had stay dead', async () => {
    const other = await addService(login)
    const token = await tokenOf(login, other)
    await login.clients.disable(other.id, bySystem)
    await expectInactive(token)
    await login.clients.enable(other.id, bySystem)
    login.time.now += 1_000
    await expectInactive(token)
    const next = await tokenOf(login, other)
    expect((await introspect(next)).json()).toMatchObject({ active: true })
    await login.registry.rotate(other.id, 60, bySystem)
    expect((await introspect(next)).json()).toMatchObject({ active: true })
    const { secret } = await login.registry.rotate(other.id, 0, bySystem)
    await expectInactive(next)
    login.time.now += 1_000
    const last = await tokenOf(login, { headers: basic(other.id, secret) })
    expect((await introspect(last)).json()).toMatchObject({ active: true })
    await login.clients.remove(other.id, bySystem)
    await expectInactive(last)
  })

  test('a revoked token, and no other of the same session', async () => {
    const { access_token: token, refresh_token: refresh } = await login.signIn('ann@example.com')
    await sendForm(login, '/oauth/revoke', { token })
    await expectInactive(token)
    expect((await introspect(refresh)).json()).toMatchObject({ active: true })
  })

  test('a refresh token that was traded, and one that is over; asking ends no session', async () => {
    const { refresh_token: first } = await login.signIn('ann@example.com')
    const second = await login.sessions.refresh(first, bySystem)
    const last = second?.refreshToken ?? ''
    login.time.now += 10_001
    await expectInactive(first)
    expect((await introspect(last)).json()).toMatchObject({ active: true })
    login.time.now += idleMilliseconds
    await expectInactive(last)
  })

  test('a token that others signed, that is for somebody else, or that names nobody', async () => {
    const claims = {
      iss: issuer,
      sub: annId,
      aud: [issuer],
      exp: Math.floor(login.time.now / 1_000) + 300,
      jti: 'jti_1',
      client_id: 'latchkey-login',
      sid: `ses_${'0'.repeat(32)}`,
    }
    const { sid: _, ...withoutSession } = claims
    const { signer: ours } = createTestKeys(login.time.clock)
    const { signer: foreign } = createTestKeys(login.time.clock, 'x'.repeat(32))
    await expectInactive(await foreign.sign({ ...withoutSession, sub: service.id, client_id: service.id }))
    await expectInactive(await ours.sign(claims))
    await expectInactive(await ours.sign(withoutSession))
    await expectInactive(await ours.sign({ ...withoutSession, sub: service.id }))
    await expectInactive(await ours.sign({ ...withoutSession, sub: 'cli_nobody', client_id: 'cli_nobody' }))
    const good = { ...withoutSession, sub: service.id, client_id: service.id }
    await expectInactive(await ours.sign({ ...good, aud: ['invoices'] }))
    expect((await introspect(await ours.sign(good))).json()).toMatchObject({ active: true })
  })

  test('anything else', async () => {
    const { refresh_token: refresh } = await login.signIn('ann@example.com')
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string({ minLength: 1 }),
          fc.string({ unit: 'binary', minLength: 1 }),
          fc.constantFrom(
            `${refresh}x`,
            refresh.slice(0, -1),
            `lcs_${'a'.repeat(43)}`,
            'a.b.c',
            'x'.repeat(9_000),
          ),
        ),
        async token => {
          if (token.isWellFormed()) await expectInactive(token)
        },
      ),
      { numRuns: 100 },
    )
  })
})

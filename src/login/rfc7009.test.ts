import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { decodeJwt } from 'jose'
import { bySystem } from '../lib/audit.ts'
import { changeTypes } from '../lib/changes-schema.ts'
import { createSigner } from '../lib/jwt/signer.ts'
import { clockLeewaySeconds } from '../lib/jwt/verifier.ts'
import { changeRows } from './test-feed.ts'
import { createTestLogin, issuer, secret, type TestLogin } from './test-login.ts'
import {
  addService,
  basic,
  expectOAuthError,
  type Pairs,
  type Service,
  sendForm,
  tokenOf,
} from './test-oauth.ts'

let login: TestLogin
let service: Service
let annId: string
beforeEach(async () => {
  login = createTestLogin()
  service = await addService(login)
  annId = (await login.addUser('ann@example.com')).id
})
afterEach(() => login.database.close())

const revoke = (form: Pairs | string, headers: Record<string, string> = {}) =>
  sendForm(login, '/oauth/revoke', form, headers)
const me = async (token: string): Promise<number> =>
  (await login.send('GET', '/users/me', { headers: { authorization: `Bearer ${token}` } })).status
const snapshot = async (token: string): Promise<number> =>
  (await login.send('GET', '/changes/snapshot', { headers: { authorization: `Bearer ${token}` } })).status
const tokenChanges = () => changeRows(login.database).filter(({ type }) => type === changeTypes.tokenRevoked)
const actions = () => login.audit().map(({ action }) => action)

describe('RFC 7009 section 2.1: an access token of a user', () => {
  test('is revoked by whoever has it, and refused at the next request', async () => {
    const { access_token: token } = await login.signIn('ann@example.com')
    expect(await me(token)).toBe(200)
    const answer = await revoke({ token })
    expect([answer.status, answer.headers.get('cache-control')]).toEqual([200, 'no-store'])
    expect(await me(token)).toBe(401)
  })

  test('alone: another token of the session is good, and so is the session', async () => {
    const { access_token: token, refresh_token: refresh } = await login.signIn('ann@example.com')
    const other = await login.signIn('ann@example.com')
    await revoke({ token })
    expect(await me(other.access_token)).toBe(200)
    expect((await login.send('POST', '/auth/refresh', { body: { refresh_token: refresh } })).status).toBe(200)
  })

  test('services hear of it in the transaction of the audit row, until nobody takes the token any more', async () => {
    const { access_token: token } = await login.signIn('ann@example.com')
    const { jti = '', exp = 0 } = decodeJwt(token)
    await revoke({ token })
    expect(tokenChanges()).toEqual([
      {
        sequence: expect.any(Number),
        type: changeTypes.tokenRevoked,
        at: login.time.now,
        subjectId: annId,
        state: null,
        sessionId: null,
        tokenId: jti,
        expiresAt: (exp + clockLeewaySeconds) * 1_000,
      },
    ])
    expect(login.audit().at(-1)).toMatchObject({
      action: 'token.revoked',
      actor_id: annId,
      subject_id: annId,
      detail: JSON.stringify({ tokenId: jti }),
    })
  })

  test('revoked twice, also at the same time, is revoked once', async () => {
    const { access_token: token } = await login.signIn('ann@example.com')
    const answers = await Promise.all([revoke({ token }), revoke({ token }), revoke({ token })])
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
    expect(tokenChanges()).toHaveLength(1)
    expect(actions().filter(action => action === 'token.revoked')).toHaveLength(1)
  })

  test.each(['access_token', 'refresh_token', 'nonsense', ''])(
    'SES-06: the hint does not matter: %p',
    async hint => {
      const { access_token: token, refresh_token: refresh } = await login.signIn('ann@example.com')
      expect((await revoke({ token, token_type_hint: hint })).status).toBe(200)
      expect(await me(token)).toBe(401)
      expect((await revoke({ token: refresh, token_type_hint: hint })).status).toBe(200)
      expect(await login.sessions.inspect(refresh)).toBeNull()
    },
  )
})

describe('RFC 7009 section 2.1: a refresh token', () => {
  test('ends its session and the access tokens with it, and no other session', async () => {
    const [first, second] = [await login.signIn('ann@example.com'), await login.signIn('ann@example.com')]
    expect((await revoke({ token: first.refresh_token })).status).toBe(200)
    expect(await me(first.access_token)).toBe(401)
    const refreshed = await login.send('POST', '/auth/refresh', {
      body: { refresh_token: first.refresh_token },
    })
    expect(refreshed.status).toBe(401)
    expect(await me(second.access_token)).toBe(200)
    expect(actions()).toContain('session.ended')
  })
})

describe('RFC 7009 section 2.1: a token of a client', () => {
  test('is revoked by that client alone: 401 for everybody else, and the token stays good', async () => {
    const token = await tokenOf(login, service)
    const other = await addService(login)
    for (const headers of [{}, other.headers]) {
      expectOAuthError(await revoke({ token }, headers), 401, 'invalid_client')
    }
    expectOAuthError(await revoke({ token, client_id: service.id }), 401, 'invalid_client')
    expect(await snapshot(token)).toBe(200)
    expect(tokenChanges()).toEqual([])

    expect((await revoke({ token }, service.headers)).status).toBe(200)
    expect(await snapshot(token)).toBe(401)
    expect(await snapshot(await tokenOf(login, service))).toBe(200)
    expect(tokenChanges()).toMatchObject([{ subjectId: service.id, tokenId: decodeJwt(token).jti }])
    expect(login.audit().at(-1)).toMatchObject({ action: 'token.revoked', actor_id: service.id })
  })

  test('credentials that are not good are refused, whatever the token is', async () => {
    const { access_token: token } = await login.signIn('ann@example.com')
    for (const text of [token, 'nonsense']) {
      expectOAuthError(await revoke({ token: text }, basic(service.id, 'wrong')), 401, 'invalid_client')
      const form = { token: text, client_id: 'cli_nobody', client_secret: 'x' }
      expectOAuthError(await revoke(form), 401, 'invalid_client')
    }
    expect(await me(token)).toBe(200)
  })
})

describe('RFC 7009 section 2.2: what is dead, or never was a token', () => {
  test('SES-06: is 200 like any other, and nothing is written', async () => {
    const { access_token: expired } = await login.signIn('ann@example.com')
    login.time.now += 305_000
    const ended = await login.signIn('ann@example.com')
    await login.sessions.signOut(ended.refresh_token, 'local', bySystem)
    const before = [actions().length, changeRows(login.database).length]
    for (const token of [
      expired,
      ended.access_token,
      ended.refresh_token,
      'nonsense',
      'a.b.c',
      'x'.repeat(9_000),
      '%00',
    ]) {
      expect((await revoke({ token })).status).toBe(200)
    }
    expect([actions().length, changeRows(login.database).length]).toEqual(before)
  })

  test('a request without a token, or with two, is invalid_request', async () => {
    for (const form of ['', 'token=', 'token=a&token=b']) {
      expectOAuthError(await revoke(form), 400, 'invalid_request')
    }
  })

  test('an id that the change feed can not carry is not written, however well the token is signed', async () => {
    const { access_token: own } = await login.signIn('ann@example.com')
    const { sid } = Value.Parse(Type.Object({ sid: Type.String() }), decodeJwt(own))
    const signer = createSigner({ algorithm: 'HS256', kid: null, secret })
    const token = await signer.sign({
      iss: issuer,
      sub: annId,
      aud: [issuer],
      exp: Math.floor(login.time.now / 1_000) + 300,
      jti: 'j'.repeat(129),
      client_id: 'latchkey-login',
      sid,
    })
    expect(await me(token)).toBe(200)
    expect((await revoke({ token })).status).toBe(200)
    expect(tokenChanges()).toEqual([])
  })
})

describe('rows of revoked tokens', () => {
  const rows = () => login.database.query('SELECT id FROM revoked_tokens').all().length

  test('go when their tokens have long expired, some at a time, and not sooner', async () => {
    const start = login.time.now
    for (let index = 0; index < 250; index += 1) {
      await login.revocation.revoke({ tokenId: `t${index}`, subjectId: annId, expiresAt: start }, bySystem)
    }
    const one = (tokenId: string) =>
      login.revocation.revoke({ tokenId, subjectId: annId, expiresAt: login.time.now }, bySystem)
    login.time.now = start + 3_600_000
    await one('a')
    expect(rows()).toBe(251)
    login.time.now += 1
    await one('b')
    expect(rows()).toBe(152)
    await one('c')
    await one('d')
    expect(rows()).toBe(4)
  })
})

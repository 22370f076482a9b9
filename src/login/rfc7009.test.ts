import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { decodeJwt } from 'jose'
import { bySystem } from '../lib/audit.ts'
import { changeTypes } from '../lib/changes-schema.ts'
import { clockLeewaySeconds, latestExpiry } from '../lib/jwt/verifier.ts'
import { TokenAnswer } from './model.ts'
import { changeRows } from './test-feed.ts'
import { createTestKeys, createTestLogin, issuer, startOfTest, type TestLogin } from './test-login.ts'
import {
  addService,
  basic,
  expectOAuthError,
  type Pairs,
  type Service,
  sendForm,
  tokenOf,
} from './test-oauth.ts'
import { maxRevokedTokens } from './token-revocation.ts'

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
    const signer = createTestKeys(login.time.clock).signer
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

describe('what revoking can not do', () => {
  test('a user who refreshes and revokes in a loop writes so many rows and no more: then the session ends', async () => {
    let mine = await login.signIn('ann@example.com')
    const other = await login.signIn('ann@example.com')
    for (let count = 0; count < maxRevokedTokens; count += 1) {
      await revoke({ token: mine.access_token })
      const answer = await login.send('POST', '/auth/refresh', {
        body: { refresh_token: mine.refresh_token },
      })
      mine = Value.Parse(TokenAnswer, answer.json())
    }
    expect(await me(mine.access_token)).toBe(200)
    const before = actions().length
    expect((await revoke({ token: mine.access_token })).status).toBe(200)
    expect(await me(mine.access_token)).toBe(401)
    const again = await login.send('POST', '/auth/refresh', { body: { refresh_token: mine.refresh_token } })
    expect(again.status).toBe(401)
    expect(tokenChanges()).toHaveLength(maxRevokedTokens)
    const { sid } = decodeJwt(mine.access_token)
    expect(changeRows(login.database).at(-1)).toMatchObject({
      type: changeTypes.sessionRevoked,
      sessionId: sid,
    })
    expect(login.audit().at(-1)).toMatchObject({
      action: 'session.ended',
      detail: JSON.stringify({ sessionId: sid, reason: 'tokens_revoked' }),
    })
    for (let count = 0; count < 5; count += 1) await revoke({ token: mine.access_token })
    expect(actions()).toHaveLength(before + 1)
    expect(await me(other.access_token)).toBe(200)
  })

  test.each([
    ['far beyond any calendar', 8_640_000_000_010],
    ['at the end of exact numbers', Number.MAX_SAFE_INTEGER],
    ['in a day', Math.floor(startOfTest / 1_000) + 86_400],
  ])('TOK-12: whoever shares the secret stops no feed by a token that ends %s', async (_, exp) => {
    const reader = await tokenOf(login, service)
    const cursor = () => login.feed.snapshot(undefined).cursor
    const before = cursor()
    const { access_token: own } = await login.signIn('ann@example.com')
    const { sid = '' } = Value.Parse(Type.Object({ sid: Type.String() }), decodeJwt(own))
    const token = await createTestKeys(login.time.clock).signer.sign({
      iss: issuer,
      sub: annId,
      aud: [issuer],
      exp,
      jti: 'forged',
      client_id: 'latchkey-login',
      sid,
    })
    expect(await me(token)).toBe(401)
    expect((await revoke({ token })).status).toBe(200)
    expect(tokenChanges()).toEqual([])
    // Were it taken for good elsewhere, no row would outlive what can be good.
    await login.revocation.revoke(
      { tokenId: 'forged', subjectId: annId, sessionId: null, expiresAt: exp * 1_000 },
      bySystem,
    )
    expect(tokenChanges().at(-1)?.expiresAt).toBe((latestExpiry(login.time.now) + clockLeewaySeconds) * 1_000)
    expect((await login.feed.read(before, 100)).page.items).toHaveLength(1)
    expect(await snapshot(reader)).toBe(200)
  })
})

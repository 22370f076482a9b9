import { describe, expect, test } from 'bun:test'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { clockLeewaySeconds, createVerifier } from '../lib/jwt/verifier.ts'
import { readLoginConfig } from './config.ts'
import { audience, createTestKeys, createTestLogin, createTime, issuer, password } from './test-login.ts'
import { createAccessTokens, firstPartyClientId } from './tokens.ts'

const sessionId = `ses_${'a'.repeat(32)}`

const setUp = (lifetimeSeconds = 300) => {
  const time = createTime()
  const { signer, source } = createTestKeys(time.clock)
  const tokens = createAccessTokens({
    signer,
    issuer,
    audiences: [audience, 'invoices'],
    lifetimeSeconds,
    clock: time.clock,
  })
  const verify = (token: string, by: string) =>
    createVerifier({ keys: source, issuer, audience: by, clock: time.clock }).verify(token)
  return { time, tokens, verify }
}

describe('an access token', () => {
  test('TOK-06: says in its header that it is one, and nothing more', async () => {
    const { tokens } = setUp()
    const token = await tokens.issue({ id: 'usr_1', roles: ['user'] }, sessionId)
    expect(decodeProtectedHeader(token)).toEqual({ alg: 'HS256', typ: 'at+jwt' })
  })

  test('TOK-07, TOK-21: has exactly these claims, none of which the bearer should not read', async () => {
    const { tokens, time } = setUp()
    time.now += 999
    const token = await tokens.issue({ id: 'usr_1', roles: ['admin', 'user'] }, sessionId)
    const { iat, jti, ...claims } = decodeJwt(token)
    expect(claims).toEqual({
      iss: issuer,
      sub: 'usr_1',
      aud: [issuer, audience, 'invoices'],
      exp: Math.floor(time.now / 1_000) + 300,
      client_id: firstPartyClientId,
      sid: sessionId,
      roles: ['admin', 'user'],
    })
    expect(jti).toMatch(/^[0-9a-f-]{36}$/)
    expect(Number.isInteger(iat)).toBe(true)
  })

  test('TOK-21: that a sign-in gives has no address, name or hash of the user in it', async () => {
    const login = createTestLogin()
    const { id } = await login.addUser('ann@example.com')
    await login.users.update(
      id,
      { displayName: 'Ann Example' },
      { actorId: null, requestId: null, address: null },
    )
    const { access_token: token, refresh_token: refreshToken } = await login.signIn('ann@example.com')
    const claims = decodeJwt(token)
    expect(Object.keys(claims).toSorted()).toEqual(
      ['aud', 'client_id', 'exp', 'iat', 'iss', 'jti', 'roles', 'sid', 'sub'].toSorted(),
    )
    expect(claims.sub).toBe(id)
    expect(JSON.stringify(claims)).not.toMatch(/ann|example\.com|argon2|hash/i)
    expect(JSON.stringify(claims)).not.toContain(password)
    expect(JSON.stringify(claims)).not.toContain(refreshToken)
  })

  test('TOK-10: is good for this service and for each that is named, and for no other', async () => {
    const { tokens, verify } = setUp()
    const token = await tokens.issue({ id: 'usr_1', roles: [] }, sessionId)
    for (const by of [issuer, audience, 'invoices']) expect((await verify(token, by)).ok).toBe(true)
    for (const by of ['invoice', '', firstPartyClientId, `${issuer}/`]) {
      expect(await verify(token, by)).toEqual({ ok: false, code: 'token_invalid' })
    }
  })

  test('TOK-12: lives as long as it was told, and no longer than the leeway of the clocks beyond', async () => {
    const { tokens, verify, time } = setUp(60)
    expect(tokens.lifetime).toBe(60)
    const start = time.now
    const token = await tokens.issue({ id: 'usr_1', roles: [] }, sessionId)
    expect(clockLeewaySeconds).toBeLessThanOrEqual(60)
    time.now = start + (60 + clockLeewaySeconds) * 1_000 - 1
    expect((await verify(token, audience)).ok).toBe(true)
    time.now = start + (60 + clockLeewaySeconds) * 1_000
    expect(await verify(token, audience)).toEqual({ ok: false, code: 'token_expired' })
  })

  test('TOK-12: lives five minutes by default, and no setting makes it more than an hour', () => {
    expect(readLoginConfig({}, 4).ACCESS_TOKEN_SECONDS).toBe(300)
    expect(readLoginConfig({ ACCESS_TOKEN_SECONDS: '3600' }, 4).ACCESS_TOKEN_SECONDS).toBe(3_600)
    expect(() => readLoginConfig({ ACCESS_TOKEN_SECONDS: '3601' }, 4)).toThrow('ACCESS_TOKEN_SECONDS')
  })

  test('TOK-24: has an id that no other has', async () => {
    const { tokens } = setUp()
    const issued = await Promise.all(
      Array.from({ length: 100 }, () => tokens.issue({ id: 'usr_1', roles: [] }, sessionId)),
    )
    expect(new Set(issued.map(token => decodeJwt(token).jti)).size).toBe(100)
  })

  test('is taken by the services that read it, with as many roles as a user can have', async () => {
    const { tokens, verify } = setUp()
    const roles = Array.from(
      { length: 16 },
      (_, index) => `${'r'.repeat(38)}${String(index).padStart(2, '0')}`,
    )
    const token = await tokens.issue({ id: 'usr_1', roles }, sessionId)
    expect((await verify(token, audience)).ok).toBe(true)
  })
})

import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { Elysia } from 'elysia'
import { Failure } from '../lib/failure.ts'
import { createVerifier, type TokenVerifier } from '../lib/jwt/verifier.ts'
import { createLog } from '../lib/log.ts'
import { identify, observe, securityHeaders } from '../lib/server.ts'
import { ask, type Contract, expectAnswer } from '../lib/test-http.ts'
import type { User } from '../userdb/index.ts'
import { createLoginGuard } from './guard.ts'
import { createLoginProblems } from './problems.ts'
import { createTestKeys, createTestLogin, issuer, password, type TestLogin } from './test-login.ts'
import { createTokenHolders } from './token-holder.ts'

const insufficient: Contract = {
  status: 403,
  code: 'insufficient_permission',
  headers: { 'www-authenticate': /^Bearer error="insufficient_scope"/ },
}

let login: TestLogin
let ann: User

beforeEach(async () => {
  login = createTestLogin()
  ann = await login.addUser('ann@example.com')
})
afterEach(() => login.database.close())

describe('AUT-09: the order of checks', () => {
  const newcomer = { email: 'new@example.com', password }

  test.each([
    ['an invalid body', { body: { roles: 7 } }],
    ['a malformed one', { raw: '{' }],
    ['one that is too large', { raw: 'x'.repeat(70_000) }],
    ['another media type', { raw: 'a=b', headers: { 'content-type': 'application/x-www-form-urlencoded' } }],
  ])('who has no credential is told that, and nothing about %s', async (_, sent) => {
    for (const [method, path] of [
      ['POST', '/users'],
      ['PATCH', '/users/me'],
      ['PATCH', `/users/${ann.id}`],
    ] as const) {
      expectAnswer(await login.send(method, path, sent), { status: 400, code: 'credential_missing' })
    }
  })

  test('the body of a caller without a credential is not read', async () => {
    let pulled = 0
    const body = new ReadableStream(
      {
        pull: controller => {
          pulled += 1
          controller.enqueue(new Uint8Array(1_024))
        },
      },
      { highWaterMark: 0 },
    )
    const headers = { 'content-type': 'application/json' }
    const response = await login.app.handle(
      new Request('http://localhost/users', { method: 'POST', headers, body }),
    )
    expect(response.status).toBe(400)
    expect(pulled).toBe(0)
  })

  test('who lacks the permission is told that before the body is judged, and after it was read', async () => {
    const headers = await login.as('ann@example.com')
    const post = (sent: object) => login.send('POST', '/users', { headers, ...sent })
    expectAnswer(await post({ body: { nonsense: 1 } }), insufficient)
    expectAnswer(await post({ raw: '{' }), { status: 400, code: 'malformed_body' })
    expectAnswer(await post({ raw: `"${'x'.repeat(65_536)}"` }), { status: 413, code: 'body_too_large' })
    expectAnswer(await post({ headers: { ...headers, 'content-type': 'text/plain' }, raw: '{}' }), {
      status: 415,
      code: 'unsupported_media_type',
    })
  })

  test('who is refused has changed nothing', async () => {
    const before = (await login.users.list({ limit: 10, after: null })).items
    const rows = login.audit().length
    const ghosts = [{}, { authorization: 'Bearer x' }, { 'x-api-key': 'x' }]
    for (const headers of ghosts) {
      await login.send('POST', '/users', { headers, body: newcomer })
      await login.send('PATCH', `/users/${ann.id}`, { headers, body: { displayName: 'Eve' } })
      await login.send('DELETE', `/users/${ann.id}`, { headers })
      await login.send('POST', `/users/${ann.id}/disable`, { headers })
    }
    expect((await login.users.list({ limit: 10, after: null })).items).toEqual(before)
    expect(login.audit()).toHaveLength(rows)
  })

  test('AUT-10: a route that takes GET asks HEAD for the same credential', async () => {
    expect((await login.send('HEAD', '/users/me')).status).toBe(400)
    expect((await login.send('HEAD', '/users', { headers: await login.as('ann@example.com') })).status).toBe(
      403,
    )
  })
})

describe('AUT-09: when nothing can be told, nobody enters and nobody is blamed', () => {
  const outage = new Failure('unavailable', { retryAfterSeconds: 1 })
  const fault = new Error('some words that are nobody’s business')
  const { signer, source } = createTestKeys(() => 0)
  const fail = (error: Error) => async (): Promise<never> => {
    throw error
  }
  const find = async () => null
  const withHolders = (
    verifier: TokenVerifier,
    failing: Partial<Parameters<typeof createTokenHolders>[0]>,
  ) => ({
    verifier,
    holders: createTokenHolders({
      revocation: { isRevoked: async () => false },
      sessions: { isLive: async () => true },
      users: { findById: find },
      clients: { find },
      ...failing,
    }),
  })

  const cases: [string, Parameters<typeof createLoginGuard>[0], number][] = [
    ['keys out of reach', { verifier: { verify: fail(outage) }, holders: { find } }, 503],
    ...[outage, fault].flatMap(error => {
      const status = error === outage ? 503 : 500
      const verifier = createVerifier({ keys: source, issuer, audience: issuer, clock: () => 0 })
      return [
        ['revocations that fail', withHolders(verifier, { revocation: { isRevoked: fail(error) } }), status],
        ['sessions that fail', withHolders(verifier, { sessions: { isLive: fail(error) } }), status],
        ['users that fail', withHolders(verifier, { users: { findById: fail(error) } }), status],
      ] satisfies [string, Parameters<typeof createLoginGuard>[0], number][]
    }),
  ]

  test.each(cases)('%s: no handler runs, whatever the method', async (_, parts, status) => {
    const lines: string[] = []
    const log = createLog({ level: 'info', service: 'login' }, { write: line => lines.push(line) })
    let ran = 0
    const handler = () => {
      ran += 1
      return 'in'
    }
    const options = { permission: 'any' } as const
    const app = new Elysia()
      .headers(securityHeaders)
      .wrap(observe(log, () => null))
      .onRequest(identify)
      .use(createLoginProblems(log))
      .use(createLoginGuard(parts))
      .get('/', handler, options)
      .post('/', ({ body }) => [handler(), body], options)
      .delete('/', handler, options)
    const token = await signer.sign({
      iss: issuer,
      sub: ann.id,
      aud: issuer,
      exp: 300,
      jti: 'jti_1',
      client_id: 'latchkey-login',
      sid: 'ses_1',
    })
    const headers = { authorization: `Bearer ${token}` }
    for (const method of ['GET', 'POST', 'DELETE']) {
      const answer = await ask(app, method, '/', { headers, ...(method === 'POST' ? { body: {} } : {}) })
      expectAnswer(answer, {
        status,
        code: status === 503 ? 'unavailable' : 'internal_error',
        lacks: ['business'],
        headers: { 'retry-after': status === 503 ? '1' : null },
      })
    }
    expect(ran).toBe(0)
    expect(lines.join()).not.toContain(token)
  })
})

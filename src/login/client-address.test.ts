import { afterEach, describe, expect, test } from 'bun:test'
import { type Served, serve } from '../lib/test-serve.ts'
import { createTestLogin, password, type TestLogin } from './test-login.ts'

const forged = { forwarded: 'for=192.0.2.1', 'x-real-ip': '192.0.2.1', 'x-client-ip': '192.0.2.1' }
let login: TestLogin
let served: Served

const start = async (proxies: string[]): Promise<void> => {
  login = createTestLogin({ proxies })
  served = serve(login.app)
  await login.addUser('ann@example.com')
}
const signIn = async (forwardedFor: string): Promise<void> => {
  const answer = await fetch(`${served.url}/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-forwarded-for': forwardedFor, ...forged },
    body: JSON.stringify({ email: 'ann@example.com', password }),
  })
  expect(answer.status).toBe(200)
}
/** Every address that a request left behind, in the audit trail and in the access log. */
const told = () => ({
  audit: login
    .audit()
    .filter(({ action }) => action.startsWith('session.'))
    .map(({ address }) => address),
  log: login.lines
    .map(line => JSON.parse(line))
    .filter(({ msg }) => msg === 'request')
    .map(({ address }) => address),
})

describe('AUT-11: where somebody signs in from, as the audit trail and the log have it', () => {
  afterEach(async () => {
    await served[Symbol.asyncDispose]()
    login.database.close()
  })

  test.each([[[]], [['127.0.0.2', '192.0.2.1', '::1']]])(
    'is the peer, whatever any header says, where the trusted proxies are %j',
    async proxies => {
      await start(proxies)
      await signIn('192.0.2.1, 203.0.113.9')
      expect(told()).toEqual({ audit: ['127.0.0.1'], log: ['127.0.0.1'] })
    },
  )

  test('is the client that the trusted proxy names, and nobody whom that one names', async () => {
    await start(['127.0.0.1'])
    await signIn('192.0.2.1, 203.0.113.9')
    expect(told()).toEqual({ audit: ['203.0.113.9'], log: ['203.0.113.9'] })
  })

  test('is the client in the log also of a request that reaches no route', async () => {
    await start(['127.0.0.1'])
    const headers = { 'x-forwarded-for': '2001:DB8::9' }
    expect((await fetch(`${served.url}/nowhere`, { headers })).status).toBe(404)
    expect(told()).toEqual({ audit: [], log: ['2001:db8::9'] })
  })
})

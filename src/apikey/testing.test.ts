import { describe, expect, test } from 'bun:test'
import { Elysia } from 'elysia'
import { ask } from '../lib/test-http.ts'
import type { apikey } from './plugin.ts'
import { problems } from './problems.ts'
import { apikeyRoutes } from './routes.ts'
import { testAuth } from './testing.ts'

const roles = { user: ['invoices:read'], admin: ['invoices:*', 'api-keys:*'] } as const

/** An app as its author writes it: it takes the plugin and does not know whether it runs in a test. */
const createApp = (auth: ReturnType<typeof apikey<(typeof roles)['user' | 'admin'][number]>>) =>
  new Elysia()
    .use(problems())
    .get('/livez', () => 'ok')
    .use(auth)
    .use(apikeyRoutes(auth))
    .get('/invoices', ({ principal }) => principal, { permission: 'invoices:read' })

describe('testAuth', () => {
  const { auth, as, key } = testAuth({ roles })
  const app = createApp(auth)

  test('gives headers of a user with a role', async () => {
    const answer = await ask(app, 'GET', '/invoices', { headers: await as('user') })
    expect(answer.json()).toMatchObject({ kind: 'user', ownerId: 'usr_test', permissions: ['invoices:read'] })
  })

  test('gives headers of several roles, and of a user by name', async () => {
    const answer = await ask(app, 'GET', '/invoices', { headers: await as(['user', 'admin'], 'ann') })
    expect(answer.json()).toMatchObject({ ownerId: 'usr_ann', roles: ['user', 'admin'] })
  })

  test('gives headers of a key with just these permissions', async () => {
    const answer = await ask(app, 'GET', '/invoices', { headers: await key(['invoices:read'], 'ann') })
    expect(answer.json()).toMatchObject({ kind: 'key', ownerId: 'usr_ann', permissions: ['invoices:read'] })
    expect((await ask(app, 'GET', '/invoices', { headers: await key([]) })).status).toBe(403)
  })

  test('is the real guard: what it did not make is refused', async () => {
    const other = testAuth({ roles })
    expect((await ask(app, 'GET', '/invoices')).status).toBe(400)
    expect((await ask(app, 'GET', '/invoices', { headers: await other.as('user') })).status).toBe(401)
    expect((await ask(app, 'GET', '/invoices', { headers: await other.key(['invoices:read']) })).status).toBe(
      403,
    )
    expect((await ask(app, 'GET', '/livez')).text).toBe('ok')
  })

  test('has the keys of its users on the management routes', async () => {
    await key([], 'bob')
    const answer = await ask(app, 'GET', '/api-keys', { headers: await as('user', 'bob') })
    expect(answer.json()).toMatchObject({ items: [{ ownerId: 'usr_bob' }] })
  })

  test('follows the clock that it is given', async () => {
    let now = Date.UTC(2026, 0, 1)
    const timed = testAuth({ roles, clock: () => now })
    const timedApp = createApp(timed.auth)
    const headers = await timed.as('user')
    expect((await ask(timedApp, 'GET', '/invoices', { headers })).status).toBe(200)
    now += 310_000
    expect((await ask(timedApp, 'GET', '/invoices', { headers })).json()).toMatchObject({
      code: 'token_expired',
    })
  })
})

import { describe, expect, test } from 'bun:test'
import { Elysia } from 'elysia'
import { createSigner } from '../lib/jwt/signer.ts'
import { type Ask, ask } from '../lib/test-http.ts'
import { apikey } from './plugin.ts'
import { apikeyRoutes } from './routes.ts'
import { members, text } from './test-host.ts'

const secret = 'a shared secret of 32 bytes, and then some'
const issuer = 'http://login.test'

/** Headers of a service account that signed in for these scopes (RFC 9068: `sub` is the client). */
const asMachine = async (scope: string): Promise<Record<string, string>> => {
  const token = await createSigner({ algorithm: 'HS256', kid: null, secret }).sign({
    iss: issuer,
    sub: 'cli_ci',
    aud: 'notes',
    exp: Math.floor(Date.now() / 1_000) + 60,
    jti: 'j',
    client_id: 'cli_ci',
    scope,
  })
  return { authorization: `Bearer ${token}` }
}

const createApp = () => {
  const auth = apikey({
    jwt: { secret },
    issuer,
    audience: 'notes',
    database: ':memory:',
    roles: { user: ['notes:read'], admin: ['notes:*', 'api-keys:*'] },
  })
  return new Elysia()
    .use(auth)
    .use(apikeyRoutes(auth))
    .get('/notes', ({ principal }) => principal.ownerId, { permission: 'notes:read' })
}

describe('a service account with its own token', () => {
  test('makes, uses, lists, rotates and revokes keys of its own, within its scopes', async () => {
    const app = createApp()
    const headers = await asMachine('notes:read')
    const send = (method: string, path: string, given: Ask = {}) =>
      ask(app, method, path, { headers, ...given })
    const made = await send('POST', '/api-keys', { body: { name: 'ci', permissions: ['notes:read'] } })
    expect(members(made)).toMatchObject({ ownerId: 'cli_ci', createdBy: 'cli_ci' })
    const id = text(made, 'id')
    const used = await ask(app, 'GET', '/notes', { headers: { 'x-api-key': text(made, 'key') } })
    expect([used.status, used.text]).toEqual([200, 'cli_ci'])
    expect(members(await send('GET', '/api-keys'))).toMatchObject({ items: [{ id }] })
    expect((await send('POST', `/api-keys/${id}/rotate`)).status).toBe(201)
    expect((await send('DELETE', `/api-keys/${id}`)).status).toBe(204)
    const beyond = await send('POST', '/api-keys', { body: { name: 'ci', permissions: ['notes:write'] } })
    expect([beyond.status, members(beyond).code]).toEqual([422, 'permission_not_grantable'])
  })

  test('manages the keys of others only with the scope for it', async () => {
    const app = createApp()
    const body = { from: 'usr_ann', to: 'cli_ci' }
    for (const [scope, status] of [
      ['notes:read', 403],
      ['api-keys:*', 403],
      ['*:*', 403],
      ['api-keys:manage', 200],
    ] as const) {
      const answer = await ask(app, 'POST', '/api-keys/transfer', { headers: await asMachine(scope), body })
      expect([scope, answer.status]).toEqual([scope, status])
    }
  })
})

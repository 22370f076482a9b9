import { describe, expect, spyOn, test } from 'bun:test'
import { ask } from '../lib/test-http.ts'
import { serve } from '../lib/test-serve.ts'
import { internalsOf } from './internals.ts'
import { createHost, members } from './test-host.ts'

const host = createHost()
const { app, auth } = host

const memberOf = (detail: unknown, name: string): unknown =>
  Object.entries(typeof detail === 'object' && detail !== null ? detail : {}).find(
    ([key]) => key === name,
  )?.[1]

/** Every route of the app, with what its description says of who may call it. */
const routes = app.routes.map(({ method, path, hooks }) => ({
  method,
  path: path.replace(':id', 'key_0123456789abcdef'),
  permission: memberOf(hooks.detail, 'x-permission'),
  takesKeys: memberOf(hooks.detail, 'x-credential') !== 'jwt',
}))
const named = routes.map(route => [`${route.method} ${route.path}`, route] as const)
// On that one services ask about keys of others, and bring their own.
const management = routes.filter(({ path }) => path.startsWith('/api-keys') && path !== '/api-keys/verify')

describe('every route of an app behind the guard', () => {
  test('is one of these', () => {
    expect(
      routes.map(({ method, path, permission, takesKeys }) => [method, path, permission, takesKeys]),
    ).toEqual([
      ['POST', '/api-keys', 'any', false],
      ['GET', '/api-keys', 'any', false],
      ['GET', '/api-keys/key_0123456789abcdef', 'any', false],
      ['POST', '/api-keys/find', 'any', false],
      ['GET', '/api-keys/audit', 'any', false],
      ['GET', '/api-keys/key_0123456789abcdef/usage', 'any', false],
      ['GET', '/api-keys/key_0123456789abcdef/credits', 'any', false],
      ['POST', '/api-keys/key_0123456789abcdef/credits', 'any', false],
      ['POST', '/api-keys/verify', 'api-keys:verify', true],
      ['PATCH', '/api-keys/key_0123456789abcdef', 'any', false],
      ['DELETE', '/api-keys/key_0123456789abcdef', 'any', false],
      ['POST', '/api-keys/key_0123456789abcdef/rotate', 'any', false],
      ['POST', '/api-keys/transfer', 'any', false],
      ['GET', '/notes', 'notes:read', true],
      ['GET', '/whoami', 'any', true],
    ])
  })

  test.each(named)(
    'AUT-08: %s answers 400 without a credential, whatever else is sent',
    async (_, { method, path }) => {
      for (const given of [
        {},
        ...(method === 'GET' ? [] : [{ body: {} }, { raw: '{' }, { body: 'x'.repeat(70_000) }]),
      ]) {
        const answer = await ask(app, method, path, given)
        expect([answer.status, members(answer).code]).toEqual([400, 'credential_missing'])
        expect(answer.headers.get('www-authenticate')).toStartWith('Bearer')
      }
      expect(host.ran).toEqual([])
    },
  )

  test.each(named)('AUT-08: %s takes a key without permissions only where it says any', async (_, route) => {
    const headers = await host.key([])
    const given = { headers, ...(route.method === 'GET' ? {} : { body: {} }) }
    const answer = await ask(app, route.method, route.path, given)
    const isOpen = route.permission === 'any' && route.takesKeys
    expect(answer.status).toBe(isOpen ? 200 : 403)
    if (!isOpen) {
      expect(members(answer).code).toBe(route.takesKeys ? 'insufficient_permission' : 'jwt_required')
    }
    expect(host.ran).toEqual([])
  })

  test.each(named)('TOK-01: %s answers 401 to a bad token', async (_, { method, path }) => {
    const answer = await ask(app, method, path, { headers: { authorization: 'Bearer a.b.c' } })
    expect([answer.status, members(answer).code]).toEqual([401, 'token_invalid'])
    expect(answer.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"')
  })
})

describe('the routes on which keys are managed', () => {
  test('KEY-08: take no key at all, and do not even look it up', async () => {
    const lookUp = spyOn(internalsOf(auth).store(), 'findCredential')
    const good = (await host.key(['notes:*', 'api-keys:*', 'api-keys:manage', '*:*']))['x-api-key'] ?? ''
    for (const { method, path } of management) {
      for (const headers of [
        { 'x-api-key': good },
        { authorization: `Bearer ${good}` },
        { 'x-api-key': 'lk_x' },
      ]) {
        const answer = await ask(app, method, path, {
          headers,
          ...(method === 'GET' ? {} : { body: { name: 'x' } }),
        })
        expect([answer.status, members(answer).code]).toEqual([403, 'jwt_required'])
      }
    }
    expect(lookUp).not.toHaveBeenCalled()
    lookUp.mockRestore()
  })

  test('HTTP-06: have no other methods', async () => {
    await using served = serve(createHost().app)
    for (const [method, path, allow] of [
      ['PUT', '/api-keys', 'HEAD, GET, POST'],
      ['DELETE', '/api-keys', 'HEAD, GET, POST'],
      ['POST', '/api-keys/key_1', 'HEAD, GET, PATCH, DELETE'],
      ['GET', '/api-keys/key_1/rotate', 'POST'],
      ['POST', '/api-keys/key_1/usage', 'HEAD, GET'],
    ] as const) {
      const response = await fetch(served.url + path, { method })
      expect([response.status, response.headers.get('allow')]).toEqual([405, allow])
    }
  })
})

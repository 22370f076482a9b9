import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { call } from '../support/http.ts'
import { textOf } from '../support/json.ts'
import { startRole } from '../support/role.ts'
import { createStage } from '../support/stage.ts'
import { until } from '../support/wait.ts'
import { audience, bearer, issuer, secret, serveKeys, signed } from './credentials.ts'
import { type Installed, install, type Running } from './install.ts'

const minute = 60_000

let installed: Installed
let hosts: typeof import('./fixture/hosts.ts')
beforeAll(async () => {
  installed = await install()
  hosts = await import(join(installed.folder, 'test/package/fixture/hosts.ts'))
}, minute)
afterAll(() => installed.remove())

const Problem = Type.Object({
  type: Type.String({ pattern: '^urn:latchkey:problem:' }),
  title: Type.String(),
  status: Type.Integer(),
  code: Type.String(),
  requestId: Type.String({ minLength: 1 }),
  errors: Type.Optional(Type.Array(Type.Object({ field: Type.String(), rule: Type.String() }))),
})
const MadeKey = Type.Object({ id: Type.String(), key: Type.String() })

type Headers = Record<string, string>

const makeKey = async (url: string, permissions: readonly string[], token?: string) => {
  const response = await fetch(`${url}/api-keys`, {
    method: 'POST',
    headers: { ...bearer(token ?? (await signed())), 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'ci', permissions }),
  })
  expect(response.status).toBe(201)
  return Value.Parse(MadeKey, await response.json())
}

const ask = (url: string, headers: Headers = {}, path = '/invoices', method = 'GET', body?: string) =>
  fetch(url + path, { method, headers, ...(body === undefined ? {} : { body }) })

const expectProblem = async (response: Response, status: number, code: string) => {
  const problem = Value.Parse(Problem, await response.json())
  expect([response.status, problem.status, problem.code]).toEqual([status, status, code])
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  return problem
}

const json = { 'content-type': 'application/json' }

describe.each([
  [undefined, true],
  [true, true],
  [false, true],
  [undefined, false],
  [true, false],
  [false, false],
] as const)('a host app with normalize %p and problems() %p', (normalize, hasProblems) => {
  let host: ReturnType<typeof hosts.createHost>
  let url = ''
  let key = { id: '', key: '' }
  let database = ''
  beforeAll(async () => {
    database = join(installed.folder, `data/${normalize}-${hasProblems}.sqlite`)
    host = hosts.createHost({ jwt: { secret }, issuer, database, normalize, hasProblems })
    host.listen({ port: 0, hostname: '127.0.0.1' })
    url = `http://127.0.0.1:${host.server?.port}`
    key = await makeKey(url, ['invoices:read'])
  })
  afterAll(() => host.stop(true))

  test('lets anyone onto routes before the guard', async () => {
    expect(await (await ask(url, {}, '/livez')).text()).toBe('ok')
  })

  test('lets a good token in, with who it is', async () => {
    const response = await ask(url, bearer(await signed()))
    expect(response.status).toBe(200)
    expect(await response.json()).toMatchObject({ kind: 'user', ownerId: 'usr_ada', roles: ['user'] })
  })

  test('lets a good key in, by either header, as its owner and with its own permissions', async () => {
    for (const headers of [{ 'x-api-key': key.key }, bearer(key.key)]) {
      const response = await ask(url, headers)
      expect(response.status).toBe(200)
      expect(await response.json()).toMatchObject({
        kind: 'key',
        ownerId: 'usr_ada',
        keyId: key.id,
        permissions: ['invoices:read'],
      })
    }
  })

  test('answers 400 to no credential, and says what is taken', async () => {
    const response = await ask(url)
    expect(response.headers.get('www-authenticate')).toBe('Bearer, ApiKey header="X-API-Key"')
    await expectProblem(response, 400, 'credential_missing')
  })

  test.each<[string, () => Headers, string]>([
    ['another scheme', () => ({ authorization: 'Basic YTpi' }), 'credential_unsupported'],
    ['two credentials', () => ({ 'x-api-key': key.key, ...bearer('a.b.c') }), 'credential_ambiguous'],
  ])('answers 400 to %s', async (_, headers, code) => {
    await expectProblem(await ask(url, headers()), 400, code)
  })

  test.each<[string, () => Promise<string>, string]>([
    ['one signed by somebody else', () => signed({}, `${secret}!`), 'token_invalid'],
    ['one that has expired', () => signed({ lifetime: -60 }), 'token_expired'],
    ['one of another issuer', () => signed({ iss: 'http://other.example' }), 'token_invalid'],
    ['one for another service', () => signed({ aud: `${audience}-2` }), 'token_invalid'],
    ['one of another type', () => signed({ typ: 'JWT' }), 'token_invalid'],
    ['other text', async () => 'anything', 'token_invalid'],
  ])('answers 401 to a bad token: %s', async (_, token, code) => {
    const response = await ask(url, bearer(await token()))
    expect(response.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"')
    await expectProblem(response, 401, code)
  })

  test.each<[string, () => string]>([
    ['with a typo', () => `${key.key.slice(0, -1)}${key.key.endsWith('0') ? '1' : '0'}`],
    ['of nobody', () => 'lk_nonsense'],
  ])('answers 403 to a bad key: %s', async (_, text) => {
    await expectProblem(await ask(url, { 'x-api-key': text() }), 403, 'api_key_invalid')
    await expectProblem(await ask(url, bearer(text())), 403, 'api_key_invalid')
  })

  test('answers 403 to a key from the moment that it is revoked', async () => {
    const revoked = await makeKey(url, ['invoices:read'])
    const response = await ask(url, bearer(await signed()), `/api-keys/${revoked.id}`, 'DELETE')
    expect([response.status, await response.text()]).toEqual([204, ''])
    await expectProblem(await ask(url, { 'x-api-key': revoked.key }), 403, 'api_key_revoked')
  })

  test('answers 403 to whoever lacks the permission, before it looks at the body', async () => {
    const body = '{"amount":"not a number"}'
    const byKey = await ask(url, { ...json, 'x-api-key': key.key }, '/invoices', 'POST', body)
    await expectProblem(byKey, 403, 'insufficient_permission')
    const byToken = await ask(
      url,
      { ...json, ...bearer(await signed({ roles: [] })) },
      '/invoices',
      'POST',
      body,
    )
    expect(byToken.headers.get('www-authenticate')).toBe(
      'Bearer error="insufficient_scope", scope="invoices:write"',
    )
    await expectProblem(byToken, 403, 'insufficient_permission')
  })

  test('lets no key manage keys', async () => {
    for (const [path, method] of [
      ['/api-keys', 'GET'],
      ['/api-keys', 'POST'],
      [`/api-keys/${key.id}`, 'GET'],
      [`/api-keys/${key.id}`, 'DELETE'],
      [`/api-keys/${key.id}/rotate`, 'POST'],
    ] as const) {
      await expectProblem(await ask(url, { 'x-api-key': key.key }, path, method), 403, 'jwt_required')
    }
  })

  test('names an unknown field of a key, whatever becomes of unknown fields elsewhere', async () => {
    const headers = { ...json, ...bearer(await signed()) }
    for (const [path, method] of [
      ['/api-keys', 'POST'],
      [`/api-keys/${key.id}`, 'PATCH'],
      [`/api-keys/${key.id}/rotate`, 'POST'],
    ] as const) {
      const body = JSON.stringify({
        ...(path === '/api-keys' ? { name: 'ci' } : {}),
        colour: 'a secret value',
      })
      const response = await ask(url, headers, path, method, body)
      const problem = await expectProblem(response, 422, 'invalid_request')
      expect(problem.errors?.map(({ field }) => field)).toEqual(['colour'])
      expect(JSON.stringify(problem)).not.toContain('a secret value')
    }
  })

  test('takes nothing but JSON for a key', async () => {
    const token = bearer(await signed())
    const form = { ...token, 'content-type': 'application/x-www-form-urlencoded' }
    await expectProblem(await ask(url, form, '/api-keys', 'POST', 'name=ci'), 415, 'unsupported_media_type')
    await expectProblem(
      await ask(url, { ...json, ...token }, '/api-keys', 'POST', '{"name"'),
      400,
      'malformed_body',
    )
    await expectProblem(await ask(url, json, '/api-keys', 'POST', '{"name"'), 400, 'credential_missing')
  })

  test('answers 404 for a key that is not there', async () => {
    const response = await ask(url, bearer(await signed()), '/api-keys/key_0000000000000000')
    await expectProblem(response, 404, 'api_key_not_found')
  })

  test('answers problems on its own routes where it asked for them, and as it likes elsewhere', async () => {
    const nothing = await ask(url, {}, '/nothing')
    if (!hasProblems) {
      expect([nothing.status, await nothing.text()]).toEqual([404, 'NOT_FOUND'])
      return
    }
    await expectProblem(nothing, 404, 'not_found')
    const wrong = await ask(url, {}, '/livez', 'DELETE')
    expect(wrong.headers.get('allow')).toBe('HEAD, GET')
    await expectProblem(wrong, 405, 'method_not_allowed')
    const headers = { ...json, ...bearer(await signed()) }
    const invalid = await ask(url, headers, '/invoices', 'POST', '{"amount":"a secret value"}')
    const problem = await expectProblem(invalid, 422, 'invalid_request')
    expect(problem.errors?.map(({ field }) => field)).toEqual(['amount'])
    expect(JSON.stringify(problem)).not.toContain('a secret value')
  })

  test('keeps its keys in a file that nobody else may read', () => {
    expect(existsSync(database)).toBe(true)
    expect(statSync(database).mode & 0o077).toBe(0)
  })
})

test('a route that names no permission stops the start, by name', () => {
  expect(() => hosts.createCarelessHost().listen({ port: 0, hostname: '127.0.0.1' })).toThrow(
    /GET \/forgotten is guarded and names no permission/,
  )
})

describe.each(['from source', 'compiled into one file'] as const)('examples/third-service, %s', how => {
  let command: readonly string[] = []
  beforeAll(async () => {
    const source = join(installed.folder, 'examples/third-service/index.ts')
    command = how === 'from source' ? [process.execPath, source] : [join(installed.folder, 'third-service')]
    if (how === 'from source') return
    const { scripts } = await Bun.file(join(installed.folder, 'package.json')).json()
    const build = String(scripts.build)
      .replace(/index\.ts$/, source)
      .split(' ')
      .slice(1)
    expect((await installed.run([process.execPath, ...build])).exitCode).toBe(0)
  }, minute)

  const withService = async (env: Headers, use: (service: Running) => Promise<void>): Promise<void> => {
    const DATABASE_PATH = join(installed.folder, `data/${crypto.randomUUID()}.sqlite`)
    const service = await installed.start(command, { DATABASE_PATH, ...env })
    try {
      await use(service)
    } finally {
      await service.stop()
    }
  }

  test(
    'does its business for tokens and keys, by a shared secret',
    async () => {
      await withService({ JWT_SECRET: secret, LOGIN_URL: issuer }, async ({ url }) => {
        const token = bearer(await signed())
        const made = await ask(url, { ...json, ...token }, '/invoices', 'POST', '{"amount":7}')
        expect([made.status, await made.json()]).toEqual([201, { amount: 7 }])
        const { key } = await makeKey(url, ['invoices:read'])
        const listed = await ask(url, { 'x-api-key': key })
        expect([listed.status, await listed.json()]).toEqual([200, { items: [7] }])
        await expectProblem(await ask(url), 400, 'credential_missing')
        await expectProblem(await ask(url, bearer('a.b.c')), 401, 'token_invalid')
        await expectProblem(await ask(url, { 'x-api-key': 'lk_x' }), 403, 'api_key_invalid')
        await expectProblem(await ask(url, { 'x-api-key': key }, '/api-keys'), 403, 'jwt_required')
      })
    },
    minute,
  )

  test(
    'finds the keys of login by its address',
    async () => {
      const login = await serveKeys()
      try {
        await withService({ LOGIN_URL: login.url }, async ({ url }) => {
          expect((await ask(url, bearer(await login.signed()))).status).toBe(200)
          await expectProblem(await ask(url, bearer(await login.signed({}, 'second'))), 401, 'token_invalid')
          await expectProblem(await ask(url, bearer(await signed({ iss: login.url }))), 401, 'token_invalid')
          const { key } = await makeKey(url, ['invoices:read'], await login.signed())
          await login.stop()
          // What is known already needs no login.
          expect((await ask(url, { 'x-api-key': key })).status).toBe(200)
          expect((await ask(url, bearer(await login.signed()))).status).toBe(200)
        })
      } finally {
        await login.stop()
      }
    },
    minute,
  )

  test(
    'honours nobody, a second after login has disabled them',
    async () => {
      const stage = createStage()
      const client = { CLIENT_ID: 'cli_invoices', CLIENT_SECRET: crypto.randomUUID() }
      const admin = { email: 'root@example.com', password: crypto.randomUUID() }
      const ann = { email: 'ann@example.com', password: crypto.randomUUID() }
      try {
        const login = await startRole(stage, {
          role: 'login',
          settings: {
            AUDIENCES: audience,
            ADMIN_EMAIL: admin.email,
            ADMIN_PASSWORD: admin.password,
            ...client,
          },
        })
        const signIn = async (json: { email: string; password: string }): Promise<string> =>
          textOf((await call(`${login.url}/auth/login`, { json })).body, 'access_token')
        const adminToken = await signIn(admin)
        const id = textOf((await call(`${login.url}/users`, { token: adminToken, json: ann })).body, 'id')
        const token = await signIn(ann)
        await withService({ LOGIN_URL: login.url, ...client }, async ({ url }) => {
          await until('the service has heard login', async () => (await ask(url, bearer(token))).ok)
          const apiKey = { 'x-api-key': (await makeKey(url, ['invoices:read'], token)).key }
          expect((await ask(url, apiKey)).status).toBe(200)
          await call(`${login.url}/users/${id}/disable`, { token: adminToken, method: 'POST' })
          await Bun.sleep(1_000)
          await expectProblem(await ask(url, bearer(token)), 401, 'token_invalid')
          await expectProblem(await ask(url, apiKey), 403, 'api_key_owner_inactive')
        })
      } finally {
        await stage.end()
      }
    },
    minute,
  )

  test(
    'says 503 and not 401 while it never had a key to judge by',
    async () => {
      const login = await serveKeys()
      await login.stop()
      await withService({ LOGIN_URL: login.url }, async ({ url }) => {
        const response = await ask(url, bearer(await login.signed()))
        expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
        await expectProblem(response, 503, 'unavailable')
      })
    },
    minute,
  )
})

import { beforeEach, describe, expect, test } from 'bun:test'
import { Elysia } from 'elysia'
import fc from 'fast-check'
import { Failure } from '../lib/failure.ts'
import { createClockedSigner } from '../lib/jwt/clocked-signer.ts'
import { type Answer, ask } from '../lib/test-http.ts'
import { authCheck } from './auth-check.ts'
import { internalsOf } from './internals.ts'
import { apikey } from './plugin.ts'
import { problems } from './problems.ts'
import { text } from './test-host.ts'
import { testAuth } from './testing.ts'
import type { Usage } from './usage.ts'

const roles = { user: ['notes:read', 'notes:write'], admin: ['*:*'] } as const

const createChecked = () => {
  const { auth, as, key } = testAuth({ roles })
  const app = new Elysia()
    .use(problems({ onUnexpected: () => undefined }))
    .use(auth)
    .use(authCheck(auth))
  return { auth, as, key, app }
}

let host: ReturnType<typeof createChecked>
beforeEach(() => {
  host = createChecked()
})

const check = (
  query: string,
  headers: Readonly<Record<string, string>> = {},
  method = 'GET',
): Promise<Answer> => ask(host.app, method, `/auth/check${query}`, { headers })

const told = ({ headers }: Answer): Record<string, string> =>
  Object.fromEntries([...headers].filter(([name]) => name.startsWith('x-auth-')))

const idOf = (headers: Readonly<Record<string, string>>): string =>
  `key_${headers['x-api-key']?.slice(3, 19)}`

describe('who may pass', () => {
  test('is told to the proxy in headers: a user', async () => {
    const answer = await check('', await host.as('user', 'ann'))
    expect([answer.status, answer.text]).toEqual([204, ''])
    expect(told(answer)).toEqual({
      'x-auth-owner': 'usr_ann',
      'x-auth-kind': 'user',
      'x-auth-key': '',
      'x-auth-user': 'usr_ann',
      'x-auth-client': 'latchkey-login',
      'x-auth-permissions': 'notes:read notes:write',
    })
    expect(answer.headers.get('cache-control')).toBe('no-store')
  })

  test('is told to the proxy in headers: a key, in either header', async () => {
    const headers = await host.key(['notes:read'], 'ann')
    const expected = {
      'x-auth-owner': 'usr_ann',
      'x-auth-kind': 'key',
      'x-auth-key': idOf(headers),
      'x-auth-user': '',
      'x-auth-client': '',
      'x-auth-permissions': 'notes:read',
    }
    expect(told(await check('', headers))).toEqual(expected)
    expect(told(await check('', { authorization: `Bearer ${headers['x-api-key']}` }))).toEqual(expected)
    expect(told(await check('?style=nginx', headers))).toEqual(expected)
  })

  test('is told to HEAD as well', async () => {
    const server = host.app.listen({ port: 0, hostname: '127.0.0.1' })
    const answer = await fetch(`http://127.0.0.1:${server.server?.port}/auth/check`, {
      method: 'HEAD',
      headers: await host.key([]),
    })
    await server.stop(true)
    expect([answer.status, answer.headers.get('x-auth-kind')]).toEqual([204, 'key'])
  })

  test('who holds many permissions is told to hold those that fit, never half of one', async () => {
    const many = Array.from({ length: 100 }, (_, index) => `resource-${index}:${'a'.repeat(30)}`)
    const answer = await check('', await host.key(many))
    const permissions = answer.headers.get('x-auth-permissions') ?? ''
    expect(permissions.length).toBeLessThanOrEqual(2_048)
    expect(permissions.length).toBeGreaterThan(1_900)
    expect(permissions.split(' ').filter(one => !many.includes(one))).toEqual([])
    const last = many.at(-1)
    expect((await check(`?permission=${last}`, await host.key(many))).status).toBe(204)
  })

  test('whatever an issuer calls its users, the header is one line of ASCII that can be told apart', async () => {
    const secret = 'a shared secret of 32 bytes, and then some'
    const issuer = 'http://login.test'
    const auth = apikey({ jwt: { secret }, issuer, audience: 'a', database: ':memory:', roles })
    const app = new Elysia().use(problems()).use(authCheck(auth))
    const signer = createClockedSigner({ algorithm: 'HS256', kid: null, secret }, Date.now)
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }),
          fc.constant('a\r\nX-Auth-Kind: user'),
        ),
        async sub => {
          const exp = Math.floor(Date.now() / 1_000) + 60
          const token = await signer.sign({ iss: issuer, sub, aud: 'a', exp, jti: 'j', client_id: 'c' })
          const answer = await ask(app, 'GET', '/auth/check', {
            headers: { authorization: `Bearer ${token}` },
          })
          expect(answer.status).toBe(204)
          const owner = answer.headers.get('x-auth-owner') ?? ''
          expect(owner).toMatch(/^[\x21-\x7e]+$/)
          expect(decodeURIComponent(owner)).toBe(sub.toWellFormed())
        },
      ),
      { numRuns: 50 },
    )
  })
})

describe('a permission that the proxy asks for', () => {
  test.each([
    ['?permission=notes:read', 204],
    ['?permission=notes%3Aread', 204],
    ['?permission=notes:read&permission=notes:read', 204],
    ['?permission=notes:read,notes:read&style=nginx', 204],
    ['?permission=notes:write', 403],
    ['?permission=notes:read,notes:write', 403],
    ['?permission=notes:read&permission=notes:write', 403],
    ['?permission=notes:*', 403],
    ['?permission=*:read', 403],
  ])('%s is %d for a key that may read notes', async (query, status) => {
    const headers = await host.key(['notes:read'])
    const answer = await check(query, headers)
    expect(answer.status).toBe(status)
    if (status !== 204) {
      expect(text(answer, 'code')).toBe('insufficient_permission')
      expect(told(answer)).toEqual({})
    }
  })

  test.each([
    ['?permission=', 'permission'],
    ['?permission', 'permission'],
    ['?permission=notes', 'permission'],
    ['?permission=notes:read,', 'permission'],
    ['?permission=notes:read%20notes:write', 'permission'],
    ['?permission=any', 'permission'],
    ['?permission=notes:read&permission=', 'permission'],
    [`?permission=${Array.from({ length: 21 }, (_, index) => `notes:a${index}`).join()}`, 'permission'],
    ['?permissions=notes:read', 'permissions'],
    ['?Permission=notes:read', 'Permission'],
    ['?permission[]=notes:read', 'permission[]'],
    ['?permission=notes:read&x', 'x'],
    ['?style=caddy', 'style'],
    ['?style=', 'style'],
    ['?style=nginx&style=nginy', 'style'],
  ])('%s lets nobody pass, not even an administrator', async (query, field) => {
    const answer = await check(query, await host.as('admin'))
    const status = query.startsWith('?style=nginx') ? 403 : 422
    expect([answer.status, text(answer, 'code')]).toEqual([status, 'invalid_request'])
    expect(answer.json()).toMatchObject({ errors: [{ field }] })
    expect(told(answer)['x-auth-owner']).toBeUndefined()
  })

  test('no query that the proxy could send lets somebody pass who lacks what it names', async () => {
    const headers = await host.key([])
    await fc.assert(
      fc.asyncProperty(fc.webQueryParameters(), fc.boolean(), async (query, isFirst) => {
        const needed = 'permission=notes:read'
        const { status } = await check(`?${isFirst ? `${needed}&${query}` : `${query}&${needed}`}`, headers)
        expect([403, 422]).toContain(status)
      }),
      { numRuns: 100 },
    )
  })

  test('is counted as lacking and not as a use, as on any guarded route', async () => {
    const headers = await host.key(['notes:read'])
    const seen: unknown[] = []
    const usage: Usage = internalsOf(host.auth).usage()
    const { record } = usage
    Object.assign(usage, { record: (...args: Parameters<Usage['record']>) => seen.push(args.slice(0, 2)) })
    await check('?permission=notes:write', headers)
    await check('?permission=notes', headers)
    await check('?permission=notes:read', headers)
    Object.assign(usage, { record })
    expect(seen).toEqual([
      [idOf(headers), 'insufficient_permission'],
      [idOf(headers), 'accepted'],
    ])
  })
})

describe('who may not pass', () => {
  test.each([
    ['nothing', {}, 400, 'credential_missing', 'Bearer, ApiKey header="X-API-Key"'],
    [
      'Basic',
      { authorization: 'Basic YTpi' },
      400,
      'credential_unsupported',
      'Bearer, ApiKey header="X-API-Key"',
    ],
    [
      'two',
      { authorization: 'Bearer a', 'x-api-key': 'b' },
      400,
      'credential_ambiguous',
      'Bearer, ApiKey header="X-API-Key"',
    ],
    ['a bad token', { authorization: 'Bearer a' }, 401, 'token_invalid', 'Bearer error="invalid_token"'],
    ['a bad key', { 'x-api-key': 'b' }, 403, 'api_key_invalid', null],
  ] as const)('%s: is told why, and to nginx in headers', async (_, headers, status, code, challenge) => {
    const plain = await check('', headers)
    expect([plain.status, text(plain, 'code'), plain.headers.get('www-authenticate')]).toEqual([
      status,
      code,
      challenge,
    ])
    expect(told(plain)).toEqual({})

    const nginx = await check('?style=nginx', headers)
    expect(nginx.status).toBe(status === 401 ? 401 : 403)
    expect(told(nginx)).toEqual({
      'x-auth-status': String(status),
      'x-auth-code': code,
      'x-auth-problem': nginx.text,
    })
    expect(nginx.headers.get('www-authenticate')).toBe(challenge)
    expect(nginx.json()).toMatchObject({ status, code, requestId: nginx.headers.get('x-request-id') })
  })

  test('nobody passes where it can not be judged, and nginx hears of it too', async () => {
    const headers = await host.key(['notes:read'])
    const database = internalsOf(host.auth)
    const store = database.store()
    const { findCredential } = store
    database.cache.clear()
    for (const [failure, status] of [
      [new Failure('unavailable', { retryAfterSeconds: 1, cause: new Error('the disk') }), 503],
      [new Error('a fault of ours'), 500],
    ] as const) {
      Object.assign(store, { findCredential: () => Promise.reject(failure) })
      const plain = await check('', headers)
      const nginx = await check('?style=nginx', headers)
      Object.assign(store, { findCredential })
      expect([plain.status, nginx.status, told(nginx)['x-auth-status']]).toEqual([
        status,
        403,
        String(status),
      ])
      expect(nginx.headers.get('retry-after')).toBe(status === 503 ? '1' : null)
      expect(plain.text + nginx.text).not.toMatch(/the disk|a fault of ours/)
    }
    expect((await check('?style=nginx', headers)).status).toBe(204)
  })

  test('the head of a refusal stays small, however long what it complains of', async () => {
    const query = `?style=nginx&${'é'.repeat(3_000)}`
    const answer = await check(query, await host.as('admin'))
    expect(answer.status).toBe(403)
    const header = answer.headers.get('x-auth-problem') ?? ''
    expect(header.length).toBeLessThan(2_048)
    expect(header).toMatch(/^[\x20-\x7e]+$/)
    expect(JSON.parse(header)).toMatchObject({ code: 'invalid_request', status: 422 })
  })

  test('a host without problems() says the same', async () => {
    const { auth } = host
    const app = new Elysia().use(authCheck(auth))
    const answer = await ask(app, 'GET', '/auth/check?style=nginx')
    expect([answer.status, answer.headers.get('x-auth-status')]).toEqual([403, '400'])
  })
})

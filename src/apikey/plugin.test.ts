import { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, spyOn, test } from 'bun:test'
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Elysia, t } from 'elysia'
import { exportJWK } from 'jose'
import { bySystem } from '../lib/audit.ts'
import { createSigner } from '../lib/jwt/signer.ts'
import { generateKeyPair } from '../lib/jwt/test-tokens.ts'
import { until } from '../lib/test-feed-server.ts'
import { ask } from '../lib/test-http.ts'
import { serve } from '../lib/test-serve.ts'
import { internalsOf } from './internals.ts'
import type { ApikeyOptions } from './options.ts'
import { apikey } from './plugin.ts'
import { bearer, claims, common, host, shared } from './test-plugin.ts'
import { testAuth } from './testing.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'plugin-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

describe('options that can not be secure', () => {
  const memory = { database: ':memory:' } as const
  const options: [string, ApikeyOptions<'notes:read' | 'notes:*'>, string][] = [
    [
      'TOK-13: a secret of 31 bytes',
      { ...shared, ...memory, jwt: { secret: 'x'.repeat(31) } },
      '32 random bytes',
    ],
    [
      'CFG-03: an issuer by plain http',
      { ...common, ...memory, login: { url: 'http://login.example' } },
      'https',
    ],
    ['CFG-03: keys by plain http', { ...shared, ...memory, jwt: { jwksUrl: 'http://a.example/x' } }, 'https'],
    [
      'CFG-03: a name like loopback',
      { ...common, ...memory, login: { url: 'http://localhost.a.example' } },
      'https',
    ],
    [
      'CFG-03: a number like loopback',
      { ...common, ...memory, login: { url: 'http://127.0.0.1.a.example' } },
      'https',
    ],
    ['CFG-03: a file', { ...common, ...memory, login: { url: 'file:///etc/jwks' } }, 'https'],
    ['KEY-03: a prefix in upper case', { ...shared, ...memory, prefix: 'LK' }, 'prefix'],
    ['KEY-03: a prefix with a hyphen', { ...shared, ...memory, prefix: 'lk-live' }, 'prefix'],
  ]
  test.each(options)('%s stops before anything is built', (_, given, message) => {
    expect(() => apikey(given)).toThrow(message)
  })

  test('CFG-03: plain http is taken on this machine, and elsewhere when it is asked for', () => {
    for (const url of [
      'http://localhost:3000',
      'http://127.0.0.1:3000',
      'http://[::1]:3000',
      'https://a.example',
    ]) {
      expect(() => apikey({ ...common, ...memory, login: { url } })).not.toThrow()
    }
    const login = { url: 'http://login.internal' }
    expect(() => apikey({ ...common, ...memory, login, allowInsecureLogin: true })).not.toThrow()
  })
})

describe('the database of the plugin', () => {
  const path = () => join(folder, 'keys.sqlite')

  test('CFG-02: is opened at the start and not before, for its owner alone, and closed at the stop', async () => {
    const auth = apikey({ ...shared, database: path() })
    const { app } = host(auth)
    expect(existsSync(path())).toBe(false)
    const served = serve(app)
    expect((statSync(path()).mode & 0o777).toString(8)).toBe('600')
    const close = spyOn(Database.prototype, 'close')
    await served[Symbol.asyncDispose]()
    await internalsOf(auth).stop()
    expect(close).toHaveBeenCalledTimes(1)
    close.mockRestore()
  })

  const makeKey = async (auth: ReturnType<typeof apikey<'notes:read' | 'notes:*'>>) => {
    const wanted = { name: 'test', ownerId: 'usr_ann', permissions: ['notes:read'], expiresAt: null }
    const context = { ...bySystem, actorId: 'usr_ann' }
    return internalsOf(auth).keys().create(wanted, wanted.permissions, context)
  }

  test('is opened anew by a start that comes while it is being closed, and has uses written as before', async () => {
    const intervals = spyOn(globalThis, 'setInterval')
    const auth = apikey({ ...shared, database: path() })
    const { text } = await makeKey(auth)
    const stopped = internalsOf(auth).stop()
    await using served = serve(host(auth).app)
    await stopped
    expect((await fetch(`${served.url}/notes`, { headers: { 'x-api-key': text } })).status).toBe(200)
    const [tick] = intervals.mock.calls.at(-1) ?? []
    intervals.mockRestore()
    if (typeof tick !== 'function') throw new Error('There is no timer')
    tick()
    const reader = new Database(path(), { readonly: true })
    await until(() => reader.query('SELECT uses FROM api_key_usage').values().flat()[0] === 1)
    reader.close()
    await internalsOf(auth).stop()
  })

  test('takes with it what was remembered of its keys', async () => {
    const auth = apikey({ ...shared, database: ':memory:' })
    const { app, ran } = host(auth)
    const { text } = await makeKey(auth)
    const caller = { headers: { 'x-api-key': text } }
    expect((await ask(app, 'GET', '/notes', caller)).status).toBe(200)
    await internalsOf(auth).stop()
    expect((await ask(app, 'GET', '/notes', caller)).status).toBe(403)
    expect(ran).toHaveLength(1)
    await internalsOf(auth).stop()
  })

  test("stays the host's where the host gave it", async () => {
    const database = new Database(':memory:')
    await serve(host(apikey({ ...shared, database })).app)[Symbol.asyncDispose]()
    expect(database.query('SELECT count(*) FROM api_keys').values()).toEqual([[0]])
    database.close()
  })

  test('OPS-03, OPS-06: that can not be used stops the start, and nothing listens then', async () => {
    await Bun.write(path(), 'this is no database'.repeat(100))
    const newer = new Database(join(folder, 'newer.sqlite'))
    await serve(host(apikey({ ...shared, database: newer })).app)[Symbol.asyncDispose]()
    newer.run("INSERT INTO migrations_apikey VALUES (99, '0099_later', 'x', 0)")
    newer.close()
    for (const name of ['keys.sqlite', 'newer.sqlite']) {
      const { app } = host(apikey({ ...shared, database: join(folder, name) }))
      expect(() => serve(app)).toThrow()
      expect(app.server?.port ?? 0).toBe(0)
    }
  })
})

describe('where tokens come from', () => {
  test('a login is all that has to be named: keys and issuer are found from its address', async () => {
    const { publicKey, privateKey } = await generateKeyPair()
    const jwk = { ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256', use: 'sig' }
    const paths: string[] = []
    const login = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch: async ({ url }) => {
        paths.push(new URL(url).pathname)
        return Response.json({ keys: [jwk] })
      },
    })
    const base = `http://127.0.0.1:${login.port}`
    const auth = apikey({ ...common, login: { url: `${base}/` }, database: ':memory:' })
    const { app } = host(auth)
    const signer = createSigner({ algorithm: 'ES256', kid: 'k', privateKey })
    const statusFor = async (iss: string, aud: string): Promise<number> => {
      const headers = { authorization: `Bearer ${await signer.sign({ ...claims(iss), aud })}` }
      return (await ask(app, 'GET', '/notes', { headers })).status
    }
    expect(await statusFor(base, 'notes')).toBe(200)
    expect(await statusFor(`${base}/`, 'notes')).toBe(401)
    expect(await statusFor(base, base)).toBe(401)
    expect(paths).toEqual(['/.well-known/jwks.json'])
    expect(await internalsOf(auth).health()).toEqual({ status: 'ok', feedLagSeconds: null })
    await login.stop(true)
  })

  test('TOK-10: two services with one secret take each only tokens for themselves', async () => {
    const notes = host(apikey({ ...shared, database: ':memory:' }))
    const orders = host(apikey({ ...shared, audience: 'orders', database: ':memory:' }))
    const token = await bearer(shared.issuer, 'orders')
    expect((await ask(notes.app, 'GET', '/notes', { headers: token })).status).toBe(401)
    expect((await ask(orders.app, 'GET', '/notes', { headers: token })).status).toBe(200)
  })
})

describe('two of them in one process', () => {
  test('keep their keys, prefixes and issuers apart (TRAPS, Elysia 12)', async () => {
    const one = apikey({ ...shared, database: ':memory:', prefix: 'lk' })
    const two = apikey({ ...shared, issuer: 'http://other.test', database: ':memory:', prefix: 'lk_test' })
    const app = new Elysia()
      .use(new Elysia().use(one).get('/one', () => 'one', { permission: 'notes:read' }))
      .use(new Elysia().use(two).get('/two', () => 'two', { permission: 'notes:read' }))
    const issue = async (auth: typeof one): Promise<Record<string, string>> => {
      const input = { name: 'k', ownerId: 'usr_1', permissions: ['notes:read'], expiresAt: null }
      const context = { ...bySystem, actorId: 'usr_1' }
      return { 'x-api-key': (await internalsOf(auth).keys().create(input, ['notes:*'], context)).text }
    }
    const expected = [
      [await issue(one), 200, 403],
      [await issue(two), 403, 200],
      [await bearer(shared.issuer), 200, 401],
      [await bearer('http://other.test'), 401, 200],
    ] as const
    for (const [headers, first, second] of expected) {
      expect((await ask(app, 'GET', '/one', { headers })).status).toBe(first)
      expect((await ask(app, 'GET', '/two', { headers })).status).toBe(second)
    }
  })

  test('are both opened at the start and closed at the stop', async () => {
    const files = ['one.sqlite', 'two.sqlite'].map(name => join(folder, name))
    const [one, two] = files.map(database => apikey({ ...shared, database }))
    if (!one || !two) throw new Error('two files make two plugins')
    const app = new Elysia()
      .use(new Elysia().use(one).get('/one', () => 'one', { permission: 'any' }))
      .use(new Elysia().use(two).get('/two', () => 'two', { permission: 'any' }))
    const served = serve(app)
    expect(files.map(file => existsSync(file))).toEqual([true, true])
    const close = spyOn(Database.prototype, 'close')
    await served[Symbol.asyncDispose]()
    await Promise.all([internalsOf(one).stop(), internalsOf(two).stop()])
    expect(close).toHaveBeenCalledTimes(2)
    close.mockRestore()
  })

  test('what something else made is none of them', () => {
    expect(() => internalsOf(new Elysia())).toThrow(TypeError)
  })
})

test('the limit of bodies and the clock are the ones that were given', async () => {
  let now = Date.now()
  const auth = apikey({ ...shared, database: ':memory:', maxBodyBytes: 100, clock: () => now })
  const app = new Elysia().use(auth).post('/notes', () => 'ok', { permission: 'any', body: t.Unknown() })
  const headers = await bearer()
  expect((await ask(app, 'POST', '/notes', { headers, body: 'x'.repeat(98) })).status).toBe(200)
  expect((await ask(app, 'POST', '/notes', { headers, body: 'x'.repeat(99) })).status).toBe(413)
  now += 120_000
  expect((await ask(app, 'POST', '/notes', { headers, body: 'x' })).json()).toMatchObject({
    code: 'token_expired',
  })
})

test('a role with a permission that is not resource:action is refused when the plugin is made', () => {
  for (const permission of ['invoices:read:all', 'invoices', '']) {
    expect(() => testAuth({ roles: { user: [permission] } })).toThrow('resource:action')
  }
})

import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { call } from '../support/http.ts'
import { expectProblem } from '../support/problem.ts'
import { addPerson, type Key, makeKey, type Person, type Site, signIn, startSite } from '../support/site.ts'
import { exchange, openConnection, type RawAnswer, requestHead } from '../support/tcp.ts'

let site: Site
let adminToken: string
let ann: Person
let key: Key

beforeAll(async () => {
  site = await startSite()
  adminToken = (await signIn(site, site.admin)).accessToken
  ann = await addPerson(site, adminToken, { name: 'ann' })
  key = await makeKey(site, ann.accessToken)
  const url = `${site.service.url}/documents/mine`
  await call(url, { key: key.key, method: 'PUT', json: 'of ann alone' })
})
afterAll(() => site.stage.end())

type Name = 'login' | 'service'
const ask = (name: Name, line: string, headers: readonly string[] = []): Promise<RawAnswer | null> =>
  exchange(site[name].port, [requestHead(line, headers)], line.split(' ')[0])
const withKey = (): string => `X-API-Key: ${key.key}`
const withToken = (): string => `Authorization: Bearer ${ann.accessToken}`

describe('methods (HTTP-06)', () => {
  const resources: readonly (readonly [Name, string, string])[] = [
    ['service', '/livez', 'HEAD, GET'],
    ['service', '/api-keys', 'HEAD, GET, POST'],
    ['service', '/api-keys/x', 'HEAD, GET, PATCH, DELETE'],
    ['service', '/api-keys/x/rotate', 'POST'],
    ['service', '/documents', 'HEAD, GET'],
    ['service', '/documents/x', 'HEAD, GET, PUT, DELETE'],
    ['service', '/account', 'HEAD, GET, PATCH, DELETE'],
    ['login', '/auth/login', 'POST'],
    ['login', '/users', 'HEAD, GET, POST'],
    ['login', '/users/x', 'HEAD, GET, PATCH, DELETE'],
    ['login', '/users/x/disable', 'POST'],
    ['login', '/.well-known/jwks.json', 'HEAD, GET'],
  ]
  const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'CONNECT']

  test.each(resources)(
    '%s answers a wrong one on %s with 405 and what is allowed, with or without a credential',
    async (name, path, allow) => {
      for (const method of methods.filter(each => !allow.includes(each))) {
        for (const headers of [[], [withToken()], ['Content-Length: 1000000']]) {
          const answer = await ask(name, `${method} ${path}`, headers)
          expectProblem(answer, 405, 'method_not_allowed')
          expect(answer?.headers.get('allow')).toBe(allow)
          expect(answer?.headers.get('access-control-allow-origin')).toBeNull()
        }
      }
    },
  )

  test('TRACE echoes nothing that was sent', async () => {
    const answer = await ask('service', 'TRACE /whoami', [withKey(), 'X-Echo: e4cho'])
    expect(`${answer?.head}${answer?.text}`).not.toMatch(/e4cho|lk_/)
  })

  test('HEAD is guarded as GET is, and has no body (AUT-10)', async () => {
    for (const [name, path] of resources) {
      const answer = await ask(name, `HEAD ${path}`)
      const get = await ask(name, `GET ${path}`)
      expect([answer?.status, answer?.text]).toEqual([get?.status, ''])
    }
    const connection = await openConnection(site.service.port)
    connection.write(requestHead('HEAD /documents/mine', [withKey()]))
    const head = await connection.answer('HEAD')
    connection.write(requestHead('GET /livez'))
    const next = await connection.answer()
    connection.close()
    expect([head?.status, next?.status, next?.body]).toEqual([200, 200, { status: 'ok' }])
  })

  test('a method that nobody has heard of runs no handler', async () => {
    for (const method of ['FOO', 'get', 'G\u0000T', 'X'.repeat(5_000)]) {
      const answer = await ask('service', `${method} /documents/mine`, [withKey()])
      expect(answer?.text ?? '').not.toContain('of ann alone')
      expect(answer?.status ?? 400).toBeGreaterThanOrEqual(400)
    }
  })
})

describe('paths', () => {
  const spellings = [
    '/documents/mine',
    '/documents/mine/',
    '/documents//mine',
    '//documents/mine',
    '/./documents/mine',
    '/x/../documents/mine',
    '/documents/./mine',
    '/documents/x/../mine',
    '/documents%2fmine',
    '/%64ocuments/mine',
    '/documents/%6dine',
    '/Documents/mine',
    '/DOCUMENTS/MINE',
    '/documents/mine;x=1',
    '/documents/mine%00',
    '/documents/mine%20',
    '/documents\\mine',
    '/documents/mine#x',
    '/documents/mine?x',
    '/documents/mine%3f',
    '/livez/../documents/mine',
    '/livez/%2e%2e/documents/mine',
    '/livez%2f..%2fdocuments/mine',
    'http://localhost/documents/mine',
    'http://elsewhere.example/documents/mine',
    '/documents/mine/livez',
    '/whoami/',
    '/whoami%2f',
    '//whoami',
    '/api-keys/',
    '/API-KEYS',
    '/account/',
    '/account%00',
  ]

  test.each(spellings)('%s is not a way round the guard, and no fault (AUT-10)', async path => {
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'POST', 'PATCH', 'OPTIONS']) {
      const answer = await ask('service', `${method} ${path}`)
      expect(answer?.status ?? 400).toBeGreaterThanOrEqual(400)
      expect(answer?.status ?? 400).toBeLessThan(500)
    }
    expect((await call(`${site.service.url}/documents/mine`, { key: key.key })).body).toBe('of ann alone')
  })

  test('users of login are behind the guard however their path is spelled (AUT-10)', async () => {
    for (const path of [
      '/users',
      '/users/',
      '//users',
      '/./users',
      '/auth/../users',
      '/auth/%2e%2e/users',
      '/USERS',
      '/users?',
      '/users/me/',
      '/users//me',
      '/livez/../users/me',
    ]) {
      for (const method of ['GET', 'HEAD', 'POST', 'PATCH', 'DELETE']) {
        const answer = await ask('login', `${method} ${path}`)
        expect(answer?.status ?? 400).toBeGreaterThanOrEqual(400)
        expect(answer?.status ?? 400).toBeLessThan(500)
      }
    }
  })

  test('what is not there is a problem like any other, with or without a credential', async () => {
    for (const path of [
      '/',
      '/nothing',
      '/favicon.ico',
      '/.env',
      '/documents/x/y',
      '/openapi',
      '/metrics/x',
      `/${'x'.repeat(8_000)}`,
    ]) {
      for (const name of ['login', 'service'] as const) {
        expectProblem(await ask(name, `GET ${path}`), 404, 'not_found')
        expectProblem(await ask(name, `GET ${path}`, [withToken()]), 404, 'not_found')
      }
    }
  })
})

describe('the Host header', () => {
  const hosts = [
    '',
    'a',
    '.',
    '[',
    '%%%',
    'a b',
    'a/livez',
    'a?b',
    'a#b',
    '/livez',
    'localhost:99999',
    'user:password@localhost',
    'ÿ',
    'elsewhere.example',
    'x'.repeat(4_000),
    '[::1]:80',
    '..',
    '*',
  ]

  test.each(hosts)('%p opens nothing that is guarded, and is no fault of the service', async host => {
    for (const name of ['login', 'service'] as const) {
      const guarded = name === 'login' ? '/users/me' : '/documents/mine'
      const other = name === 'login' ? '/auth' : '/whoami'
      const headers = [`Host: ${host}`]
      for (const path of [
        guarded,
        `//x${guarded}`,
        `/x/y${guarded}`,
        `/livez/..${guarded}`,
        `${other}/../livez${guarded}`,
      ]) {
        for (const method of ['GET', 'PATCH', 'DELETE']) {
          const answer = await ask(name, `${method} ${path}`, headers)
          expect(answer?.status).toBeGreaterThanOrEqual(400)
          expect(answer?.status).toBeLessThan(500)
          expect(answer?.headers.get('content-type')).toBe('application/problem+json')
        }
      }
      // What names no host may be refused as such; whatever else it does, it changes nothing.
      const [letIn, alive] = [
        await ask(name, `GET ${guarded}`, [...headers, withToken()]),
        await ask(name, 'GET /livez', headers),
      ]
      for (const answer of [letIn, alive])
        if (answer?.status !== 200) expectProblem(answer, 400, 'host_invalid')
      expect(letIn?.status).toBe(alive?.status ?? 0)
    }
  })

  test.each(['a', 'elsewhere.example', 'localhost:1', '[::1]:80'])(
    '%p is a host like any other, and counts for nothing',
    async host => {
      const headers = [`Host: ${host}`]
      expectProblem(await ask('service', 'GET /documents/mine', headers), 400, 'credential_missing')
      expect((await ask('service', 'GET /documents/mine', [...headers, withKey()]))?.body).toBe(
        'of ann alone',
      )
      expectProblem(await ask('service', 'GET /nothing', headers), 404, 'not_found')
      expectProblem(await ask('service', 'DELETE /livez', headers), 405, 'method_not_allowed')
    },
  )

  test('without it, and with HTTP of another age, there is no way in', async () => {
    for (const head of [
      'GET /whoami HTTP/1.1\r\n\r\n',
      'GET /whoami HTTP/1.0\r\n\r\n',
      'GET /whoami HTTP/9.9\r\nHost: a\r\n\r\n',
      'GET /whoami\r\n\r\n',
      '\u0016\u0003\u0001',
      '\r\n\r\n\r\n',
    ]) {
      const answer = await exchange(site.service.port, [head, '\r\n\r\n'])
      expect(answer?.status ?? 400).toBeGreaterThanOrEqual(400)
      expect(answer?.status ?? 400).toBeLessThan(600)
    }
  })
})

test('after all of that neither service has met a fault, and no credential is in a log (LOG-02)', async () => {
  await Promise.all([site.login.stop(), site.service.stop()])
  site.stage.keepSecret('password@localhost')
  expect(site.stage.leaks()).toEqual([])
  expect(site.stage.logLines().filter(line => line.includes('"level":"error"'))).toEqual([])
})

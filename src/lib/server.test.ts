import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { Elysia, t } from 'elysia'
import { Failure } from './failure.ts'
import { createLog } from './log.ts'
import { createProblems } from './problem.ts'
import { factsOf } from './request.ts'
import { appConfig, identify, observe, securityHeaders, serve } from './server.ts'
import { StartError } from './start-error.ts'
import { type Ask, ask } from './test-http.ts'
import { exchange, serve as listen, type Served } from './test-serve.ts'

const createApp = () => {
  const lines: string[] = []
  const log = createLog({ level: 'debug', service: 'test' }, { write: line => lines.push(line) })
  const table = { teapot: { status: 418, title: 'No coffee here' } }
  const app = new Elysia(appConfig)
    .headers(securityHeaders)
    .wrap(observe(log, () => null))
    .onRequest(identify)
    .use(createProblems({ table, onUnexpected: () => {} }))
    .get('/ok', () => ({ ok: true }))
    .get('/text', () => 'text')
    .get('/nothing', () => new Response(null, { status: 204 }))
    .get('/own', () => new Response('own', { headers: { 'x-own': 'yes' } }))
    .get('/away', ({ redirect }) => redirect('https://elsewhere.example/'))
    .get('/who', ({ request }) => {
      factsOf(request).actorId = 'usr_1'
      return factsOf(request).id
    })
    .get('/failure', () => {
      throw new Failure('teapot')
    })
    .get('/throws', () => {
      throw new Error('words of a driver')
    })
    .get('/rejects', async () => {
      await Bun.sleep(1)
      throw new Error('words of a driver')
    })
    .get('/throws-text', () => {
      throw 'words of a driver'
    })
    .post('/strict', () => 'ok', { body: t.Object({ name: t.String() }) })
    .get('/items/:id', ({ params }) => params.id)
  const logged = () => lines.map((line): unknown => JSON.parse(line))
  return { app, logged, lines }
}

type Case = [what: string, method: string, path: string, sent: Ask, status: number, code: string | null]
const cases: Case[] = [
  ['an object', 'GET', '/ok', {}, 200, null],
  ['text', 'GET', '/text', {}, 200, null],
  ['no body', 'GET', '/nothing', {}, 204, null],
  ['an answer of its own', 'GET', '/own', {}, 200, null],
  ['a redirect', 'GET', '/away', {}, 302, null],
  ['HEAD', 'HEAD', '/ok', {}, 200, null],
  ['nothing there', 'GET', '/nowhere', {}, 404, 'not_found'],
  ['a failure', 'GET', '/failure', {}, 418, 'teapot'],
  ['an invalid body', 'POST', '/strict', { body: { name: 7 } }, 422, 'invalid_request'],
  ['a handler that throws', 'GET', '/throws', {}, 500, 'internal_error'],
  ['a handler that rejects', 'GET', '/rejects', {}, 500, 'internal_error'],
  ['a handler that throws text', 'GET', '/throws-text', {}, 500, 'internal_error'],
]

describe('every answer', () => {
  test.each(cases)(
    'HTTP-07: to %s has the security headers and a request id',
    async (_, method, path, sent, status) => {
      const { app } = createApp()
      const { headers, text, ...answer } = await ask(app, method, path, sent)
      expect(answer.status).toBe(status)
      for (const [name, value] of Object.entries(securityHeaders)) expect(headers.get(name)).toBe(value)
      expect(headers.get('x-request-id')).toMatch(/^[\w-]{1,64}$/)
      expect(headers.get('server')).toBeNull()
      expect(headers.get('x-powered-by')).toBeNull()
      expect(text).not.toContain('driver')
    },
  )

  test.each(cases)('LOG-01: to %s is a line of the log', async (_, method, path, sent, status, code) => {
    const { app, logged } = createApp()
    await ask(app, method, path, { ...sent, headers: { 'x-request-id': 'req-1' } })
    expect(logged()).toEqual([
      {
        level: 'info',
        time: expect.any(String),
        service: 'test',
        requestId: 'req-1',
        method,
        path,
        status,
        code,
        actorId: null,
        address: null,
        milliseconds: expect.any(Number),
        msg: 'request',
      },
    ])
  })

  test.each(cases)(
    'LOG-03: to %s names the request as its caller did, or else by a new id',
    async (_, method, path, sent) => {
      const { app } = createApp()
      const idFor = async (given: string) =>
        (await ask(app, method, path, { ...sent, headers: { 'x-request-id': given } })).headers.get(
          'x-request-id',
        )
      expect(await idFor('req-1')).toBe('req-1')
      const made = await idFor('not "one"')
      expect(made).toMatch(/^[0-9a-f-]{36}$/)
      expect(await idFor('not "one"')).not.toBe(made)
    },
  )

  test('names one request by one id: in the handler, the header, the problem and the log', async () => {
    const { app, logged } = createApp()
    const who = await ask(app, 'GET', '/who')
    expect(who.text).toBe(who.headers.get('x-request-id') ?? '')
    const failed = await ask(app, 'GET', '/failure')
    const id = failed.headers.get('x-request-id')
    expect(failed.json()).toMatchObject({ requestId: id })
    expect(logged()).toMatchObject([
      { requestId: who.text, actorId: 'usr_1' },
      { requestId: id, actorId: null },
    ])
  })
})

describe('LOG-02: the log has the path alone', () => {
  test.each([
    ['/items/1?token=secret', '/items/1'],
    ['/nowhere?secret', '/nowhere'],
    ['/ok?', '/ok'],
    ['/items/a%2fb?x=/secret/', '/items/a%2fb'],
    ['/?secret', '/'],
    ['//ok?secret', '//ok'],
  ])('%s is logged as %s', async (given, path) => {
    const { app, logged, lines } = createApp()
    await ask(app, 'GET', given)
    expect(logged()).toMatchObject([{ path }])
    expect(lines.join()).not.toContain('secret')
  })

  test('and no header, no body, no credential', async () => {
    const { app, lines } = createApp()
    const headers = {
      authorization: 'Bearer secret',
      'x-api-key': 'secret',
      cookie: 'secret',
      referer: '/?secret',
    }
    await ask(app, 'POST', '/strict', { headers, body: { name: 7, password: 'secret' } })
    expect(lines).toHaveLength(1)
    expect(lines.join()).not.toContain('secret')
  })

  test('LOG-04: and no more of it than 256 characters', async () => {
    const { app, logged } = createApp()
    await ask(app, 'GET', `/items/${'x'.repeat(5_000)}`)
    expect(logged()).toMatchObject([{ path: `/items/${'x'.repeat(249)}` }])
  })
})

describe('over a socket', () => {
  let served: Served
  let started: ReturnType<typeof createApp>
  beforeEach(() => {
    started = createApp()
    served = listen(started.app)
  })
  afterEach(() => served[Symbol.asyncDispose]())

  test.each([
    ['POST', '/ok', 'HEAD, GET'],
    ['DELETE', '/items/7', 'HEAD, GET'],
    ['GET', '/strict', 'POST'],
    ['OPTIONS', '/strict', 'POST'],
  ])(
    'HTTP-06: %s %s is 405 with Allow, and has headers, id and line like any other',
    async (method, path, allow) => {
      const response = await fetch(`${served.url}${path}`, { method, headers: { 'x-request-id': 'req-1' } })
      expect(response.status).toBe(405)
      expect(response.headers.get('allow')).toBe(allow)
      expect(await response.json()).toMatchObject({ code: 'method_not_allowed', requestId: 'req-1' })
      for (const [name, value] of Object.entries(securityHeaders))
        expect(response.headers.get(name)).toBe(value)
      expect(started.logged()).toMatchObject([
        { requestId: 'req-1', status: 405, code: 'method_not_allowed' },
      ])
    },
  )

  /** Asks for a path that is not there, and that ends like one that is. */
  const askAs = (host: string) => exchange(served.port, `GET /nowhere/ok HTTP/1.1\r\nHost: ${host}\r\n\r\n`)

  test.each(['a', 'localhost', 'x:80', '[::1]'])(
    'HTTP-10: the Host header %j changes no path',
    async host => {
      const { status, body } = await askAs(host)
      expect({ status, body }).toMatchObject({ status: 404, body: expect.stringContaining('not_found') })
      expect(started.logged()).toMatchObject([{ path: '/nowhere/ok', status: 404 }])
      expect((await exchange(served.port, `GET /ok HTTP/1.1\r\nHost: ${host}\r\n\r\n`)).status).toBe(200)
    },
  )

  // Bun makes `url` the path alone then, and Elysia cuts as much off it as an origin has.
  test.each(['', 'x/ok', 'a b', '@'])(
    'HTTP-10: a Host header that is none, as %j, is a bad request',
    async host => {
      expect((await askAs(host)).status).toBe(400)
    },
  )

  test('LOG-03: what comes over the wire stays in its line', async () => {
    const path = '/items/a%0d%0a%1b[31m%e2%80%a8'
    await exchange(served.port, `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    await exchange(
      served.port,
      Buffer.from(
        'GET /items/\u001b[31m HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a\u001b[31m\r\n\r\n',
        'latin1',
      ),
    ).catch(() => null)
    for (const line of started.lines) expect(line).toMatch(/^[ -~]+\n$/)
    expect(started.lines.length).toBeGreaterThan(0)
  })
})

test('a start on a port that is taken says so, without a stack', () => {
  using other = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response() })
  const log = createLog({ level: 'silent', service: 'test' })
  const start = () =>
    serve({
      app: createApp().app,
      host: '127.0.0.1',
      port: other.port ?? 0,
      drainSeconds: 0,
      log,
      lifecycle: { draining: false },
      close: () => {},
    })
  expect(start).toThrow(StartError)
  expect(start).toThrow(`Port ${other.port} of 127.0.0.1 is taken`)
})

import { Database } from 'bun:sqlite'
import { afterAll, beforeEach, describe, expect, test } from 'bun:test'
import { Elysia, InvalidCookieSignature, NotFoundError, status, t } from 'elysia'
import fc from 'fast-check'
import { jsonBody } from './body.ts'
import { Failure } from './failure.ts'
import { commonProblems, createProblems, fieldErrors } from './problem.ts'
import { Refusal } from './problem-answer.ts'
import { type Answer, ask } from './test-http.ts'
import { exchange, serve } from './test-serve.ts'

const codes = { teapot: { status: 418, title: 'A teapot' } } as const
const unexpected: unknown[] = []
let ran = 0
beforeEach(() => {
  unexpected.length = 0
  ran = 0
})

/** What the route `/throw` throws. */
let thrown: unknown = null
const count = () => {
  ran += 1
  return 'ok'
}

/** What the route `/begun` has set when it throws. */
const begun = {
  'Content-Type': 'text/csv',
  'content-encoding': 'gzip',
  'content-length': '3',
  'Content-Disposition': 'attachment',
  'Cache-Control': 'public, max-age=600',
  'X-Request-Id': 'not-this-one',
  etag: '"of-the-file"',
  'last-modified': 'Tue, 10 Mar 2026 12:00:00 GMT',
  location: '/begun/1',
  vary: 'accept',
}

const Everything = t.Object({
  text: t.Optional(t.String({ pattern: '^[a-z]{1,3}$' })),
  literal: t.Optional(t.Literal('only-this')),
  either: t.Optional(t.Union([t.Literal('one'), t.Literal('two'), t.Integer()])),
  email: t.Optional(t.String({ format: 'email' })),
  when: t.Optional(t.Nullable(t.String({ format: 'date-time' }))),
  number: t.Optional(t.Integer({ minimum: 1, maximum: 5 })),
  flag: t.Optional(t.Boolean()),
  list: t.Optional(t.Array(t.String({ maxLength: 2 }), { maxItems: 2, uniqueItems: true })),
  deep: t.Optional(t.Object({ text: t.String({ maxLength: 2 }) })),
})

const app = new Elysia({ normalize: false, handler: { standardHostname: false } })
  .use(createProblems({ table: commonProblems, extra: codes, onUnexpected: error => unexpected.push(error) }))
  .use(jsonBody())
  .get('/throw', () => {
    throw thrown
  })
  .get('/status', () => status(409, 'mine'))
  .get('/thrown-status', () => {
    throw status(409, 'mine')
  })
  .get('/mismatch', () => JSON.parse('{"secret":"told"}'), { response: t.Object({ a: t.String() }) })
  .get('/items/:id', count, { params: t.Object({ id: t.Integer({ maximum: 5 }) }) })
  .put('/items/:id', count)
  .get('/query', count, { query: Everything })
  .post('/body', count, { body: Everything })
  .get('/headers', count, { headers: t.Object({ 'x-number': t.Integer() }) })
  .get('/cookie', count, { cookie: t.Cookie({ number: t.Integer() }) })
  .get('/gone', () => {
    throw new NotFoundError('a-private-row')
  })
  .get('/begun', ({ set }) => {
    set.status = 201
    Object.assign(set.headers, begun)
    throw thrown
  })
  .all('/all', count)
const served = serve(app)
afterAll(() => served[Symbol.asyncDispose]())

const problemOf = (answer: Answer): object => Object(answer.json())
const throwing = async (error: unknown): Promise<Answer> => {
  thrown = error
  return ask(app, 'GET', '/throw')
}

describe('a problem', () => {
  test('HTTP-01: has the members of RFC 9457 and ours, and headers that keep it what it is', async () => {
    const answer = await throwing(
      new Refusal(
        'teapot',
        { 'x-own': 'yes' },
        { detail: 'Short.', errors: [{ field: 'a', rule: 'b' }], retryAfterSeconds: 7 },
      ),
    )
    expect(answer.status).toBe(418)
    expect(answer.json()).toEqual({
      type: 'urn:latchkey:problem:teapot',
      title: 'A teapot',
      status: 418,
      code: 'teapot',
      requestId: answer.headers.get('x-request-id'),
      detail: 'Short.',
      errors: [{ field: 'a', rule: 'b' }],
    })
    expect(answer.headers.toJSON()).toMatchObject({
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'retry-after': '7',
      'x-own': 'yes',
    })
  })

  test('HTTP-01: says nothing of the answer that a handler had begun when it failed', async () => {
    thrown = new Failure('teapot')
    const response = await fetch(`${served.url}/begun`)
    const problem: object = Object(await response.json())
    expect(response.status).toBe(418)
    const { date, ...headers } = response.headers.toJSON()
    expect(headers).toEqual({
      'content-type': 'application/problem+json',
      'content-length': String(JSON.stringify(problem).length),
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'x-request-id': Object(problem).requestId,
      vary: 'accept',
    })
  })

  test("LOG-03: carries the caller's request id where it can harm no log, and a new one elsewhere", async () => {
    const idFor = async (given: string): Promise<string> =>
      String(
        Object(problemOf(await ask(app, 'GET', '/nowhere', { headers: { 'x-request-id': given } })))
          .requestId,
      )
    for (const given of ['a', 'req_1-A', 'x'.repeat(64)]) expect(await idFor(given)).toBe(given)
    for (const given of ['', 'x'.repeat(65), 'a b', 'a,b', '"a"', '<b>', 'é', '{}']) {
      expect(await idFor(given)).toMatch(/^[0-9a-f-]{36}$/)
    }
  })

  test('HTTP-02: names 20 fields at most, and a hundred characters of a name', () => {
    const many = Array.from({ length: 50 }, (_, index) => ({ path: `/${index}`, message: 'm' }))
    expect(fieldErrors(many)).toHaveLength(20)
    expect(fieldErrors([{ path: `/${'x'.repeat(1_000)}`, message: 'm' }])[0]?.field).toHaveLength(100)
    expect(fieldErrors([many[0], many[0]].flatMap(error => error ?? []))).toHaveLength(1)
  })
})

describe('an error that is not the caller’s', () => {
  const cause = new Error('the-private-cause')
  class Foreign extends Error {
    status = 403
    code = 'teapot'
  }

  test.each([
    ['an error', cause],
    ['an error with a status and a code of its own', new Foreign('the-private-cause')],
    ['an object with a status', { status: 418, message: 'the-private-cause' }],
    ['a text', 'the-private-cause'],
    ['a number', 418],
    ['a failure with a code of nobody', new Failure('the-private-cause', { detail: 'the-private-cause' })],
    ['a failure named like a member of every object', new Failure('constructor')],
    ['a response of the validation', new Failure('internal_error', { cause })],
  ])('HTTP-01: is a 500 and nothing is told of it: %s', async (_, error) => {
    const answer = await throwing(error)
    expect(answer.status).toBe(500)
    expect(answer.json()).toEqual({
      type: 'urn:latchkey:problem:internal_error',
      title: 'Something went wrong here',
      status: 500,
      code: 'internal_error',
      requestId: expect.any(String),
    })
    expect(answer.text).not.toContain('the-private-cause')
    expect(unexpected).toHaveLength(1)
  })

  test('is told to whoever keeps the log, with its cause', async () => {
    await throwing(cause)
    await throwing(new Failure('unavailable', { cause }))
    expect(unexpected).toEqual([cause, cause])
  })

  test('HTTP-03: an answer that breaks its own schema is not blamed on the caller', async () => {
    const answer = await ask(app, 'GET', '/mismatch')
    expect(answer.status).toBe(500)
    expect(answer.text).not.toContain('told')
    expect(unexpected).toHaveLength(1)
  })

  test('AUT-09: a database out of use is a 503 without its words, a wrong statement a 500', async () => {
    const errorOf = (act: () => void): unknown => {
      try {
        return act()
      } catch (error) {
        return error
      }
    }
    const database = new Database(':memory:')
    const [size] = database.query('PRAGMA page_count').values().flat()
    database.run(`PRAGMA max_page_count = ${Number(size) + 1}`)
    const full = errorOf(() => {
      database.run('CREATE TABLE a (x)')
      for (;;) database.run('INSERT INTO a VALUES (zeroblob(5000))')
    })
    const answer = await throwing(full)
    expect(answer.status).toBe(503)
    expect(answer.headers.get('retry-after')).toBe('1')
    expect(answer.text).not.toMatch(/sqlite|full|disk/i)
    const wrong = await throwing(errorOf(() => database.run('SELECT nowhere')))
    expect(wrong.status).toBe(500)
    expect(wrong.text).not.toContain('nowhere')
    expect(unexpected).toHaveLength(2)
  })
})

describe('what an app answers with on purpose', () => {
  test('stays its own', async () => {
    for (const path of ['/status', '/thrown-status']) {
      expect(await ask(app, 'GET', path)).toMatchObject({ status: 409, text: 'mine' })
    }
  })

  test('a bad cookie signature and a code of the app are problems', async () => {
    expect((await throwing(new InvalidCookieSignature('session'))).status).toBe(422)
    expect((await throwing(new Failure('teapot'))).status).toBe(418)
    expect(unexpected).toEqual([])
  })
})

describe('a path and its methods', () => {
  const fetched = async (method: string, path: string) => {
    const response = await fetch(served.url + path, { method })
    return { status: response.status, allow: response.headers.get('allow') }
  }

  test.each([
    ['POST', '/throw', 'HEAD, GET'],
    ['DELETE', '/items/5', 'HEAD, GET, PUT'],
    ['POST', '/items/5/', 'HEAD, GET, PUT'],
    ['GET', '/body', 'POST'],
    ['OPTIONS', '/body/', 'POST'],
    ['PURGE', '/query?text=a', 'HEAD, GET'],
  ])('HTTP-06: %s %s is a 405 that names %s', async (method, path, allow) => {
    expect(await fetched(method, path)).toEqual({ status: 405, allow })
  })

  test('HTTP-06: a path that is not there is a 404 for any method', async () => {
    for (const method of ['GET', 'POST', 'DELETE', 'OPTIONS']) {
      expect(await fetched(method, '/nowhere')).toEqual({ status: 404, allow: null })
      expect(await fetched(method, '/items/5/6')).toEqual({ status: 404, allow: null })
      expect(await fetched(method, '/__proto__')).toEqual({ status: 404, allow: null })
    }
  })

  test('HTTP-06: what a handler does not find is a 404, not a wrong method', async () => {
    expect(await fetched('GET', '/gone')).toEqual({ status: 404, allow: null })
    expect(await fetched('POST', '/gone')).toEqual({ status: 405, allow: 'HEAD, GET' })
    expect((await ask(app, 'GET', '/gone')).text).not.toContain('a-private-row')
    expect((await fetched('POST', '/all')).status).toBe(200)
  })

  test('HTTP-06: HEAD has no body', async () => {
    const answer = await exchange(served.port, 'HEAD /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n')
    expect(answer).toMatchObject({ status: 404, body: '' })
  })

  test('HTTP-03: no path or host makes it fail', async () => {
    for (const path of [
      '//',
      '//nowhere',
      '/%',
      '/%ff',
      '/%00',
      '/items/%',
      '*',
      'http://localhost/nowhere',
    ]) {
      for (const host of ['localhost', '', 'a', '[', '%', 'a b', 'localhost:99999']) {
        const answer = await exchange(served.port, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
        expect(answer.status).toBeGreaterThanOrEqual(400)
        expect(answer.status).toBeLessThan(500)
      }
    }
    expect(unexpected).toEqual([])
  })
})

describe('what was sent', () => {
  const marker = fc.stringMatching(/^[0-9a-f]{12}$/).map(digits => `mark-${digits}-Z`)
  const invalid = (text: string): object[] => [
    { text },
    { text: [text] },
    { text: { a: text } },
    { email: [text] },
    { list: [[text]] },
    { literal: text },
    { either: text },
    { email: text },
    { when: text },
    { number: text },
    { flag: text },
    { list: [text] },
    { list: text },
    { deep: { text } },
    { deep: text },
  ]

  test('HTTP-02: comes back in no answer, wherever it was wrong', async () => {
    await fc.assert(
      fc.asyncProperty(marker, async text => {
        const asks = [
          ...invalid(text).map(body => ask(app, 'POST', '/body', { body })),
          ask(app, 'POST', '/body', { body: text }),
          ask(app, 'POST', '/body', { raw: `{"text":"${text}` }),
          ask(app, 'POST', '/body', { raw: text, headers: { 'content-type': `text/${text}` } }),
          ...['text', 'literal', 'either', 'email', 'when', 'number', 'flag', 'deep'].map(name =>
            ask(app, 'GET', `/query?${name}=${text}`),
          ),
          ask(app, 'GET', `/items/${text}`),
          ask(app, 'GET', `/${text}`),
          ask(app, 'GET', '/headers', { headers: { 'x-number': text, [text]: text } }),
          ask(app, 'GET', '/cookie', { headers: { cookie: `number=${text}` } }),
        ]
        for (const answer of await Promise.all(asks)) {
          expect(answer.status).toBeGreaterThanOrEqual(400)
          expect(answer.status).toBeLessThan(500)
          expect(answer.headers.get('content-type')).toBe('application/problem+json')
          expect(answer.text + JSON.stringify(answer.headers)).not.toContain(text)
        }
      }),
      { numRuns: 10 },
    )
    expect(ran).toBe(0)
    expect(unexpected).toEqual([])
  })

  test('HTTP-02: the fields are named, with the rule that each broke', async () => {
    const answer = await ask(app, 'POST', '/body', {
      body: { literal: 'x', number: 9, list: ['long'], deep: { text: 'long' } },
    })
    expect(answer.json()).toMatchObject({ code: 'invalid_request' })
    const { errors }: { errors?: { field: string; rule: string }[] } = problemOf(answer)
    expect(errors?.map(({ field }) => field).toSorted()).toEqual(['deep/text', 'list/0', 'literal', 'number'])
    expect(errors?.every(({ rule }) => rule !== '')).toBe(true)
  })
})

import { afterAll, beforeAll, expect, test } from 'bun:test'
import { call } from '../support/http.ts'
import { parseJson, textOf } from '../support/json.ts'
import { expectProblem } from '../support/problem.ts'
import { addPerson, type Key, makeKey, type Person, type Site, signIn, startSite } from '../support/site.ts'
import { exchange, type RawAnswer, requestHead } from '../support/tcp.ts'

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

test('too many or too large ones are refused and not read further (HTTP-11)', async () => {
  for (const headers of [
    [`X-Big: ${'x'.repeat(20_000)}`],
    Array.from({ length: 300 }, (_, index) => `X-${index}: 1`),
  ]) {
    const answer = await ask('service', 'GET /documents/mine', [withKey(), ...headers])
    expect([400, 413, 431]).toContain(answer?.status ?? 400)
  }
  expectProblem(
    await ask('service', 'GET /whoami', [`X-API-Key: ${'x'.repeat(8_000)}`]),
    403,
    'api_key_invalid',
  )
  expectProblem(
    await ask('service', 'GET /whoami', [`Authorization: Bearer ${'x'.repeat(8_000)}`]),
    401,
    'token_invalid',
  )
})

test('framing that two servers could read in two ways is refused, and what hides in it is no request (HTTP-10)', async () => {
  const hidden = `DELETE /documents/mine HTTP/1.1\r\nHost: localhost\r\n${withKey()}\r\nContent-Length: 0\r\n\r\n`
  const type = 'Content-Type: application/json'
  const framings = [
    [['Content-Length: 4', 'Transfer-Encoding: chunked'], `0\r\n\r\n${hidden}`],
    [['Transfer-Encoding: chunked', 'Content-Length: 4'], `0\r\n\r\n${hidden}`],
    [['Content-Length: 0', `Content-Length: ${hidden.length}`], hidden],
    [['Content-Length: 0, 5'], hidden],
    [['Content-Length: +0'], hidden],
    [['Content-Length: 0x0'], hidden],
    [['Content-Length: -1'], hidden],
    [['Transfer-Encoding: xchunked'], `0\r\n\r\n${hidden}`],
    [['Transfer-Encoding: chunked, identity'], `0\r\n\r\n${hidden}`],
    [['Transfer-Encoding : chunked'], `0\r\n\r\n${hidden}`],
    [['Transfer-Encoding:\u000bchunked'], `0\r\n\r\n${hidden}`],
    [['Transfer-Encoding: chunked'], `xyz\r\n${hidden}`],
    [['Transfer-Encoding: chunked'], `-1\r\n${hidden}`],
  ] as const
  for (const [headers, rest] of framings) {
    const answer = await exchange(site.service.port, [
      requestHead('PUT /documents/framed', [withKey(), type, ...headers]),
      rest,
    ])
    expect(answer?.status ?? 400).toBe(400)
  }
  expect((await call(`${site.service.url}/documents/mine`, { key: key.key })).body).toBe('of ann alone')
})

test('addresses and identities that a header claims count for nothing (AUT-11)', async () => {
  const claims = [
    'X-Forwarded-For: 127.0.0.1',
    'X-Real-IP: 127.0.0.1',
    'Forwarded: for=127.0.0.1',
    `X-User-Id: ${ann.id}`,
    'X-Auth-Roles: admin',
    'X-Original-URL: /livez',
    'X-Rewrite-URL: /livez',
    'X-HTTP-Method-Override: GET',
  ]
  expectProblem(await ask('service', 'GET /documents/mine', claims), 400, 'credential_missing')
  expectProblem(await ask('login', 'GET /users', [...claims, withToken()]), 403, 'insufficient_permission')
  expectProblem(await ask('service', 'DELETE /livez', claims), 405, 'method_not_allowed')
})

test('a request id is kept where it can harm no log, and replaced otherwise (LOG-03)', async () => {
  for (const name of ['login', 'service'] as const) {
    for (const path of ['/livez', '/nothing', '/whoami', '/users/me']) {
      for (const id of ['a', 'Trace_1-2', 'x'.repeat(64)]) {
        expect((await ask(name, `GET ${path}`, [`X-Request-Id: ${id}`]))?.headers.get('x-request-id')).toBe(
          id,
        )
      }
      for (const id of ['', 'x'.repeat(65), 'a b', 'a"b', '{}', 'a,b', '../x', 'é', 'a\tb']) {
        const answer = await ask(name, `GET ${path}`, [`X-Request-Id: ${id}`])
        expect(answer?.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
      }
    }
  }
})

test('every answer forbids sniffing, framing and running it, and allows no other origin (HTTP-07, HTTP-12)', async () => {
  for (const [line, headers] of [
    ['GET /livez', []],
    ['GET /nothing', []],
    ['GET /documents', [withKey()]],
    ['GET /documents', []],
    ['OPTIONS /documents', ['Origin: https://elsewhere.example', 'Access-Control-Request-Method: GET']],
  ] as const) {
    const answer = await ask('service', line, headers)
    expect(answer?.headers.get('x-content-type-options')).toBe('nosniff')
    expect(answer?.headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(answer?.headers.get('access-control-allow-origin')).toBeNull()
    expect(answer?.headers.get('server')).toBeNull()
    expect(answer?.headers.get('x-powered-by')).toBeNull()
  }
})

test('each request has its line in the log, with its id, status and caller, and no secret (LOG-01, LOG-02)', async () => {
  await ask('service', 'GET /documents/mine?api_key=in-the-query', [withKey(), 'X-Request-Id: good-one'])
  await ask('service', 'GET /documents/mine', ['X-API-Key: nonsense', 'X-Request-Id: bad-one'])
  await site.service.program().waitForLine(line => line.includes('"bad-one"'))
  site.stage.keepSecret('in-the-query', 'nonsense')
  await Promise.all([site.login.stop(), site.service.stop()])
  expect(site.stage.leaks()).toEqual([])
  const lines = site.stage.logLines().map(parseJson)
  const request = {
    msg: 'request',
    service: 'service-a',
    method: 'GET',
    path: '/documents/mine',
    level: 'info',
  }
  expect(lines).toContainEqual(
    expect.objectContaining({ ...request, requestId: 'good-one', status: 200, actorId: ann.id, code: null }),
  )
  expect(lines).toContainEqual(
    expect.objectContaining({
      ...request,
      requestId: 'bad-one',
      status: 403,
      actorId: null,
      code: 'api_key_invalid',
    }),
  )
  for (const line of lines) expect(textOf(line, 'time')).toMatch(/^\d{4}-\d{2}-\d{2}T[\d:.]+Z$/)
  expect(lines.filter(line => textOf(line, 'level') === 'error')).toEqual([])
})

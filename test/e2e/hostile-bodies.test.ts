import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { call } from '../support/http.ts'
import { listOf, member } from '../support/json.ts'
import { expectProblem, fieldsOf } from '../support/problem.ts'
import type { Role } from '../support/role.ts'
import { addPerson, type Key, makeKey, type Person, type Site, signIn, startSite } from '../support/site.ts'
import { exchange, type RawAnswer, requestHead } from '../support/tcp.ts'

let site: Site
let adminToken: string
let ann: Person
let key: Key

/** Stands in every value that is sent; no answer and no log may have it. */
const marker = 'Mark3rOfWhatWasSent'

type Body = string | Uint8Array | readonly (string | Uint8Array)[]
type Route = {
  readonly line: string
  readonly role: () => Role
  readonly credential?: () => string
}

const withKey = (): string => `X-API-Key: ${key.key}`
const withToken = (): string => `Authorization: Bearer ${ann.accessToken}`
const withAdmin = (): string => `Authorization: Bearer ${adminToken}`
const login = (): Role => site.login
const service = (): Role => site.service

const documents: Route = { line: 'PUT /documents/hostile', role: service, credential: withKey }
const strict: Route[] = [
  { line: 'POST /api-keys', role: service, credential: withToken },
  { line: 'PATCH /api-keys/:key', role: service, credential: withToken },
  { line: 'POST /api-keys/:key/rotate', role: service, credential: withToken },
  { line: 'PATCH /account', role: service, credential: withToken },
  { line: 'PATCH /users/me', role: login, credential: withToken },
  { line: 'POST /users', role: login, credential: withAdmin },
  { line: 'PATCH /users/:user', role: login, credential: withAdmin },
  { line: 'POST /auth/login', role: login },
  { line: 'POST /auth/refresh', role: login },
  { line: 'POST /auth/logout', role: login },
  { line: 'POST /auth/setup', role: login },
]
const guarded: Route[] = [documents, ...strict.filter(({ credential }) => credential !== undefined)]
const all: Route[] = [documents, ...strict]

const sizeOf = (body: string | Uint8Array): number => Buffer.byteLength(body)

/** Sends a body, chunked where it is a list, and expects that the answer has nothing of it. */
const send = async (
  { line, role, credential }: Route,
  body: Body,
  headers: readonly string[] = ['Content-Type: application/json'],
): Promise<RawAnswer | null> => {
  const isWhole = typeof body === 'string' || body instanceof Uint8Array
  const length = isWhole ? `Content-Length: ${sizeOf(body)}` : 'Transfer-Encoding: chunked'
  const path = line.replace(':key', key.id).replace(':user', ann.id)
  const head = requestHead(path, [...(credential === undefined ? [] : [credential()]), ...headers, length])
  const answer = await exchange(role().port, [head, ...(isWhole ? [body] : body)])
  expect(`${answer?.head}\n${answer?.text}`).not.toContain(marker)
  return answer
}

/** What hostile bodies may change: nothing. */
const state = async (): Promise<unknown[]> => {
  const told = [
    await call(`${site.login.url}/users?limit=200`, { token: adminToken }),
    await call(`${site.service.url}/api-keys?limit=200`, { token: ann.accessToken }),
    await call(`${site.service.url}/documents?limit=200`, { token: ann.accessToken }),
  ]
  return told.map(({ body }) => listOf(body, 'items'))
}

let before: unknown[]
beforeAll(async () => {
  site = await startSite()
  site.stage.keepSecret(marker)
  adminToken = (await signIn(site, site.admin)).accessToken
  ann = await addPerson(site, adminToken, { name: 'ann' })
  key = await makeKey(site, ann.accessToken)
  before = await state()
})
afterAll(() => site.stage.end())

const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`
const megabytes = (count: number): Uint8Array => Buffer.alloc(count * 2 ** 20, `"${marker}",`)

describe.each(all)('$line', route => {
  test('refuses what is not JSON: 400 (HTTP-05)', async () => {
    const bodies: Body[] = [
      `{"name":"${marker}"`,
      `{"name":'${marker}'}`,
      `${marker}`,
      '{"a":1}{"b":2}',
      '[1,]',
      'NaN',
      '{"size":1e999}',
      '[-1e999]',
      '\u0000',
      ' ',
      Buffer.concat([Buffer.from(`{"name":"${marker}`), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]),
      Buffer.from([0xed, 0xa0, 0x80]),
      Buffer.from(`{"name":"${marker}"}`, 'utf16le'),
      [chunk(`{"name":"${marker}"`), '0\r\n\r\n'],
    ]
    for (const body of bodies) expectProblem(await send(route, body), 400, 'malformed_body')
  })

  test('refuses what nests too deep before it is parsed: 400, or 413 where it is too long as well', async () => {
    const deep = [
      '['.repeat(60_000),
      `${'['.repeat(30_000)}${']'.repeat(30_000)}`,
      '{"a":'.repeat(12_000),
      `{"name":${'[{"a":'.repeat(9_000)}`,
    ]
    for (const body of deep) expectProblem(await send(route, body), 400, 'malformed_body')
    expectProblem(await send(route, '['.repeat(200_000)), 413, 'body_too_large')
    expectProblem(await send(route, [chunk('['.repeat(200_000)), '0\r\n\r\n']), 413, 'body_too_large')
  })

  test('refuses ten megabytes, announced or in chunks: 413 (HTTP-05)', async () => {
    expectProblem(await send(route, megabytes(10)), 413, 'body_too_large')
    const million = Buffer.concat([Buffer.from('100000\r\n'), megabytes(1), Buffer.from('\r\n')])
    const chunked = [...Array.from({ length: 10 }, () => million), '0\r\n\r\n']
    expectProblem(await send(route, chunked), 413, 'body_too_large')
  })

  test('refuses media types, charsets and encodings that it does not read: 415 (HTTP-05)', async () => {
    const types = [
      [],
      ['Content-Type:'],
      ['Content-Type: text/plain'],
      ['Content-Type: text/html'],
      ['Content-Type: application/x-www-form-urlencoded'],
      ['Content-Type: multipart/form-data; boundary=x'],
      ['Content-Type: application/octet-stream'],
      ['Content-Type: application/xml'],
      ['Content-Type: application/jsonx'],
      ['Content-Type: application/json-patch+json'],
      ['Content-Type: application/json; charset=utf-16'],
      ['Content-Type: application/json; charset=iso-8859-1'],
      ['Content-Type: application/json, text/plain'],
      ['Content-Type: application/json', 'Content-Encoding: gzip'],
      ['Content-Type: application/json', 'Content-Encoding: br'],
      ['Content-Type: application/json', 'Content-Encoding: identity, gzip'],
    ]
    for (const headers of types) {
      expectProblem(await send(route, `{"name":"${marker}"}`, headers), 415, 'unsupported_media_type')
    }
  })
})

test.each(guarded)(
  '$line reads none of it without a credential: 400 whatever is sent',
  async ({ credential: _, ...route }) => {
    const bodies: (readonly [Body, (readonly string[])?])[] = [
      [`{"name":"${marker}"`],
      ['['.repeat(200_000)],
      [megabytes(10)],
      [[chunk(`{"name":"${marker}"`), '0\r\n\r\n']],
      [`name=${marker}`, ['Content-Type: application/x-www-form-urlencoded']],
      [`{"name":"${marker}"}`, ['Content-Type: application/json', 'Content-Encoding: gzip']],
      [`{"api_key":"${marker}","access_token":"${marker}"}`],
    ]
    for (const [body, headers] of bodies)
      expectProblem(await send(route, body, headers), 400, 'credential_missing')
  },
)

test.each(strict)(
  '$line names the fields that it does not know, and quotes no value: 422 (HTTP-02)',
  async route => {
    const unknown = [
      ['admin', `{"admin":"${marker}"}`],
      ['__proto__', `{"__proto__":{"roles":["${marker}"]}}`],
      ['constructor', `{"constructor":{"prototype":{"isAdmin":"${marker}"}}}`],
      ['toString', `{"toString":"${marker}"}`],
      ['ownerID', `{"ownerID":"${marker}"}`],
    ] as const
    for (const [field, body] of unknown) {
      const answer = await send(route, body)
      expectProblem(answer, 422, 'invalid_request')
      if (answer !== null) expect(fieldsOf(answer)).toContain(field)
    }
  },
)

test.each(strict)('$line takes no value of another type, and quotes none: 422 (HTTP-02)', async route => {
  const isOptional = route.line.includes('rotate')
  const others = ['null', '1', 'true', `"${marker}"`, `["${marker}"]`, '[]', '-0']
  for (const body of others) expectProblem(await send(route, body), 422, 'invalid_request')
  for (const value of ['1', 'true', '{}', `["${marker}"]`, `{"$ne":"${marker}"}`, '[[]]']) {
    const names = [
      'name',
      'email',
      'password',
      'displayName',
      'refresh_token',
      'token',
      'graceSeconds',
      'roles',
    ]
    const body = `{${names.map(name => `"${name}":${value}`).join()}}`
    expectProblem(await send(route, body), 422, 'invalid_request')
  }
  if (!isOptional) return
  for (const value of ['-1', '0.5', '1e9', '"0"', 'null', '[0]']) {
    expectProblem(await send(route, `{"graceSeconds":${value}}`), 422, 'invalid_request')
  }
})

test('bodies of any kind on routes that read none do no harm', async () => {
  const routes: Route[] = [
    { line: 'GET /livez', role: service },
    { line: 'GET /.well-known/jwks.json', role: login },
    { line: 'GET /documents', role: service, credential: withKey },
    { line: 'GET /users/me', role: login, credential: withToken },
    { line: 'POST /users/:user/enable', role: login, credential: withAdmin },
    { line: 'DELETE /documents/none', role: service, credential: withKey },
  ]
  for (const route of routes) {
    for (const body of [`{"name":"${marker}"`, '['.repeat(200_000), megabytes(2), '{"__proto__":{"a":1}}']) {
      const answer = await send(route, body)
      expect(answer?.status).toBeLessThan(500)
    }
  }
})

test('after all of that nothing has changed, both services work, and no log has a word of what was sent', async () => {
  const after = await state()
  // Enabling an enabled user touches nothing but the time of the last change.
  const withoutTimes = (lists: unknown[]) =>
    lists.map(list =>
      Array.isArray(list)
        ? list.map(item => [member(item, 'id'), member(item, 'name'), member(item, 'roles')])
        : list,
    )
  expect(withoutTimes(after)).toEqual(withoutTimes(before))
  expect((await call(`${site.service.url}/documents`, { key: key.key })).status).toBe(200)
  // First the one that would miss the other.
  await site.service.stop()
  await site.login.stop()
  expect(site.stage.leaks()).toEqual([])
  expect(site.stage.logLines().filter(line => /"level":"(error|warn)"/.test(line))).toEqual([])
})

/**
 * The examples of nginx and Caddy, with both of them as Debian has them, before a service that checks nothing by itself.
 * `bun run test proxies` runs it; `apt-get install nginx-light caddy` is what it needs.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { randomBytes } from 'node:crypto'
import {
  apiKey,
  bearer,
  deadKeys,
  type Given,
  invalidKeys,
  makeGiven,
  noTokens,
  type Row,
  unclear,
} from '../support/credential-rows.ts'
import { createForge, type Forge } from '../support/forge.ts'
import { call } from '../support/http.ts'
import { expectProblem } from '../support/problem.ts'
import { addPerson, makeKey, type Person, type Site, signIn, startSite } from '../support/site.ts'
import { exchange, requestHead } from '../support/tcp.ts'
import { missingProxies, type ProxyName, proxyNames, type ReverseProxy, startProxy } from './proxy.ts'
import { startBackend, startMiddle, type Witness } from './witness.ts'

const missing = missingProxies()
if (missing.length > 0) {
  process.stderr.write(
    `SKIPPED: the examples of ${missing.join(' and ')} are not tested, since ${missing.length > 1 ? 'they are' : 'it is'} not installed (apt-get install nginx-light caddy).\n`,
  )
}
test('at least one proxy is there to be tested', () => {
  expect(missing.length).toBeLessThan(proxyNames.length)
})

const secret = randomBytes(32).toString('base64url')
let site: Site
let ann: Person
let given: Given
let forge: Forge
let checkUrl = ''

beforeAll(async () => {
  if (missing.length === proxyNames.length) return
  site = await startSite({ mode: 'HS256', secret, service: { TRUSTED_PROXIES: '127.0.0.1' } })
  ann = await addPerson(site, (await signIn(site, site.admin)).accessToken, { name: 'ann' })
  given = await makeGiven(site, ann.accessToken)
  forge = createForge(site, secret, { id: ann.id, sessionId: `ses_${'0'.repeat(32)}` })
  checkUrl = site.service.url
})
afterAll(async () => {
  if (missing.length < proxyNames.length) await site.stage.end()
})

/** Of every kind that the table has the ones that differ on their way through a proxy. */
const rows: Row[] = [
  ...unclear('Bearer, ApiKey header="X-API-Key"'),
  ...noTokens,
  ...invalidKeys,
  ...deadKeys,
  {
    carries: 'an expired token',
    headers: () => [bearer(forge({ claims: { exp: Math.floor(Date.now() / 1_000) - 60 } }))],
    status: 401,
    code: 'token_expired',
    challenge: 'Bearer error="invalid_token"',
  },
  {
    carries: 'a key that may read only',
    headers: ({ reader }) => [apiKey(reader)],
    status: 403,
    code: 'insufficient_permission',
    challenge: null,
  },
  {
    carries: 'a token without roles',
    headers: () => [bearer(forge({ claims: { sub: `usr_${'0'.repeat(32)}`, roles: [] } }))],
    status: 403,
    code: 'insufficient_permission',
    challenge: 'Bearer error="insufficient_scope", scope="documents:write"',
  },
]

const owned = (names: Seen): string[] =>
  Object.keys(names)
    .filter(name => /^x.auth/.test(name))
    .sort()
type Seen = Witness['seen'][number]['headers']

describe.each([...proxyNames])('behind %s', name => {
  const isMissing = missing.includes(name)
  let backend: Witness
  let middle: Witness
  let proxy: ReverseProxy

  const start = async (proxyName: ProxyName): Promise<void> => {
    backend = await startBackend()
    middle = await startMiddle(() => checkUrl)
    proxy = await startProxy(site.stage, proxyName, { check: middle.port, backend: backend.port })
  }
  beforeAll(async () => {
    if (!isMissing) await start(name)
  })
  afterAll(async () => {
    if (isMissing) return
    await proxy.stop()
    await Promise.all([middle.stop(), backend.stop()])
  })
  beforeEach(() => {
    if (isMissing) return
    backend.forget()
    middle.forget()
  })
  afterEach(() => {
    checkUrl = isMissing ? '' : site.service.url
  })

  test.skipIf(isMissing).each(rows)(
    '$carries: $status $code, as the check says it, and the service is not called',
    async row => {
      const head = requestHead('POST /notes', [
        ...row.headers(given),
        'Content-Type: text/plain',
        'Content-Length: 7',
      ])
      const answer = await exchange(proxy.port, [head, 'private'])
      const isTwice = (head.match(/^Authorization:/gim)?.length ?? 0) > 1
      if (name === 'nginx' && isTwice) {
        // It takes no header twice of which there can be one, and asks nobody.
        expect([answer?.status, middle.seen, backend.seen]).toEqual([400, [], []])
        return
      }
      expectProblem(answer, row.status, row.code)
      // One header, or it says two things.
      expect(answer?.headers.get('www-authenticate') ?? null).toBe(row.challenge)
      expect(answer?.headers.get('cache-control')).toBe('no-store')
      expect(owned(Object.fromEntries([...(answer?.headers ?? [])].map(([key]) => [key, []])))).toEqual([])
      expect(backend.seen).toEqual([])
      expect(middle.seen.map(({ method, body }) => [method, body])).toEqual([['GET', '']])
    },
  )

  test.skipIf(isMissing).each([
    ['a token', () => bearer(given.token), () => ({ kind: 'user', user: ann.id, client: 'latchkey-login' })],
    ['a key', () => apiKey(given.key), () => ({ kind: 'key', key: `key_${given.key.slice(3, 19)}` })],
    [
      'a key as Bearer',
      () => bearer(given.key),
      () => ({ kind: 'key', key: `key_${given.key.slice(3, 19)}` }),
    ],
  ] as const)(
    '%s: the service hears whose it is, and is given no credential',
    async (_, credential, expected) => {
      const head = requestHead('PUT /notes/1?a=b', [credential(), 'Content-Length: 7'])
      const answer = await exchange(proxy.port, [head, 'private'])
      expect([answer?.status, answer?.text]).toEqual([200, 'from the backend 200'])
      const [seen] = backend.seen
      expect(backend.seen).toHaveLength(1)
      expect([seen?.method, seen?.path, seen?.body]).toEqual(['PUT', '/notes/1?a=b', 'private'])
      const told = Object.entries(seen?.headers ?? {}).flatMap(([key, values]) =>
        key.startsWith('x-auth-') && values.join() !== '' ? [[key.slice(7), values.join()]] : [],
      )
      expect(Object.fromEntries(told)).toEqual({
        owner: ann.id,
        permissions: 'documents:read documents:write',
        ...expected(),
      })
      expect(seen?.headers).not.toContainAnyKeys(['authorization', 'x-api-key'])
      expect(middle.seen.map(({ method, body }) => [method, body])).toEqual([['GET', '']])
      expect(middle.seen[0]?.headers['x-forwarded-for']).toEqual(['127.0.0.1'])
      expect(middle.seen[0]?.headers['x-request-id']).toEqual(seen?.headers['x-request-id'] ?? [])
    },
  )

  test.skipIf(isMissing)('what is needed goes by the method', async () => {
    const ask = async (method: string) =>
      (await call(`${proxy.url}/notes`, { key: given.reader, method })).status
    expect(await ask('GET')).toBe(200)
    expect(await ask('HEAD')).toBe(200)
    expect(backend.seen.map(({ method }) => method)).toEqual(['GET', 'HEAD'])
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']) {
      expect([method, await ask(method)]).toEqual([method, 403])
    }
    expect(backend.seen).toHaveLength(2)
  })

  const forged = ['Owner', 'Kind', 'Key', 'User', 'Client', 'Permissions', 'Status', 'Code', 'Problem']
  test.skipIf(isMissing).each([
    ['as we write them', (part: string) => `X-Auth-${part}`],
    ['in small letters', (part: string) => `x-auth-${part.toLowerCase()}`],
    ['with an underscore', (part: string) => `X-Auth_${part}`],
    ['with two', (part: string) => `X_Auth_${part}`],
    ['with two, in small letters', (part: string) => `x_auth_${part.toLowerCase()}`],
  ])('headers that a caller forged do not reach the service: %s', async (_, spell) => {
    const lines = forged.flatMap(part => [`${spell(part)}: forged`, `${spell(part)}: forged again`])
    const answer = await exchange(proxy.port, [requestHead('GET /', [apiKey(given.reader), ...lines])])
    expect(answer?.status).toBe(200)
    const [seen] = backend.seen
    expect(JSON.stringify(seen?.headers)).not.toContain('forged')
    expect(seen?.headers['x-auth-owner']).toEqual([ann.id])
    expect(await exchange(proxy.port, [requestHead('GET /', lines)])).toMatchObject({ status: 400 })
    expect(backend.seen).toHaveLength(1)
  })

  test.skipIf(isMissing)('a caller can not have the proxy drop what the service is told', async () => {
    const names = 'X-Auth-Owner, X-Auth-Permissions, X-Forwarded-For, Authorization, close'
    const answer = await exchange(proxy.port, [
      requestHead('GET /', [apiKey(given.reader), `Connection: ${names}`]),
    ])
    expect(answer?.status).toBe(200)
    expect(backend.seen[0]?.headers['x-auth-owner']).toEqual([ann.id])
    expect(backend.seen[0]?.headers['x-auth-permissions']).toEqual(['documents:read'])
  })

  test.skipIf(isMissing)('where a caller says they come from is not believed', async () => {
    const lines = [apiKey(given.key), 'X-Forwarded-For: 203.0.113.9', 'X-Forwarded-For: 203.0.113.10']
    await exchange(proxy.port, [requestHead('GET /', lines)])
    expect(middle.seen[0]?.headers['x-forwarded-for']).toEqual(['127.0.0.1'])
    expect(backend.seen[0]?.headers['x-forwarded-for']).toEqual(['127.0.0.1'])
  })

  test.skipIf(isMissing)('the networks of a key are judged by where the caller is', async () => {
    const { key } = await makeKey(site, ann.accessToken, { allowedNetworks: ['127.0.0.2'] })
    const ask = async (from: string, ...headers: string[]): Promise<string> => {
      const given = [`X-API-Key: ${key}`, ...headers].flatMap(header => ['-H', header])
      const command = ['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', '--interface', from]
      return new Response(Bun.spawn([...command, ...given, `${proxy.url}/notes`]).stdout).text()
    }
    expect([await ask('127.0.0.2'), await ask('127.0.0.1')]).toEqual(['200', '403'])
    expect(await ask('127.0.0.1', 'X-Forwarded-For: 127.0.0.2')).toBe('403')
    expect(backend.seen).toHaveLength(1)
  })

  test.skipIf(isMissing)('statuses of the service itself stay its own', async () => {
    for (const status of [400, 401, 403, 404, 429, 500, 502, 503]) {
      const answer = await call(`${proxy.url}/status/${status}`, { key: given.key })
      expect([answer.status, answer.text]).toEqual([status, `from the backend ${status}`])
    }
  })

  test.skipIf(isMissing)('a service that is gone is no refusal', async () => {
    const gone = await startBackend()
    await gone.stop()
    await using other = await startProxy(site.stage, name, { check: middle.port, backend: gone.port })
    const answer = await call(other.url, { key: given.key })
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([502, null])
  })

  test.skipIf(isMissing)('nobody passes where the check has another mind, or none', async () => {
    const limited = { 'retry-after': '7', ratelimit: '"a";r=0;t=7', 'ratelimit-policy': '"a";q=1;w=60' }
    const answers = [
      [() => new Response(null, { status: 429, headers: limited }), 429],
      [() => new Response(null, { status: 500 }), 500],
      [() => new Response('nothing here', { status: 404 }), 404],
    ] as const
    for (const [answer, status] of answers) {
      const problem = JSON.stringify({ code: 'of-the-check', status })
      await using server = Bun.serve({
        port: 0,
        hostname: '127.0.0.1',
        fetch: ({ url }) => {
          const made = answer()
          if (!url.includes('style=nginx')) return made
          // As the check answers nginx.
          made.headers.set('x-auth-status', String(status))
          made.headers.set('x-auth-problem', problem)
          return new Response(made.body, { status: 403, headers: made.headers })
        },
      })
      checkUrl = `http://127.0.0.1:${server.port}`
      const got = await call(`${proxy.url}/notes`, { key: given.key })
      expect([status, got.status]).toEqual([status, name === 'nginx' && status === 404 ? 500 : status])
      for (const [header, value] of Object.entries(limited)) {
        expect(got.headers.get(header)).toBe(status === 429 ? value : null)
      }
    }
    expect(backend.seen).toEqual([])
  })

  // The last: what follows has no service-a.
  test.skipIf(isMissing)('nobody passes once the check is gone: 503, and to try again', async () => {
    await using lonely = await startProxy(site.stage, name, {
      check: site.service.port,
      backend: backend.port,
    })
    expect((await call(`${lonely.url}/notes`, { key: given.key })).status).toBe(200)
    backend.forget()
    await site.service.kill()
    for (const options of [{ key: given.key }, { token: given.token }, {}]) {
      const answer = await call(`${lonely.url}/notes`, options)
      expectProblem(answer, 503, 'unavailable')
      expect(answer.headers.get('retry-after')).toBe('1')
    }
    await site.service.restart()
    expect((await call(`${lonely.url}/notes`, { key: given.key })).status).toBe(200)
    expect(backend.seen).toHaveLength(1)
  })
})

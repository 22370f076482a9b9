import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import {
  expectRow,
  type Given,
  keysForTokens,
  makeGiven,
  noTokens,
  type Row,
  unclear,
} from '../support/credential-rows.ts'
import { call } from '../support/http.ts'
import { member } from '../support/json.ts'
import { expectProblem } from '../support/problem.ts'
import type { Role } from '../support/role.ts'
import { addPerson, type Person, type Site, signIn, startSite } from '../support/site.ts'
import { exchange, requestHead } from '../support/tcp.ts'

let site: Site
let given: Given
let ann: Person

type Route = { readonly line: string; readonly permission: unknown; readonly credential: unknown }

/** Every operation of a service as it describes itself, each parameter an `x`. */
const routesOf = async ({ url }: Role): Promise<Route[]> => {
  const { body } = await call(`${url}/openapi.json`)
  return Object.entries(member(body, 'paths') ?? {}).flatMap(([path, operations]) =>
    Object.entries(operations ?? {}).map(([method, operation]) => ({
      line: `${method.toUpperCase()} ${path.replaceAll(/\{\w+\}/g, 'x')}`,
      permission: member(operation, 'x-permission'),
      credential: member(operation, 'x-credential'),
    })),
  )
}

/** Sends a request that promises a body and holds none back to send. */
const sendUnread = ({ port }: Role, line: string, headers: readonly string[]) =>
  exchange(port, [
    requestHead(line, [...headers, ...(line.startsWith('GET') ? [] : ['Content-Length: 1000000'])]),
  ])

beforeAll(async () => {
  // Each route is asked with much that is not right, all from one address.
  site = await startSite({ service: { FAILURES_PER_ADDRESS_PER_MINUTE: '0' } })
  ann = await addPerson(site, (await signIn(site, site.admin)).accessToken, { name: 'ann' })
  given = await makeGiven(site, ann.accessToken)
})
afterAll(() => site.stage.end())

test('nobody enters without a credential, but for the routes that are public on purpose (AUT-08)', async () => {
  const open: string[] = []
  for (const role of [site.login, site.service]) {
    for (const { line, permission } of await routesOf(role)) {
      const answer = await sendUnread(role, line, [])
      if (permission === undefined) open.push(line)
      else expectProblem(answer, 400, 'credential_missing')
    }
  }
  expect(open.sort()).toEqual([
    'GET /.well-known/jwks.json',
    'GET /.well-known/oauth-authorization-server',
    'GET /livez',
    'GET /livez',
    // From this machine, which is where this test asks from.
    'GET /metrics',
    'GET /metrics',
    'GET /openapi.json',
    'GET /openapi.json',
    'GET /readyz',
    'GET /readyz',
    'POST /auth/login',
    'POST /auth/logout',
    'POST /auth/refresh',
    'POST /auth/setup',
    'POST /oauth/introspect',
    'POST /oauth/revoke',
    'POST /oauth/token',
  ])
})

test('a key without permissions enters nothing but what asks for none', async () => {
  const made = await call(`${site.service.url}/api-keys`, { token: given.token, json: { name: 'none' } })
  const key = String(member(made.body, 'key'))
  site.stage.keepSecret(key)
  const entered: string[] = []
  for (const { line, credential } of await routesOf(site.service)) {
    const headers = [`X-API-Key: ${key}`, 'Content-Type: application/json', 'Content-Length: 2']
    const answer = await exchange(site.service.port, [requestHead(line, headers), '{}'])
    if (answer?.status === 200 || answer?.status === 204) entered.push(line)
    else expectProblem(answer, 403, credential === 'jwt' ? 'jwt_required' : 'insufficient_permission')
  }
  expect(entered.sort()).toEqual([
    'GET /auth/check',
    'GET /livez',
    'GET /metrics',
    'GET /openapi.json',
    'GET /readyz',
    'GET /whoami',
  ])
})

describe('a route of service-a for tokens only', () => {
  const rows: Row[] = [...unclear('Bearer'), ...noTokens, ...keysForTokens]

  test.each(rows)('$carries: $status $code, the body unread and nothing done (KEY-08)', async row => {
    const keys = `${site.service.url}/api-keys?limit=200`
    const before = await call(keys, { token: given.token })
    const routes = (await routesOf(site.service)).filter(({ credential }) => credential === 'jwt')
    expect(routes.length).toBeGreaterThanOrEqual(9)
    for (const { line } of routes) expectRow(await sendUnread(site.service, line, row.headers(given)), row)
    expect((await call(keys, { token: given.token })).body).toEqual(before.body)
    expect((await call(`${site.service.url}/account`, { token: given.token })).status).toBe(200)
  })
})

describe('a route of login', () => {
  const keys: Row[] = [
    {
      carries: 'a key',
      headers: ({ key }) => [`X-API-Key: ${key}`],
      status: 400,
      code: 'credential_unsupported',
      challenge: 'Bearer',
    },
    {
      carries: 'a key as Bearer',
      headers: ({ key }) => [`Authorization: Bearer ${key}`],
      status: 401,
      code: 'token_invalid',
      challenge: 'Bearer error="invalid_token"',
    },
  ]

  test.each([...unclear('Bearer'), ...noTokens, ...keys])(
    '$carries: $status $code, the body unread and nothing done (TOK-20)',
    async row => {
      const guarded = (await routesOf(site.login)).filter(({ permission }) => permission !== undefined)
      expect(guarded.length).toBeGreaterThanOrEqual(9)
      for (const { line } of guarded) {
        const own = line.replace('/users/x', `/users/${ann.id}`)
        expectRow(await sendUnread(site.login, own, row.headers(given)), row)
      }
      expect((await call(`${site.login.url}/users/me`, { token: given.token })).status).toBe(200)
    },
  )
})

test('no credential went to either log (LOG-02)', async () => {
  site.stage.keepSecret(...Object.values(given))
  await Promise.all([site.login.stop(), site.service.stop()])
  expect(site.stage.leaks()).toEqual([])
})

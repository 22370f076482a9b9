import { afterAll, beforeAll, describe, expect, spyOn, test } from 'bun:test'
import { Elysia, t } from 'elysia'
import { apikey, apikeyRoutes, authCheck, problems } from '../apikey/index.ts'
import { requirementsOf, showNeed } from '../lib/requirement.ts'
import { audience, createLogin, createService, issuer, secret, signToken } from './apps.ts'
import { forAnyCaller, open } from './open-routes.ts'

const login = createLogin()
const service = createService()

/** An app of somebody else, in which only the two plugins stand between strangers and the routes. */
const auth = apikey({
  jwt: { secret },
  issuer,
  audience,
  database: ':memory:',
  roles: { user: ['invoices:read'], admin: ['invoices:*', 'api-keys:*'] },
})
const host = new Elysia()
  .use(problems())
  .get('/livez', () => 'ok')
  .use(auth)
  .use(apikeyRoutes(auth))
  .use(authCheck(auth))
  .get('/invoices', ({ principal }) => principal.ownerId, { permission: 'invoices:read' })
  .post('/invoices', ({ body }) => body, { permission: 'invoices:read', body: t.Object({ a: t.Integer() }) })
  .all('/anything', () => 'anything', { permission: 'any' })
  .group('/more', more => more.get('/things', () => 'things', { permission: 'any' }))

const apps = { login: login.app, 'service-a': service.app, 'a host': host }

type Route = { readonly method: string; readonly path: string; readonly permission: string | null }

/** One permission or `any` as it is, anything else that is asked for as JSON. */
const permissionOf = (hooks: object): string | null => {
  const needed = requirementsOf(hooks)
  if (needed.length === 0) return null
  const shown = showNeed(needed)
  return typeof shown === 'string' ? shown : JSON.stringify(shown)
}

/** What Elysia answers beside what is written: HEAD with GET, and every method where a route takes all. */
const expand = (method: string): string[] => {
  if (method === 'GET') return ['GET', 'HEAD']
  return method === 'ALL' ? ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] : [method]
}

const routesOf = (name: keyof typeof apps): Route[] =>
  apps[name].routes.flatMap(({ method, path, hooks }) =>
    open[name]?.includes(`${method} ${path}`)
      ? []
      : expand(method).map(each => ({ method: each, path, permission: permissionOf(hooks) })),
  )

const id = 'usr_00000000000070008000000000000000'
const urlOf = (path: string, base = 'http://localhost', value = id): string =>
  base + path.replaceAll(/:[a-z]+/g, value)

const hasBody = (method: string): boolean => !['GET', 'HEAD'].includes(method)

const requestTo = (
  { method, path }: Route,
  headers: Record<string, string> = {},
  { base, value, body = '{"a":1}' }: { base?: string; value?: string; body?: string } = {},
): Request =>
  new Request(urlOf(path, base, value), {
    method,
    headers: { ...(hasBody(method) ? { 'content-type': 'application/json' } : {}), ...headers },
    ...(hasBody(method) ? { body } : {}),
  })

const codeOf = (text: string): unknown => {
  const problem: unknown = JSON.parse(text)
  return typeof problem === 'object' && problem !== null && 'code' in problem ? problem.code : null
}

/** Asserts the answer of a refusal; what HEAD is answered has no body. */
const expectRefusal = async (
  route: Route,
  response: Response,
  status: number,
  code: string,
): Promise<void> => {
  const title = `${route.method} ${route.path}`
  expect([title, response.status]).toEqual([title, status])
  const text = await response.text()
  if (route.method !== 'HEAD') expect([title, codeOf(text)]).toEqual([title, code])
}

/** All that the handlers of both apps can do anything with, counted. */
const counters = (targets: readonly object[], except: readonly string[] = []) => {
  const calls: string[] = []
  for (const target of targets) {
    for (const [name, method] of Object.entries(target)) {
      if (typeof method !== 'function' || except.includes(name)) continue
      Object.assign(target, {
        [name]: (...args: unknown[]) => {
          calls.push(name)
          return Reflect.apply(method, target, args)
        },
      })
    }
  }
  return calls
}

const loginCalls = counters(login.work)
const serviceCalls = [counters([service.login, service.store()], ['findCredential'])]
const prepare = spyOn(service.database, 'prepare')
const transaction = spyOn(service.database, 'transaction')

/** How often handlers of service-a reached for what they work with. */
const workOfService = (): number =>
  serviceCalls.flat().length + prepare.mock.calls.length + transaction.mock.calls.length

describe.each(['login', 'service-a', 'a host'] as const)('no open door: %s', name => {
  const app = apps[name]
  const routes = routesOf(name)

  test('the list of open routes has none that is not there', () => {
    const all = app.routes.map(({ method, path }) => `${method} ${path}`)
    expect(open[name]?.filter(route => !all.includes(route))).toEqual([])
  })

  test('every other route says which permission it needs', () => {
    expect(routes.length).toBeGreaterThan(5)
    expect(routes.filter(({ permission }) => permission === null)).toEqual([])
  })

  test('routes that need no particular permission are those on the list', () => {
    const found = app.routes.filter(({ hooks }) => permissionOf(hooks) === 'any')
    expect(found.map(({ method, path }) => `${method} ${path}`)).toEqual([...(forAnyCaller[name] ?? [])])
  })

  test('every other route refuses whoever brings no credential, and does nothing', async () => {
    const before = loginCalls.length + workOfService()
    for (const route of routes) {
      const response = await app.handle(requestTo(route))
      expect(response.headers.get('www-authenticate')).toStartWith('Bearer')
      await expectRefusal(route, response, 400, 'credential_missing')
    }
    expect(loginCalls.length + workOfService()).toBe(before)
  })

  test('every other route refuses before it has a look at the body', async () => {
    for (const route of routes.filter(({ method }) => hasBody(method))) {
      const response = await app.handle(requestTo(route, {}, { body: '{"a":' }))
      await expectRefusal(route, response, 400, 'credential_missing')
    }
  })

  test('every other route refuses a token that nobody signed', async () => {
    const [header, payload] = (await signToken(id, { roles: ['admin'] })).split('.')
    const forged = `${header}.${payload}.${'A'.repeat(43)}`
    for (const route of routes) {
      const response = await app.handle(requestTo(route, { authorization: `Bearer ${forged}` }))
      await expectRefusal(route, response, 401, 'token_invalid')
    }
  })

  describe('over a socket', () => {
    let base = ''
    beforeAll(() => {
      app.listen({ port: 0, hostname: '127.0.0.1' })
      base = `http://127.0.0.1:${app.server?.port}`
    })
    afterAll(async () => {
      await app.stop(true)
    })

    test('every other route refuses whoever brings no credential', async () => {
      for (const route of routes) {
        await expectRefusal(route, await fetch(requestTo(route, {}, { base })), 400, 'credential_missing')
      }
    })

    test('with another spelling of the path too, or there is nothing', async () => {
      for (const { method, path } of routes) {
        for (const spelling of [
          `/${path}`,
          `${path}/`,
          `${path}?permission=any`,
          path.toUpperCase(),
          `${path}%00`,
        ]) {
          const response = await fetch(requestTo({ method, path: spelling, permission: null }, {}, { base }))
          expect([400, 404, 405]).toContain(response.status)
        }
      }
    })
  })
})

describe('a permission that the caller lacks', () => {
  // What an app has open that was stopped is opened anew.
  beforeAll(() => {
    serviceCalls.push(counters([service.store()], ['findCredential']))
  })

  const needing = (name: keyof typeof apps) => routesOf(name).filter(({ permission }) => permission !== 'any')

  test('keeps a key without permissions out of service-a before any handler runs', async () => {
    const routes = needing('service-a')
    expect(routes.length).toBeGreaterThan(4)
    const headers = { 'x-api-key': await service.makeKey([]) }
    const before = workOfService()
    for (const route of routes) {
      await expectRefusal(
        route,
        await service.app.handle(requestTo(route, headers)),
        403,
        'insufficient_permission',
      )
    }
    expect(workOfService()).toBe(before)
  })

  test('keeps a token of a user without roles out of service-a before any handler runs', async () => {
    const headers = { authorization: `Bearer ${await signToken(id)}` }
    const before = workOfService()
    for (const route of needing('service-a')) {
      const response = await service.app.handle(requestTo(route, headers))
      expect(response.headers.get('www-authenticate')).toBe(
        `Bearer error="insufficient_scope", scope="${route.permission}"`,
      )
      await expectRefusal(route, response, 403, 'insufficient_permission')
    }
    expect(workOfService()).toBe(before)
  })

  test('the handlers of service-a would have been seen', async () => {
    const before = workOfService()
    const key = await service.makeKey(['documents:read', 'documents:write', 'api-keys:verify'])
    const headers = { 'x-api-key': key }
    for (const route of needing('service-a')) {
      const work = workOfService()
      const bodies: Record<string, string> = { '/api-keys/verify': JSON.stringify({ key }) }
      const { status } = await service.app.handle(
        requestTo(route, headers, { body: bodies[route.path] ?? '{"a":1}' }),
      )
      expect([400, 403]).not.toContain(status)
      // HEAD runs what GET runs.
      expect([route.path, workOfService()]).not.toEqual([route.path, work])
    }
    expect(workOfService()).toBeGreaterThan(before)
  })

  test('keeps keys out of everything that takes people only', async () => {
    const headers = { 'x-api-key': await service.makeKey(['documents:read']) }
    const forPeople = service.app.routes.filter(({ hooks }) =>
      Object.entries(hooks.detail ?? {}).some(([name, value]) => name === 'x-credential' && value === 'jwt'),
    )
    expect(forPeople.map(({ method, path }) => `${method} ${path}`)).toEqual(
      service.app.routes
        .map(({ method, path }) => `${method} ${path}`)
        .filter(route => / \/(api-keys|account)/.test(route) && route !== 'POST /api-keys/verify'),
    )
    const before = workOfService()
    for (const { method, path } of forPeople) {
      const route = { method, path, permission: null }
      await expectRefusal(route, await service.app.handle(requestTo(route, headers)), 403, 'jwt_required')
    }
    expect(workOfService()).toBe(before)
  })

  test('tells a user without roles nothing about who there is on login', async () => {
    const { token } = await login.signIn([])
    const other = await login.signIn(['user'])
    const routes = needing('login')
    expect([...new Set(routes.map(({ permission }) => permission))].toSorted()).toEqual([
      'changes:inspect',
      'changes:read',
      'clients:manage',
      'signing-keys:manage',
      'users:manage',
    ])
    const headers = { authorization: `Bearer ${token}`, 'x-request-id': 'the-same' }
    const before = loginCalls.length
    for (const route of routes) {
      const answers = await Promise.all(
        [other.id, id].map(async value => {
          const response = await login.app.handle(requestTo(route, headers, { value }))
          return { status: response.status, headers: [...response.headers], body: await response.text() }
        }),
      )
      expect(answers[0]?.status).toBe(403)
      expect(answers[0]).toEqual(answers[1])
      if (route.method !== 'HEAD') expect(codeOf(answers[0]?.body ?? '{}')).toBe('insufficient_permission')
    }
    expect(loginCalls.length).toBe(before)
  })

  test('the handlers of login would have been seen', async () => {
    const [admin, client] = [(await login.signIn(['admin'])).token, await login.makeClient()]
    const bodies: Record<string, string> = {
      '/users': '{"email":"a@example.com","password":"long enough, surely"}',
      '/clients': '{"name":"a","scopes":[]}',
    }
    const cursor = login.cursor()
    for (const route of needing('login')) {
      const before = loginCalls.length
      const token = route.permission === 'changes:read' ? client : admin
      const path = route.path === '/changes' ? `/changes?after=${cursor}` : route.path
      const response = await login.app.handle(
        requestTo(
          { ...route, path },
          { authorization: `Bearer ${token}` },
          { body: bodies[route.path] ?? '{}' },
        ),
      )
      expect([400, 401, 403, 422]).not.toContain(response.status)
      expect([route.path, loginCalls.length]).not.toEqual([route.path, before])
    }
  })
})

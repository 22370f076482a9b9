import { describe, expect, test } from 'bun:test'
import { Elysia, t } from 'elysia'
import { createProblems } from './problem.ts'
import { createTestGuard, guardProblems } from './test-guard.ts'
import { ask } from './test-http.ts'
import { serve } from './test-serve.ts'

const anyone = { 'x-caller': 'user' }
const problems = () => createProblems({ table: guardProblems, onUnexpected: () => undefined })

/** What a start fails with; nothing may listen then. */
const startError = (app: Parameters<typeof serve>[0]): string => {
  try {
    serve(app)
    return ''
  } catch (error) {
    expect(app.server?.port ?? 0).toBe(0)
    return String(error)
  }
}

/** Counts calls. */
const createHandler = () => {
  const calls: number[] = []
  return { calls, handler: () => calls.push(1) }
}

describe('a guarded route that names no permission', () => {
  test('AUT-08: stops the start, and each is named', () => {
    const { guard } = createTestGuard()
    const message = startError(
      new Elysia()
        .get('/open', () => 'open')
        .use(guard)
        .get('/named', () => 'named', { permission: 'any' })
        .get('/forgotten', () => 'forgotten')
        .post('/people', () => 'people', { credential: 'jwt' })
        .group('/group', group => group.delete('/deep/:id', () => 'deep')),
    )
    expect(message).toContain('GET /forgotten')
    expect(message).toContain('POST /people')
    expect(message).toContain('DELETE /group/deep/:id')
    expect(message).not.toContain('/named')
    expect(message).not.toContain('/open')
  })

  test('AUT-09: does not run where nothing starts', async () => {
    const { guard } = createTestGuard()
    const { calls, handler } = createHandler()
    const app = new Elysia().use(guard).get('/forgotten', handler).post('/forgotten', handler)
    for (const method of ['GET', 'POST', 'HEAD']) {
      const answer = await ask(app, method, '/forgotten', {
        headers: anyone,
        ...(method === 'POST' ? { body: {} } : {}),
      })
      expect(answer.status).toBe(500)
      expect(answer.text).not.toContain('forgotten')
    }
    expect(calls).toEqual([])
  })

  test('AUT-09: is not opened by a member of its description alone', async () => {
    const { guard } = createTestGuard()
    const { calls, handler } = createHandler()
    const detail: object = { 'x-permission': 'any' }
    const app = new Elysia().use(guard).get('/forged', handler, { detail })
    expect((await ask(app, 'GET', '/forged', { headers: anyone })).status).toBe(500)
    expect(calls).toEqual([])
  })

  test('AUT-09: is not opened by a macro of the app that returns nothing (TRAPS, Elysia 2)', async () => {
    const { guard } = createTestGuard()
    const { calls, handler } = createHandler()
    const app = () =>
      new Elysia()
        .use(guard)
        .macro({ quiet: (_: boolean) => undefined })
        .get('/quiet', handler, { quiet: true, permission: 'any' })
        .post('/quiet', handler, { quiet: true, permission: 'any' })
    for (const method of ['GET', 'POST']) {
      expect((await ask(app(), method, '/quiet', { headers: anyone })).status).toBe(500)
      expect((await ask(app(), method, '/quiet')).status).toBe(500)
    }
    expect(calls).toEqual([])
    expect(startError(app())).toContain('GET /quiet')
  })

  test('AUT-09: is not opened by a macro of the app that takes the name of a hook', async () => {
    const { guard } = createTestGuard()
    const { calls, handler } = createHandler()
    const app = new Elysia()
      .use(guard)
      .macro({ transform: (_: unknown) => ({}) })
      .get('/taken', handler, { permission: 'notes:read' })
      .post('/taken', handler, { permission: 'notes:read' })
    for (const method of ['GET', 'POST']) {
      for (const headers of [{}, { 'x-caller': 'bad' }, anyone]) {
        const answer = await ask(app, method, '/taken', {
          headers,
          ...(method === 'POST' ? { body: {} } : {}),
        })
        expect(answer.status).toBeGreaterThanOrEqual(400)
      }
    }
    expect(calls).toEqual([])
  })

  test('AUT-09: is not opened by coming late, in a module that is loaded after the start', async () => {
    const { guard } = createTestGuard()
    const { calls, handler } = createHandler()
    const app = new Elysia()
      .use(guard)
      .use(Promise.resolve(new Elysia().get('/module', handler)))
      .use(async late => {
        await Bun.sleep(0)
        return late.get('/late', handler)
      })
    await using served = serve(app)
    await app.modules
    for (const path of ['/module', '/late']) {
      const { status } = await fetch(served.url + path, { headers: anyone })
      expect(status).toBeGreaterThanOrEqual(400)
    }
    expect(calls).toEqual([])
  })
})

describe('what can not be guarded', () => {
  test.each([
    ['a text', () => 'text'],
    ['a Response', () => new Response('text')],
    ['an object', () => ({ a: 1 })],
  ])('AUT-09: %s in the place of a handler stops the start', (_, make) => {
    const { guard } = createTestGuard()
    const app = new Elysia()
      .onAfterHandle(() => undefined)
      .use(guard)
      .get('/static', make(), { permission: 'any' })
    expect(startError(app)).toContain('GET /static')
  })

  test('anything that is no name of a permission is refused while the route is written', () => {
    const { guard } = createTestGuard()
    for (const permission of [false, true, null, 5, {}, []]) {
      const options: object = { permission }
      expect(() => new Elysia().use(guard).get('/x', () => 'x', options)).toThrow('permission')
    }
  })
})

describe('a guard in several places', () => {
  test('modules that use it again judge once, and keep what they guard', async () => {
    const { guard, judged } = createTestGuard()
    const { calls, handler } = createHandler()
    const notes = new Elysia({ prefix: '/notes' }).use(guard).get('', handler, { permission: 'notes:read' })
    const pages = new Elysia({ prefix: '/pages' })
      .use(guard)
      .use(guard)
      .post('', handler, { permission: 'any' })
    const app = new Elysia()
      .use(guard)
      .use(notes)
      .use(pages)
      .use(guard)
      .get('/own', handler, { permission: 'any' })
    await using served = serve(app)
    const requests = [
      ['GET', '/notes'],
      ['POST', '/pages'],
      ['GET', '/own'],
    ] as const
    for (const [method, path] of requests) {
      expect((await fetch(served.url + path, { method })).status).toBe(400)
    }
    expect(calls).toEqual([])
    judged.length = 0
    for (const [method, path] of requests) {
      const headers = { 'x-caller': 'user notes:read' }
      expect((await fetch(served.url + path, { method, headers })).status).toBe(200)
    }
    expect(judged).toHaveLength(3)
    expect(calls).toHaveLength(3)
  })

  test('a module without the guard is open where it stands before it and shut where it stands after', async () => {
    const { guard } = createTestGuard()
    const { calls, handler } = createHandler()
    const plain = (path: string) => new Elysia().get(path, handler)
    const app = new Elysia().use(plain('/before')).use(guard).use(plain('/after'))
    expect((await ask(app, 'GET', '/before')).status).toBe(200)
    expect((await ask(app, 'GET', '/after', { headers: anyone })).status).toBe(500)
    expect(calls).toHaveLength(1)
    expect(startError(app)).toContain('GET /after')
  })

  test('two guards in one app keep apart (TRAPS, Elysia 12)', async () => {
    const [one, two] = [createTestGuard(), createTestGuard()]
    const { calls, handler } = createHandler()
    const module = (guard: typeof one.guard, path: string) =>
      new Elysia().use(guard).get(path, handler, { permission: 'any' })
    const app = new Elysia().use(problems()).use(module(one.guard, '/one')).use(module(two.guard, '/two'))
    expect((await ask(app, 'GET', '/one', { headers: anyone })).status).toBe(200)
    expect(one.judged).toHaveLength(1)
    expect(two.judged).toHaveLength(0)
    expect((await ask(app, 'GET', '/two')).status).toBe(400)
    expect(one.judged).toHaveLength(1)
    expect(two.judged).toHaveLength(1)
    expect(calls).toHaveLength(1)
  })

  test('on one route two guards let nobody in whom only one of them knows', async () => {
    const [one, two] = [createTestGuard(), createTestGuard()]
    const { calls, handler } = createHandler()
    const app = new Elysia().use(one.guard).use(two.guard).get('/both', handler, { permission: 'any' })
    expect((await ask(app, 'GET', '/both', { headers: anyone })).status).toBe(500)
    expect(calls).toEqual([])
  })
})

describe('bodies of another kind', () => {
  const app = (otherBodies: boolean) => {
    const { guard } = createTestGuard({ otherBodies })
    return new Elysia()
      .use(problems())
      .use(guard)
      .post('/', ({ body }) => ({ body }), { permission: 'any', body: t.Unknown() })
  }
  const form = { raw: 'a=1', headers: { ...anyone, 'content-type': 'application/x-www-form-urlencoded' } }

  test('HTTP-05: are refused, or left to the app where it asks for them', async () => {
    expect((await ask(app(false), 'POST', '/', form)).status).toBe(415)
    expect((await ask(app(true), 'POST', '/', form)).json()).toEqual({ body: { a: '1' } })
  })

  test('JSON is bounded either way', async () => {
    const headers = { ...anyone, 'content-type': 'Application/JSON; charset=UTF-8' }
    for (const otherBodies of [true, false]) {
      const raw = JSON.stringify('x'.repeat(65_536))
      expect((await ask(app(otherBodies), 'POST', '/', { raw, headers })).status).toBe(413)
      expect((await ask(app(otherBodies), 'POST', '/', { raw: '{"a":[1]}', headers })).json()).toEqual({
        body: { a: [1] },
      })
    }
  })

  test('AUT-09: a parser that a route names for itself does not go before the credential is judged', async () => {
    const { guard } = createTestGuard()
    const { calls, handler } = createHandler()
    const route = { permission: 'notes:read', parse: 'json' } as const
    const app = new Elysia().use(problems()).use(guard).post('/', handler, route)
    for (const headers of [{}, { 'x-caller': 'bad' }, anyone]) {
      expect((await ask(app, 'POST', '/', { headers, body: {} })).status).toBeGreaterThanOrEqual(400)
    }
    expect(calls).toEqual([])
  })
})

describe('other ways in', () => {
  test('AUT-10: a mounted handler and a web socket are guarded like routes', async () => {
    const { guard } = createTestGuard()
    const calls: string[] = []
    const mounted = () => {
      calls.push('mounted')
      return new Response('mounted')
    }
    const options: object = { permission: 'any' }
    const app = new Elysia()
      .use(guard)
      .mount('/mounted', mounted, options)
      .ws('/socket', { permission: 'any', open: () => void calls.push('opened') })
    await using served = serve(app)
    for (const path of ['/mounted', '/mounted/', '/mounted/deep']) {
      expect((await fetch(served.url + path)).status).toBe(400)
    }
    const open = (headers: Record<string, string>): Promise<string> =>
      new Promise(resolve => {
        const socket = new WebSocket(`${served.url.replace('http', 'ws')}/socket`, { headers })
        socket.onclose = () => resolve('closed')
        socket.onopen = () => {
          resolve('opened')
          socket.close()
        }
      })
    expect(await open({})).toBe('closed')
    expect(await open({ 'x-caller': 'bad' })).toBe('closed')
    expect(calls).toEqual([])
    expect(await open(anyone)).toBe('opened')
    expect((await fetch(`${served.url}/mounted`, { headers: anyone })).status).toBe(200)
  })
})

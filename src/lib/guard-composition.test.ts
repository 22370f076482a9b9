/** Options of a route that come from a group or guard around it, and so are not among the route's own hooks. */
import { expect, test } from 'bun:test'
import { type AnyElysia, Elysia } from 'elysia'
import { createProblems } from './problem.ts'
import { createTestGuard, guardProblems } from './test-guard.ts'
import { serve } from './test-serve.ts'

type Run = () => string

const start = () => {
  const { guard } = createTestGuard({ maxBytes: 1_000 })
  return new Elysia().use(createProblems({ table: guardProblems, onUnexpected: () => {} })).use(guard)
}

// Made anew each time: Elysia writes into the options that it is given.
const people = () => ({ credential: 'jwt' }) as const
const anyone = () => ({ permission: 'any' }) as const

const shapes: [string, (run: Run) => AnyElysia][] = [
  ['a group', run => start().group('/g', anyone(), g => g.get('/j', run, people()))],
  ['a guard before the route', run => start().guard(anyone()).get('/g/j', run, people())],
  ['two guards', run => start().guard(anyone()).guard(people()).get('/g/j', run)],
  ['a guard around the route', run => start().guard(anyone(), g => g.get('/g/j', run, people()))],
  ['a guard that names the credential', run => start().guard(people()).get('/g/j', run, anyone())],
]

test.each(shapes)(
  'KEY-08: a key does not run a route for people when an option comes from %s',
  async (_, build) => {
    let runs = 0
    await using app = serve(
      build(() => {
        runs += 1
        return 'people only'
      }),
    )
    const ask = (caller: string) => fetch(`${app.url}/g/j`, { headers: { 'x-caller': caller } })
    const refused = await ask('key notes:read')
    expect(refused.status).toBe(403)
    expect(await refused.json()).toMatchObject({ code: 'jwt_required' })
    expect(runs).toBe(0)
    expect((await ask('user')).status).toBe(200)
    expect(runs).toBe(1)
  },
)

test('what two guards cover needs both, and each of them judges it once', async () => {
  const outer = createTestGuard()
  const inner = createTestGuard()
  let runs = 0
  const run = ({ body }: { body: unknown }) => {
    runs += 1
    return { body }
  }
  await using app = serve(
    new Elysia()
      .use(createProblems({ table: guardProblems, onUnexpected: () => {} }))
      .use(outer.guard)
      .guard({ permission: 'notes:read' }, covered =>
        covered.use(
          new Elysia()
            .use(inner.guard)
            .get('/both', run, { permission: 'notes:write' })
            .post('/both', run, { permission: 'notes:write' }),
        ),
      ),
  )
  const ask = async (caller: string, method: string): Promise<number> => {
    const headers = { 'x-caller': caller, 'content-type': 'application/json' }
    return (await fetch(`${app.url}/both`, { method, headers, ...(method === 'POST' ? { body: '{}' } : {}) }))
      .status
  }
  for (const method of ['GET', 'POST']) {
    expect(await ask('user notes:read', method)).toBe(403)
    expect(await ask('user notes:write', method)).toBe(403)
    expect(await ask('bad', method)).toBe(401)
  }
  expect(runs).toBe(0)
  outer.judged.length = 0
  inner.judged.length = 0
  for (const method of ['GET', 'POST']) expect(await ask('user notes:read notes:write', method)).toBe(200)
  expect(runs).toBe(2)
  expect(outer.judged).toHaveLength(2)
  expect(inner.judged).toHaveLength(2)
})

test('a permission that is not resource:action stops the registration of its route', () => {
  const { guard } = createTestGuard()
  const register = (permission: string) =>
    new Elysia().use(guard).get('/x', () => 'x', Object.assign(anyone(), { permission }))
  for (const permission of ['notes:read:all', 'notes', '', 'Notes:read', 'any:']) {
    expect(() => register(permission)).toThrow(TypeError)
  }
})

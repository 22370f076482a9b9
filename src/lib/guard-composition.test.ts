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

test('a permission that is not resource:action stops the registration of its route', () => {
  const { guard } = createTestGuard()
  const register = (permission: string) =>
    new Elysia().use(guard).get('/x', () => 'x', Object.assign(anyone(), { permission }))
  for (const permission of ['notes:read:all', 'notes', '', 'Notes:read', 'any:']) {
    expect(() => register(permission)).toThrow(TypeError)
  }
})

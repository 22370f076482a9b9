import { expect, test } from 'bun:test'
import { Elysia, status } from 'elysia'
import { defaultBodyLimits } from './body.ts'
import { createGuard, type GuardedPrincipal } from './guard.ts'
import { createProblems } from './problem.ts'
import { guardProblems } from './test-guard.ts'

let made = 0

const setUp = ({ aot = true, withProblems = false } = {}) => {
  const told: string[] = []
  made += 1
  const guard = createGuard<GuardedPrincipal, 'notes:read'>({
    name: `test-cost/${made}`,
    table: guardProblems,
    body: defaultBodyLimits,
    otherBodies: false,
    authenticate: () => ({ ok: true, principal: { kind: 'key', ownerId: 'usr_ann', permissions: [] } }),
    charge: async (_accepted, cost) => {
      await Bun.sleep(0)
      told.push(`paid ${cost}`)
      return { refund: () => told.push(`gave back ${cost}`) }
    },
  })
  const problems = createProblems({ table: guardProblems, onUnexpected: () => undefined })
  const app = new Elysia({ aot })
    .use(withProblems ? problems : new Elysia())
    .use(guard)
    .get(
      '/throws',
      () => {
        throw new Error('broken')
      },
      { permission: 'any', cost: 5 },
    )
    .get(
      '/throws-503',
      () => {
        throw status(503, 'busy')
      },
      { permission: 'any', cost: 5 },
    )
    .get(
      '/throws-409',
      () => {
        throw status(409, 'no')
      },
      { permission: 'any', cost: 5 },
    )
    .get('/returns-error', () => new Error('broken'), { permission: 'any', cost: 5 })
    .get('/remembered', () => told.push('ran'), {
      permission: 'any',
      cost: 5,
      beforeHandle: () => {
        told.push('answered')
        return 'remembered'
      },
    })
  return {
    told,
    ask: async (path: string) => {
      const { status: answered } = await app.handle(new Request(`http://localhost${path}`))
      await Bun.sleep(2)
      return answered
    },
  }
}

const kinds = [
  { aot: true, withProblems: false },
  { aot: true, withProblems: true },
  { aot: false, withProblems: true },
]

test.each(kinds)('whatever way a handler fails, what was paid is given back once: %o', async kind => {
  for (const path of ['/throws', '/throws-503', '/returns-error']) {
    const { told, ask } = setUp(kind)
    expect(await ask(path)).toBeGreaterThanOrEqual(500)
    expect(told).toEqual(['paid 5', 'gave back 5'])
  }
})

test('what a handler refuses on purpose stays paid, also where nobody answers for it', async () => {
  const { told, ask } = setUp()
  expect(await ask('/throws-409')).toBe(409)
  expect(told).toEqual(['paid 5'])
})

test.each(kinds)(
  'a hook of the route that answers in place of the handler is paid for first: %o',
  async kind => {
    const { told, ask } = setUp(kind)
    expect(await ask('/remembered')).toBe(200)
    expect(told).toEqual(['paid 5', 'answered'])
  },
)

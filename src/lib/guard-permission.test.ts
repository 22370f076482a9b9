/** What a route can ask for, who is let in, and that this is told once. */
import { describe, expect, test } from 'bun:test'
import { type AnyElysia, Elysia, t } from 'elysia'
import { createProblems } from './problem.ts'
import { createTestGuard, guardProblems } from './test-guard.ts'
import { ask } from './test-http.ts'

type Run = () => string
type Made = ReturnType<typeof createTestGuard>['guard']

const start = (guard: Made) =>
  new Elysia().use(createProblems({ table: guardProblems, onUnexpected: () => {} })).use(guard)

const all = () => ({ permission: ['notes:read', 'notes:write'] }) as const
const one = () => ({ permission: { anyOf: ['notes:read', 'notes:write'] } }) as const
const reading = () => ({ permission: 'notes:read' }) as const
const anyone = () => ({ permission: 'any' }) as const

const body = t.Object({ text: t.String() })

/** An app of one kind of route, with a body and without; `ran` counts its handler. */
const createApp = (build: (app: ReturnType<typeof start>, run: Run) => AnyElysia) => {
  const { guard, judged, told } = createTestGuard()
  const ran: string[] = []
  const app = build(start(guard), () => {
    ran.push('ran')
    return 'ran'
  })
  const send = (caller: string, method: string, given: object = {}) =>
    ask(app, method, '/g/x', {
      headers: { 'x-caller': caller },
      ...(method === 'POST' ? { body: { text: 'a' } } : {}),
      ...given,
    })
  return { send, ran, judged, told }
}

type Row = {
  readonly title: string
  readonly build: Parameters<typeof createApp>[0]
  /** What is enough, and what is not, with the words and scopes of the refusal. */
  readonly enough: readonly string[]
  readonly lacking: readonly (readonly [held: string, needs: string])[]
}

const both = 'all of notes:read, notes:write'
const either = 'one of notes:read, notes:write'

const rows: Row[] = [
  {
    title: 'one permission',
    build: (app, run) => app.get('/g/x', run, reading()).post('/g/x', run, { ...reading(), body }),
    enough: ['notes:read', 'notes:*', '*:read', '*:*', 'other:read notes:read'],
    lacking: [
      ['', 'notes:read'],
      ['notes:write', 'notes:read'],
      ['other:* *:write', 'notes:read'],
    ],
  },
  {
    title: 'a list',
    build: (app, run) => app.get('/g/x', run, all()).post('/g/x', run, { ...all(), body }),
    enough: ['notes:read notes:write', 'notes:*', '*:write notes:read', '*:*'],
    lacking: [
      ['', both],
      ['notes:read', both],
      ['notes:write', both],
      ['*:write other:read', both],
    ],
  },
  {
    title: 'anyOf',
    build: (app, run) => app.get('/g/x', run, one()).post('/g/x', run, { ...one(), body }),
    enough: ['notes:read', 'notes:write', 'notes:*', '*:write', 'notes:read notes:write'],
    lacking: [
      ['', either],
      ['other:read', either],
    ],
  },
  {
    title: 'any',
    build: (app, run) => app.get('/g/x', run, anyone()).post('/g/x', run, { ...anyone(), body }),
    enough: ['', 'notes:read'],
    lacking: [],
  },
  {
    title: 'a group and a route',
    build: (app, run) =>
      app.group('/g', one(), g => g.get('/x', run, reading()).post('/x', run, { ...reading(), body })),
    enough: ['notes:read'],
    lacking: [
      ['', either],
      ['notes:write', 'notes:read'],
    ],
  },
  {
    title: 'a guard that asks for more than its route',
    build: (app, run) =>
      app.guard(all(), g => g.get('/g/x', run, reading()).post('/g/x', run, { ...reading(), body })),
    enough: ['notes:read notes:write'],
    // Of a guard around a route Elysia runs what the route itself asks for first.
    lacking: [
      ['', 'notes:read'],
      ['notes:read', both],
      ['notes:write', 'notes:read'],
    ],
  },
  {
    title: 'guards before each other and a route',
    build: (app, run) =>
      app
        .guard({ permission: { anyOf: ['notes:write'] } })
        .guard({ permission: ['notes:read'] })
        .get('/g/x', run, anyone())
        .post('/g/x', run, { ...anyone(), body }),
    enough: ['notes:read notes:write'],
    lacking: [
      ['notes:read', 'notes:write'],
      ['notes:write', 'notes:read'],
    ],
  },
]

/** Names the permissions that a sentence has, as a challenge does. */
const scopesOf = (needs: string): string => (needs.match(/\w+:\w+/g) ?? []).join(' ')

describe.each(rows)('AUT-08: $title', ({ build, enough, lacking }) => {
  const callers = (held: string) => [`user ${held}`.trim(), `key ${held}`.trim()]

  test('lets in who holds enough, by token and by key, and this is told once', async () => {
    const { send, ran, told, judged } = createApp(build)
    const asked: string[] = []
    for (const caller of enough.flatMap(callers)) {
      for (const method of ['GET', 'POST']) {
        expect([caller, method, (await send(caller, method)).text]).toEqual([caller, method, 'ran'])
        asked.push(caller)
      }
    }
    expect(ran).toHaveLength(asked.length)
    expect(told).toEqual(asked.map(caller => `accepted ${caller}`))
    expect(judged).toEqual(asked)
  })

  test('refuses who holds less before the handler and the content of the body, and this is told once', async () => {
    const { send, ran, told } = createApp(build)
    const asked: string[] = []
    for (const [held, needs] of lacking) {
      for (const caller of callers(held)) {
        for (const [method, given] of [
          ['GET', {}],
          ['POST', {}],
          ['POST', { body: { text: 5 } }],
        ] as const) {
          const answer = await send(caller, method, given)
          expect([caller, answer.status]).toEqual([caller, 403])
          expect(answer.json()).toMatchObject({ code: 'insufficient_permission', detail: `needs ${needs}` })
          expect(answer.headers.get('www-authenticate')).toBe(
            caller.startsWith('key') ? null : `Bearer error="insufficient_scope", scope="${scopesOf(needs)}"`,
          )
          asked.push(caller)
        }
      }
    }
    expect(ran).toEqual([])
    expect(told).toEqual(asked.map(caller => `refused ${caller}`))
  })

  test('tells nothing of who is not known, or of a body that is refused', async () => {
    const { send, ran, told } = createApp(build)
    for (const method of ['GET', 'POST']) {
      for (const caller of ['bad', 'outage', 'fault']) {
        expect((await send(caller, method)).status).toBeGreaterThanOrEqual(401)
      }
    }
    const caller = `user ${enough[0]}`.trim()
    expect((await send(caller, 'POST', { body: { text: 5 } })).status).toBe(422)
    expect((await send(caller, 'POST', { body: 'x'.repeat(70_000) })).status).toBe(413)
    expect(ran).toEqual([])
    expect(told).toEqual([])
  })
})

test('KEY-08: of a key where only a token will do nothing is told, wherever the options come from', async () => {
  const people = () => ({ credential: 'jwt' }) as const
  const shapes: Row['build'][] = [
    (app, run) => app.get('/g/x', run, { ...reading(), ...people() }),
    (app, run) => app.group('/g', reading(), g => g.get('/x', run, people())),
    (app, run) => app.group('/g', people(), g => g.get('/x', run, reading())),
    (app, run) => app.guard(people()).guard(reading()).get('/g/x', run),
    (app, run) => app.guard(reading()).guard(people()).get('/g/x', run),
  ]
  for (const build of shapes) {
    const { send, ran, told, judged } = createApp(build)
    const refused = await send('key notes:read', 'GET')
    expect([refused.status, refused.json()]).toMatchObject([403, { code: 'jwt_required' }])
    expect(judged).toHaveLength(1)
    expect(ran).toEqual([])
    expect(told).toEqual([])
    expect((await send('user notes:read', 'GET')).status).toBe(200)
    expect(told).toEqual(['accepted user notes:read'])
  }
})

test('what a route asks for is not widened by what Elysia merges into it, nor by whoever wrote the list', async () => {
  const list: ['notes:read' | 'notes:write'] = ['notes:write']
  const { send, ran } = createApp((app, run) =>
    app
      .guard({ permission: { anyOf: list } })
      .get('/g/x', run)
      .get('/g/other', run, { permission: { anyOf: ['notes:read', 'notes:write'] } }),
  )
  list[0] = 'notes:read'
  expect((await send('user notes:read', 'GET')).status).toBe(403)
  expect(ran).toEqual([])
  expect((await send('user notes:write', 'GET')).status).toBe(200)
})

/* Compiled, never run: what an editor says of a typo. */
export const typos = (app: ReturnType<typeof start>, run: Run) => {
  app.get('/', run, { permission: 'notes:read' })
  app.get('/', run, { permission: ['notes:read', 'notes:write'] })
  app.get('/', run, { permission: { anyOf: ['notes:read'] } })
  app.get('/', ({ principal }) => principal.name satisfies string, one())
  // @ts-expect-error: a typo
  app.get('/', run, { permission: 'notes:raed' })
  // @ts-expect-error: a typo in a list
  app.get('/', run, { permission: ['notes:read', 'notes:wirte'] })
  // @ts-expect-error: a typo in anyOf
  app.get('/', run, { permission: { anyOf: ['notes:raed'] } })
  // @ts-expect-error: nothing is asked for
  app.get('/', run, { permission: [] })
  // @ts-expect-error: nothing would be enough
  app.get('/', run, { permission: { anyOf: [] } })
  // @ts-expect-error: everybody holds it, so it is no item of a list
  app.get('/', run, { permission: ['any'] })
  // @ts-expect-error: there is no such form
  app.get('/', run, { permission: { allOf: ['notes:read'] } })
  // @ts-expect-error: a typo in what a guard asks for
  app.guard({ permission: ['notes:raed'] })
}

import { expect, test } from 'bun:test'
import fc from 'fast-check'
import type { SubjectState } from '../lib/changes-schema.ts'
import { type Fact, Superseded } from '../lib/follower-store.ts'
import { createStaleness } from './staleness.ts'
import { createSubjectStore, type SubjectStore } from './subject-store.ts'
import { openKeyDatabase } from './test-store.ts'

/* A random history, told to two processes on one database in whatever way a feed may tell it. */

const now = 1_800_000_000_000
const ids = ['usr_a', 'usr_b', 'usr_c', 'usr_d']

type Change = {
  readonly id: string
  readonly state: SubjectState
  readonly sequence: number
  readonly session: string
}

type Told = {
  readonly id: string
  readonly status: SubjectState['status']
  readonly roles: string[]
  readonly tokensSince: number | undefined
}

/** The other side: one history, which a restored backup can replace by another. */
const createLogin = () => {
  let generation = 1
  let history: Change[] = []
  const truthAt = (sequence: number): Map<string, SubjectState> =>
    new Map(history.filter(change => change.sequence <= sequence).map(({ id, state }) => [id, state]))
  return {
    get generation() {
      return `g${generation}`
    },
    latest: () => history.at(-1)?.sequence ?? 0,
    change: ({ id, status, roles, tokensSince }: Told) => {
      const sequence = (history.at(-1)?.sequence ?? 0) + 1
      const session = `ses_${generation}_${sequence}`
      history.push({
        id,
        state: {
          status,
          roles: status === 'deleted' ? [] : roles,
          scopes: [],
          ...(tokensSince === undefined || status === 'deleted' ? {} : { tokensSince }),
        },
        sequence,
        session,
      })
    },
    /** The database as it was some changes ago. */
    restore: (back: number) => {
      history = history.slice(0, Math.max(0, history.length - back))
      generation += 1
    },
    after: (sequence: number, limit: number): Change[] =>
      history.filter(change => change.sequence > sequence).slice(0, limit),
    truth: () => truthAt(Number.POSITIVE_INFINITY),
  }
}

type Login = ReturnType<typeof createLogin>

const factsOf = ({ id, state, sequence, session }: Change): Fact[] => [
  { kind: 'subject', id, state, sequence },
  { kind: 'ended', id: session, expiresAt: now + 3_600_000 },
]

const status = fc.constantFrom('active' as const, 'disabled' as const, 'deleted' as const)
const change = fc.record({
  kind: fc.constant('change' as const),
  id: fc.constantFrom(...ids),
  status,
  roles: fc.subarray(['user', 'admin']),
  tokensSince: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
})
const process = fc.constantFrom(0, 1)
const step = fc.oneof(
  { weight: 5, arbitrary: change },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('poll' as const),
      process,
      limit: fc.integer({ min: 1, max: 5 }),
      // What came already comes again, and all of it in this order.
      repeat: fc.integer({ min: 0, max: 4 }),
      isReversed: fc.boolean(),
      save: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const), process }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('resync' as const),
      process,
      // Changes between one page and the next, and whether it is cut short.
      between: fc.array(change, { maxLength: 2 }),
      isCut: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('restore' as const), back: fc.integer({ min: 0, max: 4 }) }),
  },
)

const cursorOf = (login: Login, sequence: number) => ({
  generation: login.generation,
  cursor: `${login.generation}.${sequence}`,
})

const snapshot = async (
  store: SubjectStore,
  login: Login,
  between: readonly Told[] = [],
  isCut = false,
): Promise<void> => {
  const base = login.latest()
  const position = cursorOf(login, base)
  const run = store.beginSnapshot(login.generation)
  try {
    // One subject a page, each as it is when that page is read.
    for (const [index, id] of ids.entries()) {
      const state = login.truth().get(id)
      const sequence = login.latest()
      await run.add(
        state === undefined || state.status === 'deleted' ? [] : [{ kind: 'subject', id, state, sequence }],
      )
      const other = between[index]
      if (other !== undefined) login.change(other)
      if (isCut && index === 1) return
    }
    await run.add(login.after(0, 1_000).flatMap(one => factsOf(one).filter(({ kind }) => kind === 'ended')))
    await run.finish(position, base, now)
  } catch (error) {
    if (!(error instanceof Superseded)) throw error
  }
}

/** One poll, or the snapshot that it turns out to need. Returns whether there was nothing new. */
const poll = async (
  store: SubjectStore,
  login: Login,
  { limit = 100, repeat = 0, isReversed = false } = {},
): Promise<boolean> => {
  const [generation, text] = store.position()?.cursor.split('.') ?? []
  if (generation !== login.generation || Number(text) > login.latest()) {
    await snapshot(store, login)
    return false
  }
  const items = login.after(Number(text), limit)
  const again = login.after(Math.max(0, Number(text) - repeat), repeat)
  const facts = [...again, ...items].flatMap(factsOf)
  const last = items.at(-1)?.sequence ?? Number(text)
  store.apply(isReversed ? facts.toReversed() : facts, cursorOf(login, last), now)
  return items.length === 0
}

test('whatever is told twice, late, in another order or half, both processes come to know what is true', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async steps => {
      const database = openKeyDatabase()
      const login = createLogin()
      const open = (): SubjectStore =>
        createSubjectStore({
          database,
          clock: () => now,
          staleness: createStaleness({ maxStalenessSeconds: 30, clock: () => now }),
          service: 'notes',
          heardMilliseconds: 10_000,
        })
      const stores: [SubjectStore, SubjectStore] = [open(), open()]
      const storeOf = (index: number): SubjectStore => stores[index === 0 ? 0 : 1]

      for (const one of steps) {
        if (one.kind === 'change') login.change(one)
        else if (one.kind === 'restore') login.restore(one.back)
        else if (one.kind === 'restart') stores[one.process === 0 ? 0 : 1] = open()
        else if (one.kind === 'resync') await snapshot(storeOf(one.process), login, one.between, one.isCut)
        else {
          const store = storeOf(one.process)
          const before = new Map(ids.map(id => [id, sequenceOf(store, id)]))
          const { generation } = store.position() ?? {}
          await poll(store, login, one)
          if (one.save) await store.save()
          // Within one history nobody is ever taken back to what they were before.
          if (generation !== store.position()?.generation || generation !== login.generation) continue
          // Who is missing after another process has read everything anew is refused, until told of again.
          for (const [id, sequence] of before) {
            if (store.find(id)?.status !== 'deleted')
              expect(sequenceOf(store, id)).toBeGreaterThanOrEqual(sequence)
          }
        }
      }

      for (const store of stores) while (!(await poll(store, login))) await store.save()
      await Promise.all(stores.map(store => store.save()))
      const restarted = open()
      while (!(await poll(restarted, login))) await restarted.save()
      for (const store of [...stores, restarted]) {
        while (!(await poll(store, login))) await store.save()
        const truth = login.truth()
        for (const id of ids) {
          const { status: expected = 'deleted', roles = [], tokensSince } = truth.get(id) ?? {}
          const found = store.find(id)
          // Who was never told of is as unknown as who is gone.
          expect([id, found?.status ?? 'deleted', found?.roles ?? [], found?.tokensSince]).toEqual([
            id,
            expected,
            roles,
            tokensSince,
          ])
        }
        for (const { session } of login.after(0, 1_000)) expect(store.isEnded(session)).toBe(true)
      }
      database.close()
    }),
    { numRuns: 60 },
  )
})

/** Which change a subject is known by, of whichever snapshot: what `find` hands out has it beside the state. */
const sequenceOf = (store: SubjectStore, id: string): number => {
  const { epoch = 0, sequence = -1 }: { epoch?: number; sequence?: number } = Object(store.find(id))
  return epoch * 1_000_000 + sequence
}

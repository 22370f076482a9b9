import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { changeTypes, type SubjectState } from './changes-schema.ts'
import { createClientTokens } from './client-token.ts'
import { createFollower, type Follower, type FollowerEvent, type FollowerOptions } from './follower.ts'
import type { FeedPosition, FollowerStore } from './follower-store.ts'
import {
  active,
  clientId,
  clientSecret,
  deleted,
  disabled,
  type FeedServer,
  serveFeed,
  until,
} from './test-feed-server.ts'

/** Keeps what it is told in memory, and what it was told when. */
const createStore = () => {
  const subjects = new Map<string, { state: SubjectState; sequence: number }>()
  const ended = new Map<string, number>()
  const told: string[] = []
  let position: FeedPosition | null = null
  const take: FollowerStore['apply'] = (facts, next, heardAt) => {
    for (const fact of facts) {
      if (fact.kind === 'ended') ended.set(fact.id, fact.expiresAt)
      if (fact.kind !== 'subject') continue
      if ((subjects.get(fact.id)?.sequence ?? -1) < fact.sequence) subjects.set(fact.id, fact)
    }
    if (next !== null) position = next
    told.push(
      `${facts.length} facts${next === null ? ', no position' : ''}${heardAt === null ? ', not all' : ''}`,
    )
  }
  const store: FollowerStore = {
    name: 'test',
    position: () => position,
    apply: take,
    save: async () => {},
    beginSnapshot: generation => {
      subjects.clear()
      told.push(`snapshot of ${generation}`)
      return {
        add: async facts => take(facts, null, null),
        finish: async next => {
          position = next
          return { count: 0, ids: [] }
        },
      }
    },
  }
  return {
    store,
    subjects,
    ended,
    told,
    statusOf: (id: string) => subjects.get(id)?.state.status ?? 'unknown',
  }
}

let server: FeedServer
let known: ReturnType<typeof createStore>
let events: FollowerEvent[]
let forgotten: string[]
let follower: Follower | null
let pauses: number[]
beforeEach(() => {
  server = serveFeed()
  known = createStore()
  events = []
  forgotten = []
  pauses = []
  follower = null
})
afterEach(async () => {
  await follower?.stop()
  await server[Symbol.asyncDispose]()
})

const kinds = (): string[] => events.map(({ kind }) => kind)

const follow = (options: Partial<FollowerOptions> = {}): void => {
  const { url } = server
  follower = createFollower({
    url,
    tokens: createClientTokens({ url, clientId, clientSecret, scope: 'changes:read', clock: Date.now }),
    store: known.store,
    waitSeconds: 5,
    clock: Date.now,
    onEvent: event => events.push(event),
    onSigningKeyRevoked: kid => forgotten.push(kid),
    sleep: async (milliseconds, signal) => {
      pauses.push(milliseconds)
      if (!signal.aborted) await Bun.sleep(Math.min(milliseconds, 5))
    },
    ...options,
  })
  follower.start()
}

/** Follows until everything that the server knows now was heard. */
const settle = (): Promise<void> => until(() => kinds().includes('began') || kinds().includes('back'))

describe('a first start', () => {
  test('takes a snapshot page by page, and then waits for what happens', async () => {
    for (let index = 0; index < 25; index += 1) server.subjects.set(`usr_${index}`, active())
    server.pageSize = 10
    follow()
    await settle()
    expect(known.subjects.size).toBe(25)
    expect(kinds()).toEqual(['resync', 'resynced', 'began'])
    expect(server.asked.filter(path => path.startsWith('/changes/snapshot'))).toHaveLength(3)
    server.setState('usr_3', { status: 'disabled' })
    await until(() => known.statusOf('usr_3') === 'disabled')
    server.setState('usr_4', { status: 'deleted' })
    await until(() => known.statusOf('usr_4') === 'deleted')
  })

  test('reads what happened while the snapshot was read', async () => {
    for (let index = 0; index < 20; index += 1) server.subjects.set(`usr_${index}`, active())
    server.pageSize = 10
    server.instead = (request, path) => {
      if (path === '/changes/snapshot' && request.url.includes('page=')) {
        server.instead = () => null
        server.setState('usr_1', { status: 'disabled' })
        server.setState('usr_15', { status: 'disabled' })
      }
      return null
    }
    follow()
    await settle()
    expect([known.statusOf('usr_1'), known.statusOf('usr_15'), known.statusOf('usr_2')]).toEqual([
      'disabled',
      'disabled',
      'active',
    ])
  })

  test('asks by the name and the cursor that the store has, and waits only when all is read', async () => {
    follow()
    await until(() => server.asked.some(path => path.includes('wait=5')))
    const [first, second] = server.asked.filter(path => path.startsWith('/changes?'))
    expect(first).toBe('/changes?after=g1.0&limit=500&wait=0&follower=test')
    expect(second).toBe('/changes?after=g1.0&limit=500&wait=5&follower=test')
  })
})

describe('changes', () => {
  test('that come twice, in any order and with gaps leave what is true, and lose nothing', async () => {
    server.subjects.set('usr_ann', active())
    server.subjects.set('usr_bob', active())
    follow()
    await settle()
    const one = server.setState('usr_ann', { status: 'disabled' })
    const two = server.change({ subjectId: 'usr_ann', sequence: 7, state: active() })
    const three = server.change({ subjectId: 'usr_bob', sequence: 9, sessionId: 'ses_1', state: disabled })
    server.instead = (_, path) => {
      if (path !== '/changes') return null
      server.instead = () => null
      return Response.json({ generation: 'g1', items: [three, two, one, two, one], nextCursor: 'g1.9' })
    }
    await until(() => known.ended.has('ses_1'))
    expect([known.statusOf('usr_ann'), known.statusOf('usr_bob')]).toEqual(['active', 'disabled'])
  })

  test('more than a page are read one page after the other, and everything counts as heard only at the end', async () => {
    follow()
    await settle()
    known.told.length = 0
    for (let index = 0; index < 1_100; index += 1) server.setState(`usr_${index}`, { status: 'disabled' })
    await until(() => known.subjects.size === 1_100)
    expect(known.told.filter(text => text.startsWith('500')).every(text => text.endsWith('not all'))).toBe(
      true,
    )
    expect(known.told.some(text => text.startsWith('100 ') && !text.endsWith('not all'))).toBe(true)
  })

  test('of a session or token end it, until login says that its last token has expired', async () => {
    follow()
    await settle()
    server.change({ subjectId: 'usr_a', sessionId: 'ses_1', expiresAt: '2030-01-01T00:00:00.000Z' })
    server.change({ subjectId: 'usr_a', type: changeTypes.tokenRevoked, tokenId: 'jti_1' })
    await until(() => known.ended.size === 2)
    expect(known.ended.get('ses_1')).toBe(Date.UTC(2030, 0, 1))
    expect(known.ended.get('jti_1')).toBeGreaterThan(Date.now() + 3_500_000)
  })

  test('of a signing key are told at once', async () => {
    follow()
    await settle()
    server.change({ subjectId: 'key_1', type: changeTypes.signingKeyRevoked })
    await until(() => forgotten.length > 0)
    expect(forgotten).toEqual(['key_1'])
  })

  test('of a type that nobody knows have the subject looked up, and what they carry counts too', async () => {
    server.subjects.set('usr_ann', active())
    follow()
    await settle()
    server.subjects.set('usr_ann', disabled)
    server.change({ subjectId: 'usr_ann', type: 'urn:later', sessionId: 'ses_9' })
    await until(() => known.ended.has('ses_9'))
    expect(known.statusOf('usr_ann')).toBe('disabled')
    expect(server.asked).toContain('/changes/subjects/usr_ann')
  })

  test('of an unknown type about what is no caller are not looked up', async () => {
    follow()
    await settle()
    server.change({ subjectId: 'org_1', type: 'urn:later' })
    server.setState('usr_a', { status: 'disabled' })
    await until(() => known.statusOf('usr_a') === 'disabled')
    expect(server.asked.filter(path => path.startsWith('/changes/subjects'))).toEqual([])
  })

  test('beside one that can not be looked up count at once, and are asked for again', async () => {
    server.subjects.set('usr_ann', active())
    follow()
    await settle()
    let isDown = true
    server.instead = (_, path) =>
      isDown && path.startsWith('/changes/subjects/') ? new Response(null, { status: 503 }) : null
    server.change({ subjectId: 'usr_eve', type: 'urn:later' })
    server.setState('usr_ann', { status: 'disabled' })
    await until(() => known.statusOf('usr_ann') === 'disabled')
    expect(known.store.position()?.cursor).toBe('g1.0')
    server.subjects.set('usr_eve', disabled)
    isDown = false
    await until(() => known.statusOf('usr_eve') === 'disabled')
    await until(() => known.store.position()?.cursor === 'g1.2')
  })

  test('about a subject that login will never tell of are read from a snapshot', async () => {
    follow()
    await settle()
    server.instead = (_, path) =>
      path.startsWith('/changes/subjects/') ? new Response(null, { status: 404 }) : null
    server.change({ subjectId: 'usr_eve', type: 'urn:later', state: null })
    server.subjects.set('usr_eve', disabled)
    await until(() => known.statusOf('usr_eve') === 'disabled')
    expect(events).toContainEqual({ kind: 'resync', reason: 'subject_unavailable' })
  })
})

describe('a position that leads nowhere', () => {
  test('410: everything is read anew, and following goes on from there', async () => {
    server.subjects.set('usr_ann', active())
    follow()
    await settle()
    server.instead = (_, path) => {
      if (path !== '/changes') return null
      server.instead = () => null
      server.subjects.set('usr_ann', disabled)
      return new Response(null, { status: 410 })
    }
    server.setState('usr_x', { status: 'active' })
    await until(() => known.statusOf('usr_ann') === 'disabled')
    expect(events).toContainEqual({ kind: 'resync', reason: 'resync_required' })
    server.setState('usr_bob', { status: 'disabled' })
    await until(() => known.statusOf('usr_bob') === 'disabled')
    expect(pauses).toEqual([])
  })

  test('another generation in a page: nothing of it is applied, everything is read anew', async () => {
    server.subjects.set('usr_ann', active())
    follow()
    await settle()
    const change = server.change({ subjectId: 'usr_ann', state: deleted })
    server.history.length = 0
    server.subjects.set('usr_ann', active())
    server.generation = 'g2'
    server.instead = (_, path) =>
      path === '/changes' && known.store.position()?.generation === 'g1'
        ? Response.json({ generation: 'g2', items: [{ ...change, sequence: 9 }], nextCursor: 'g2.9' })
        : null
    await until(() => kinds().filter(kind => kind === 'resynced').length > 1)
    expect(events).toContainEqual({ kind: 'resync', reason: 'generation_changed' })
    await until(() => known.told.includes('snapshot of g2'))
    expect(known.statusOf('usr_ann')).toBe('active')
  })

  test('a snapshot whose history changes half way is begun anew', async () => {
    for (let index = 0; index < 20; index += 1) server.subjects.set(`usr_${index}`, active())
    server.pageSize = 10
    server.instead = (request, path) => {
      if (path === '/changes/snapshot' && request.url.includes('page=')) {
        server.instead = () => null
        server.generation = 'g2'
      }
      return null
    }
    follow()
    await settle()
    expect(known.told.filter(text => text.startsWith('snapshot'))).toEqual([
      'snapshot of g1',
      'snapshot of g2',
    ])
    expect(known.store.position()?.generation).toBe('g2')
  })

  test('a login that says 410 again and again is asked with pauses', async () => {
    server.instead = (_, path) => (path === '/changes' ? new Response(null, { status: 410 }) : null)
    follow()
    await until(() => pauses.length >= 3)
    expect(kinds().filter(kind => kind === 'lost')).toEqual(['lost'])
  })
})

/** Answers to `GET /changes` that are not what they should be. */
const page = (members: object): Response =>
  Response.json({ generation: 'g1', items: [], nextCursor: 'g1.5', ...members })
const item = { sequence: 5, type: 't', at: '2026-01-01T00:00:00Z', subjectId: 'usr_ann', state: deleted }
const whole = { ...item, sessionId: null, tokenId: null, expiresAt: null }
const drip = (): Response =>
  new Response(
    new ReadableStream({
      pull: async controller => {
        await Bun.sleep(20)
        controller.enqueue(' ')
      },
    }),
  )

const hostile: readonly [string, () => Response][] = [
  ['an error', () => new Response('broken', { status: 500 })],
  ['a refusal', () => new Response(null, { status: 403 })],
  ['a redirect', () => new Response(null, { status: 302, headers: { location: '/changes/snapshot' } })],
  ['nothing', () => new Response(null, { status: 204 })],
  ['text', () => new Response('hello')],
  ['half of it', () => new Response('{"generation":"g1","items":[')],
  ['null', () => Response.json(null)],
  ['a list', () => Response.json([])],
  ['no items', () => page({ items: undefined })],
  ['items that are none', () => page({ items: 'none' })],
  ['an item that is none', () => page({ items: [null] })],
  ['an item without a state', () => page({ items: [{ ...whole, state: undefined }] })],
  ['an item without a subject', () => page({ items: [{ ...whole, subjectId: '' }] })],
  ['a status of no meaning', () => page({ items: [{ ...whole, state: { ...deleted, status: 'gone' } }] })],
  ['roles that are none', () => page({ items: [{ ...whole, state: { ...deleted, roles: 'user' } }] })],
  [
    'too many roles',
    () => page({ items: [{ ...whole, state: { ...deleted, roles: Array(17).fill('r') } }] }),
  ],
  ['a sequence of 0', () => page({ items: [{ ...whole, sequence: 0 }] })],
  ['a sequence that is text', () => page({ items: [{ ...whole, sequence: '5' }] })],
  ['a time that is none', () => page({ items: [{ ...whole, sessionId: 'ses_1', expiresAt: 'soon' }] })],
  ['a generation that is none', () => page({ generation: 1 })],
  ['an empty cursor', () => page({ nextCursor: '' })],
  ['a cursor of a megabyte', () => page({ nextCursor: 'x'.repeat(1_000_000) })],
  ['too many items', () => page({ items: Array(1_001).fill(whole) })],
  ['more than 4 MiB', () => new Response(' '.repeat(4_300_000))],
]

describe('an answer that is none', () => {
  test.each(hostile)(
    '%s: changes nothing, is told once, and following goes on after it',
    async (_, answer) => {
      server.subjects.set('usr_ann', active())
      follow()
      await settle()
      known.told.length = 0
      let isHostile = true
      server.instead = (_request, path) => (isHostile && path === '/changes' ? answer() : null)
      server.change({ subjectId: 'usr_bob', state: active() })
      await until(() => pauses.length >= 3)
      expect(known.statusOf('usr_ann')).toBe('active')
      expect(known.store.position()?.cursor).not.toBe('g1.5')
      expect(kinds().filter(kind => kind === 'lost')).toHaveLength(1)
      expect(follower?.isUp).toBe(false)
      isHostile = false
      server.setState('usr_ann', { status: 'disabled' })
      await until(() => known.statusOf('usr_ann') === 'disabled')
      expect(kinds().at(-1)).toBe('back')
      expect(follower?.isUp).toBe(true)
    },
  )

  test('a byte at a time: is given up', async () => {
    let isDripping = true
    server.instead = (_, path) => (isDripping && path === '/changes' ? drip() : null)
    follow({ patienceMilliseconds: 100 })
    await until(() => pauses.length >= 2)
    expect(kinds()).toEqual(['resync', 'resynced', 'lost'])
    isDripping = false
    server.setState('usr_ann', { status: 'disabled' })
    await until(() => known.statusOf('usr_ann') === 'disabled')
  })

  test.each<[string, object]>([
    ['the same page for ever', { nextPage: 'p' }],
    ['garbage', { items: [{ kind: 'subject', id: 'usr_ann' }] }],
    ['an unknown kind', { items: [{ kind: 'planet', id: 'earth' }] }],
  ])('a snapshot of %s: is not taken for complete', async (_, members) => {
    server.instead = (_request, path) =>
      path === '/changes/snapshot'
        ? Response.json({
            generation: 'g1',
            cursor: 'g1.0',
            sequence: 0,
            items: [],
            nextPage: null,
            ...members,
          })
        : null
    follow()
    await until(() => server.asked.length > 20)
    expect(known.store.position()).toBeNull()
    expect(kinds()).not.toContain('resynced')
  })
})

describe('a login that is away', () => {
  test('is tried again after pauses with full jitter of a second at most', async () => {
    server.instead = () => new Response(null, { status: 503 })
    const sleeps: number[] = []
    follow({
      random: () => 1,
      sleep: async milliseconds => {
        sleeps.push(milliseconds)
        await Bun.sleep(0)
      },
    })
    await until(() => sleeps.length >= 8)
    expect(sleeps.slice(0, 6)).toEqual([100, 200, 400, 800, 1_000, 1_000])
    expect(kinds()).toEqual(['lost'])
  })

  test('a token that the feed refuses is dropped once, and another one asked for', async () => {
    follow()
    await settle()
    let refusals = 0
    server.instead = (_, path) => {
      if (path !== '/changes' || refusals > 0) return null
      refusals += 1
      return new Response(null, { status: 401 })
    }
    server.setState('usr_a', { status: 'disabled' })
    await until(() => known.statusOf('usr_a') === 'disabled' && refusals === 1)
    await until(() => server.asked.filter(path => path === '/oauth/token').length === 2)
    expect(kinds()).not.toContain('lost')
  })

  test('a stop ends a poll that waits, and nothing is asked after it', async () => {
    follow()
    await until(() => server.asked.some(path => path.includes('wait=5')))
    await follower?.stop()
    const { length } = server.asked
    server.setState('usr_a', { status: 'disabled' })
    await Bun.sleep(30)
    expect(server.asked).toHaveLength(length)
    expect(known.statusOf('usr_a')).toBe('unknown')
  })

  test('a stop while login is silent ends what is under way', async () => {
    server.instead = () => new Promise<Response>(() => {})
    follow()
    await until(() => server.asked.length > 0)
    await follower?.stop()
    expect(kinds()).toEqual([])
  })
})

test('a store that can not write is told of once, and what was heard counts nevertheless', async () => {
  let isFull = true
  follow({
    store: {
      ...known.store,
      save: async () => {
        if (isFull) throw new Error('disk full')
      },
    },
  })
  await settle()
  for (const id of ['usr_a', 'usr_b']) {
    server.setState(id, { status: 'disabled' })
    await until(() => known.statusOf(id) === 'disabled')
  }
  expect(kinds().filter(kind => kind === 'unsaved')).toHaveLength(1)
  expect(follower?.isUp).toBe(true)
  isFull = false
})

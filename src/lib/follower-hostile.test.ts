import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { active, deleted, until } from './test-feed-server.ts'
import { type FollowerSetUp, setUpFollower } from './test-follower.ts'

let set: FollowerSetUp
beforeEach(() => {
  set = setUpFollower()
})
afterEach(() => set.end())

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
  ['a status that is none', () => page({ items: [{ ...whole, state: { ...deleted, status: 1 } }] })],
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
      const { server, known, pauses, kinds, follow, settle } = set
      server.subjects.set('usr_ann', active())
      follow()
      await settle()
      known.told.length = 0
      let isHostile = true
      server.instead = (_request, path) => (isHostile && path === '/changes' ? answer() : null)
      server.change({ subjectId: 'usr_bob', state: active() })
      await until(() => pauses.length >= 3 && kinds().includes('lost'))
      expect(known.statusOf('usr_ann')).toBe('active')
      expect(known.store.position()?.cursor).not.toBe('g1.5')
      expect(kinds().filter(kind => kind === 'lost')).toHaveLength(1)
      expect(set.follower?.isUp).toBe(false)
      isHostile = false
      server.setState('usr_ann', { status: 'disabled' })
      await until(() => known.statusOf('usr_ann') === 'disabled')
      expect(kinds().at(-1)).toBe('back')
      expect(set.follower?.isUp).toBe(true)
    },
  )

  test('a byte at a time: is given up', async () => {
    const { server, known, pauses, kinds, follow } = set
    let isDripping = true
    server.instead = (_, path) => (isDripping && path === '/changes' ? drip() : null)
    follow({ patienceMilliseconds: 100 })
    await until(() => pauses.filter(pause => pause !== 200).length >= 2)
    expect(kinds()).toEqual(['resync', 'resynced'])
    expect(set.follower?.isUp).toBe(false)
    isDripping = false
    server.setState('usr_ann', { status: 'disabled' })
    await until(() => known.statusOf('usr_ann') === 'disabled')
  })

  test.each<[string, object]>([
    ['the same page for ever', { nextPage: 'p' }],
    ['garbage', { items: [{ kind: 'subject', id: 'usr_ann' }] }],
    ['an item of no kind', { items: [{ id: 'usr_ann' }] }],
    ['a session without an end', { items: [{ kind: 'session', id: 'ses_1' }] }],
    ['a session that ends at no time', { items: [{ kind: 'session', id: 'ses_1', expiresAt: 'soon' }] }],
    ['a token of no id', { items: [{ kind: 'token', id: '', expiresAt: '2030-01-01T00:00:00Z' }] }],
    ['compressed text', { encoding: 'gzip' }],
  ])('a snapshot of %s: is not taken for complete', async (_, members) => {
    const { server, known, kinds, follow } = set
    const { encoding, ...others }: { encoding?: string } = members
    const text = JSON.stringify({
      ...{ generation: 'g1', cursor: 'g1.0', sequence: 0, items: [], nextPage: null },
      ...others,
    })
    server.instead = (_request, path) => {
      if (path !== '/changes/snapshot') return null
      return encoding === undefined
        ? new Response(text)
        : new Response(Bun.gzipSync(Buffer.from(text)), { headers: { 'content-encoding': encoding } })
    }
    follow()
    await until(() => server.asked.length > 12)
    expect(known.store.position()).toBeNull()
    expect(kinds()).not.toContain('resynced')
  })
})

test('nothing is asked for that may come compressed', async () => {
  const { server, kinds, follow, settle } = set
  const encodings = new Map<string, string | null>()
  server.instead = (request, path) => {
    encodings.set(path, request.headers.get('accept-encoding'))
    return null
  }
  follow()
  await settle()
  server.change({ subjectId: 'usr_ann', type: 'urn:later' })
  await until(() => encodings.has('/changes/subjects/usr_ann'))
  expect(Object.fromEntries(encodings)).toEqual({
    '/oauth/token': 'identity',
    '/changes/snapshot': 'identity',
    '/changes': 'identity',
    '/changes/subjects/usr_ann': 'identity',
  })
  expect(kinds()).not.toContain('lost')
})

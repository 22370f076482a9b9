import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { changeTypes } from './changes-schema.ts'
import { active, disabled, until } from './test-feed-server.ts'
import { type FollowerSetUp, setUpFollower } from './test-follower.ts'

let set: FollowerSetUp
beforeEach(() => {
  set = setUpFollower()
})
afterEach(() => set.end())

describe('a first start', () => {
  test('takes a snapshot page by page, and then waits for what happens', async () => {
    const { server, known, kinds, follow, settle } = set
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

  test('asks by the name and the cursor that the store has, and waits only when all is read', async () => {
    const { server, follow } = set
    follow()
    await until(() => server.asked.some(path => path.includes('wait=5')))
    const polls = server.asked.filter(path => path.startsWith('/changes?'))
    expect(polls.at(-1)).toBe('/changes?after=g1.0&limit=500&wait=5&follower=test')
    expect(new Set(polls.slice(0, -1))).toEqual(
      new Set(['/changes?after=g1.0&limit=500&wait=0&follower=test']),
    )
  })
})

describe('changes', () => {
  test('that come twice, in any order and with gaps leave what is true, and lose nothing', async () => {
    const { server, known, follow, settle } = set
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
    const { server, known, follow, settle } = set
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
    const { server, known, follow, settle } = set
    follow()
    await settle()
    server.change({ subjectId: 'usr_a', sessionId: 'ses_1', expiresAt: '2030-01-01T00:00:00.000Z' })
    server.change({ subjectId: 'usr_a', type: changeTypes.tokenRevoked, tokenId: 'jti_1' })
    await until(() => known.ended.size === 2)
    expect(known.ended.get('ses_1')).toBe(Date.UTC(2030, 0, 1))
    expect(known.ended.get('jti_1')).toBeGreaterThan(Date.now() + 3_500_000)
  })

  test('of a session that ends now are remembered for as long as any token can live by the clock here', async () => {
    const { server, known, follow, settle } = set
    server.ended.set('ses_0', '2030-01-01T00:00:00.000Z')
    follow({ clock: () => Date.UTC(2040, 0, 1) })
    await settle()
    server.change({ subjectId: 'usr_a', sessionId: 'ses_1', expiresAt: '2030-01-01T00:00:00.000Z' })
    await until(() => known.ended.has('ses_1'))
    expect(known.ended.get('ses_0')).toBe(Date.UTC(2030, 0, 1))
    expect(known.ended.get('ses_1')).toBe(Date.UTC(2040, 0, 1, 1, 0, 5))
  })

  test('of a signing key are told at once', async () => {
    const { server, forgotten, follow, settle } = set
    follow()
    await settle()
    server.change({ subjectId: 'key_1', type: changeTypes.signingKeyRevoked })
    await until(() => forgotten.length > 0)
    expect(forgotten).toEqual(['key_1'])
  })
})

test('a store that can not write is told of once, and what was heard counts nevertheless', async () => {
  const { server, known, kinds, follow, settle } = set
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
  expect(set.follower?.isUp).toBe(true)
  isFull = false
})

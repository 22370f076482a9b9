import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { changeTypes } from './changes-schema.ts'
import type { FeedPosition } from './follower-store.ts'
import { active, disabled, until } from './test-feed-server.ts'
import { type FollowerSetUp, setUpFollower } from './test-follower.ts'

let set: FollowerSetUp
beforeEach(() => {
  set = setUpFollower()
  for (let index = 0; index < 20; index += 1) set.server.subjects.set(`usr_${index}`, active())
  set.server.pageSize = 10
})
afterEach(() => set.end())

/** Holds back pages of a snapshot after the first, until it is told how to answer them. */
const holdPages = () => {
  const { server } = set
  const held: (() => void)[] = []
  server.instead = (request, path) => {
    if (path !== '/changes/snapshot' || !request.url.includes('page=')) return null
    return new Promise(resolve => {
      held.push(() => resolve(new Response(null, { status: 503 })))
    })
  }
  return {
    isHolding: () => held.length > 0,
    /** From here on pages come; the one that is held fails, and is asked for again. */
    release: () => {
      server.instead = () => null
      for (const end of held) end()
    },
  }
}

const snapshotsBegun = (): number => set.known.told.filter(text => text.startsWith('snapshot of')).length

test('what happens while a snapshot is read is read with it', async () => {
  const { server, known, follow, settle } = set
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

describe('while a page of a snapshot is not coming', () => {
  test('what happens is heard, page or no page, and is not undone by pages that come later', async () => {
    const { server, known, kinds, forgotten, follow, settle } = set
    const pages = holdPages()
    follow()
    await until(pages.isHolding)
    server.setState('usr_1', { status: 'disabled' })
    await until(() => known.statusOf('usr_1') === 'disabled')
    server.setState('usr_15', { status: 'disabled' })
    server.change({ subjectId: 'usr_2', sessionId: 'ses_1' })
    server.change({ subjectId: 'key_1', type: changeTypes.signingKeyRevoked })
    await until(() => known.statusOf('usr_15') === 'disabled' && known.ended.has('ses_1'))
    expect(forgotten).toEqual(['key_1'])
    expect(kinds()).toEqual(['resync'])
    pages.release()
    await settle()
    expect([known.statusOf('usr_1'), known.statusOf('usr_15'), known.statusOf('usr_16')]).toEqual([
      'disabled',
      'disabled',
      'active',
    ])
    expect(snapshotsBegun()).toBe(1)
  })

  test('subjects of changes that are not understood are looked up', async () => {
    const { server, known, follow } = set
    const pages = holdPages()
    follow()
    await until(pages.isHolding)
    server.subjects.set('usr_1', disabled)
    server.change({ subjectId: 'usr_1', type: 'urn:later' })
    await until(() => known.statusOf('usr_1') === 'disabled')
  })

  test('another history ends it at once', async () => {
    const { server, known, follow, settle } = set
    const pages = holdPages()
    follow()
    await until(pages.isHolding)
    server.generation = 'g2'
    await until(() => snapshotsBegun() === 2)
    pages.release()
    await settle()
    expect(known.store.position()?.generation).toBe('g2')
  })

  test('polls that fail are tried again, and do not end it', async () => {
    const { server, known, kinds, follow, settle } = set
    const pages = holdPages()
    const { instead } = server
    let failures = 0
    follow()
    await until(pages.isHolding)
    server.instead = (request, path) => {
      if (path === '/changes' && failures < 3) {
        failures += 1
        return new Response(null, { status: 503 })
      }
      return instead(request, path)
    }
    server.setState('usr_1', { status: 'disabled' })
    await until(() => known.statusOf('usr_1') === 'disabled')
    expect(failures).toBe(3)
    pages.release()
    await settle()
    expect([snapshotsBegun(), kinds()]).toEqual([1, ['resync', 'resynced', 'began']])
  })

  test('a stop ends it', async () => {
    const { server, known, follow } = set
    const pages = holdPages()
    follow()
    await until(pages.isHolding)
    await set.follower?.stop()
    const { length } = server.asked
    await Bun.sleep(20)
    expect(server.asked).toHaveLength(length)
    expect(known.store.position()).toBeNull()
  })
})

describe('a snapshot', () => {
  test('is complete only with what happened until its end, and is followed from there', async () => {
    const { server, known, follow, settle } = set
    server.instead = (request, path) => {
      if (path !== '/changes/snapshot' || !request.url.includes('page=')) return null
      server.instead = () => null
      server.pageSize = 1_000
      for (let index = 0; index < 700; index += 1) server.setState(`usr_new_${index}`, active())
      return null
    }
    follow()
    await settle()
    const finished = known.told.findIndex(text => text.startsWith('finished'))
    expect(known.told[finished]).toBe('finished at g1.700')
    expect(known.subjects.size).toBe(720)
  })

  test('of which a page fails twice goes on with that page', async () => {
    const { server, known, follow, settle } = set
    let failures = 0
    server.instead = (request, path) => {
      if (path !== '/changes/snapshot' || !request.url.includes('page=') || failures === 2) return null
      failures += 1
      return new Response(null, { status: 503 })
    }
    follow()
    await settle()
    expect([failures, snapshotsBegun(), known.subjects.size]).toEqual([2, 1, 20])
  })

  test('of which a page fails and fails is begun anew after a pause', async () => {
    const { server, pauses, follow } = set
    server.instead = (request, path) =>
      path === '/changes/snapshot' && request.url.includes('page=')
        ? new Response(null, { status: 503 })
        : null
    follow()
    await until(() => snapshotsBegun() > 1)
    expect(pauses).toContain(100)
  })

  test('of more than there may be is not taken, and what it holds is bounded', async () => {
    const { known, kinds, follow } = set
    follow({ maxSnapshotItems: 19 })
    await until(() => kinds().includes('lost'))
    expect(known.store.position()).toBeNull()
    expect(known.told).not.toContain('20 facts, no position, not all')
    await set.follower?.stop()
    expect(kinds()).not.toContain('resynced')
  })
})

describe('a position that was left when a snapshot was cut short', () => {
  const former: FeedPosition = { generation: 'g1', cursor: 'g1.7' }
  const ask = '/changes?after=g1.7&limit=1&wait=0&follower=test'

  const followWith = (position: FeedPosition | null): void => {
    const { store } = set.known
    set.follow({ store: { ...store, former: () => position } })
  }

  test('is shown to login once, before the next snapshot, and what it says to it is of no matter', async () => {
    const { server, events, settle } = set
    let hasFailed = false
    server.instead = (_, path) => {
      if (path !== '/changes/snapshot' || hasFailed) return null
      hasFailed = true
      return new Response(null, { status: 503 })
    }
    followWith(former)
    await settle()
    const asked = server.asked.slice(0, 4)
    expect(asked).toEqual(['/oauth/token', ask, '/changes/snapshot', '/changes/snapshot'])
    expect(server.asked.filter(path => path === ask)).toHaveLength(1)
    expect(events[0]).toEqual({ kind: 'resync', reason: 'no_position', count: 1 })
  })

  test('is shown until login answers, and no snapshot is taken before', async () => {
    const { server, pauses, settle } = set
    let isUp = false
    server.instead = (_, path) => (path === '/changes' && !isUp ? new Response('{', { status: 200 }) : null)
    followWith(former)
    await until(() => pauses.length > 2)
    expect(server.asked).not.toContain('/changes/snapshot')
    isUp = true
    await settle()
    expect(server.asked).toContain('/changes/snapshot')
  })

  test('is shown whatever the snapshot was begun for', async () => {
    const { server, known, settle } = set
    const { store } = known
    let left: FeedPosition | null = null
    set.follow({
      store: {
        ...store,
        former: () => left,
        beginSnapshot: generation => {
          left = store.position()
          return store.beginSnapshot(generation)
        },
      },
    })
    await settle()
    for (let index = 0; index < 20; index += 1) server.subjects.set(`usr_${index}`, active())
    server.pageSize = 10
    let isCut = false
    server.instead = ({ url }, path) => {
      if (isCut || (path !== '/changes' && !url.includes('page='))) return null
      isCut = path !== '/changes'
      return new Response(null, { status: 410 })
    }
    server.setState('usr_x', { status: 'active' })
    await until(() => isCut && server.asked.at(-1)?.includes('wait=5') === true)
    const asked = server.asked.filter(path => path.includes('limit=1&'))
    expect(asked).toEqual(['/changes?after=g1.1&limit=1&wait=0&follower=test'])
  })

  test('that was never there is not asked about', async () => {
    const { server, settle } = set
    followWith(null)
    await settle()
    expect(server.asked.slice(0, 2)).toEqual(['/oauth/token', '/changes/snapshot'])
  })
})

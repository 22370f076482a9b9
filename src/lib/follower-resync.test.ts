import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { active, deleted, disabled, until } from './test-feed-server.ts'
import { type FollowerSetUp, setUpFollower } from './test-follower.ts'

let set: FollowerSetUp
beforeEach(() => {
  set = setUpFollower()
})
afterEach(() => set.end())

describe('a position that leads nowhere', () => {
  test('410: everything is read anew, and following goes on from there', async () => {
    const { server, known, events, follow, settle } = set
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
    expect(events).toContainEqual({ kind: 'resync', reason: 'resync_required', count: 1 })
    server.setState('usr_bob', { status: 'disabled' })
    await until(() => known.statusOf('usr_bob') === 'disabled')
  })

  test('another generation in a page: nothing of it is applied, everything is read anew', async () => {
    const { server, known, events, kinds, follow, settle } = set
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
    expect(events).toContainEqual({ kind: 'resync', reason: 'generation_changed', count: 1 })
    await until(() => known.told.includes('snapshot of g2'))
    expect(known.statusOf('usr_ann')).toBe('active')
  })

  test('a snapshot whose history changes half way is begun anew', async () => {
    const { server, known, follow, settle } = set
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
    const { server, events, pauses, kinds, follow } = set
    server.instead = (_, path) => (path === '/changes' ? new Response(null, { status: 410 }) : null)
    follow()
    await until(() => kinds().includes('lost'))
    expect(pauses.filter(pause => pause !== 200).length).toBeGreaterThan(2)
    expect(events.filter(({ kind }) => kind === 'resync').length).toBeLessThan(4)
  })
})

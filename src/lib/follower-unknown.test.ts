import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { changeTypes } from './changes-schema.ts'
import { active, disabled, until } from './test-feed-server.ts'
import { type FollowerSetUp, setUpFollower } from './test-follower.ts'

let set: FollowerSetUp
beforeEach(() => {
  set = setUpFollower()
})
afterEach(() => set.end())

describe('changes', () => {
  test('of a type that nobody knows have the subject looked up, and what they carry counts too', async () => {
    const { server, known, follow, settle } = set
    server.subjects.set('usr_ann', active())
    follow()
    await settle()
    server.subjects.set('usr_ann', disabled)
    server.change({ subjectId: 'usr_ann', type: 'urn:later', sessionId: 'ses_9' })
    await until(() => known.statusOf('usr_ann') === 'disabled')
    expect(known.ended.has('ses_9')).toBe(true)
    expect(server.asked).toContain('/changes/subjects/usr_ann')
  })

  test('of an unknown type about what is no caller are not looked up', async () => {
    const { server, known, follow, settle } = set
    follow()
    await settle()
    server.change({ subjectId: 'org_1', type: 'urn:later' })
    server.setState('usr_a', { status: 'disabled' })
    await until(() => known.statusOf('usr_a') === 'disabled')
    expect(server.asked.filter(path => path.startsWith('/changes/subjects'))).toEqual([])
  })

  test('beside one that can not be looked up count at once, and are asked for again', async () => {
    const { server, known, follow, settle } = set
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
    const { server, known, events, follow, settle } = set
    follow()
    await settle()
    server.instead = (_, path) =>
      path.startsWith('/changes/subjects/') ? new Response(null, { status: 404 }) : null
    server.change({ subjectId: 'usr_eve', type: 'urn:later', state: null })
    server.subjects.set('usr_eve', disabled)
    await until(() => known.statusOf('usr_eve') === 'disabled')
    expect(events).toContainEqual({ kind: 'resync', reason: 'subject_unavailable', count: 1 })
  })

  test('beside one whose look-up hangs count, and are written, before it is answered', async () => {
    const { server, known, follow, settle } = set
    server.subjects.set('usr_ann', active())
    follow()
    await settle()
    let release = (): void => {}
    server.instead = (_, path) =>
      path.startsWith('/changes/subjects/')
        ? new Promise(resolve => {
            release = () => resolve(new Response(null, { status: 503 }))
          })
        : null
    known.told.length = 0
    server.change({ subjectId: 'usr_eve', type: 'urn:later' })
    server.setState('usr_ann', { status: 'disabled' })
    await until(() => server.asked.at(-1) === '/changes/subjects/usr_eve')
    expect(known.told.slice(-2)).toEqual(['1 facts, no position, not all', 'save'])
    expect(known.statusOf('usr_ann')).toBe('disabled')
    release()
  })
})

describe('what a later release may tell', () => {
  test('a status that nobody knows is not active, in a change, a snapshot and a look-up', async () => {
    const { server, known, follow, settle } = set
    const later = { status: 'frozen', roles: ['user'], scopes: [] }
    server.instead = (_, path) =>
      path === '/changes/snapshot'
        ? Response.json({
            generation: 'g1',
            cursor: 'g1.0',
            sequence: 0,
            items: [{ kind: 'subject', id: 'usr_snap', state: later }],
            nextPage: null,
          })
        : null
    follow()
    await settle()
    expect(known.statusOf('usr_snap')).toBe('disabled')
    const looked = server.change({ subjectId: 'usr_look', type: 'urn:later' })
    const told = { ...looked, type: changeTypes.claimsChanged, subjectId: 'usr_told', state: later }
    server.instead = (_, path) => {
      if (path === '/changes')
        return Response.json({ generation: 'g1', items: [told, looked], nextCursor: 'g1.1' })
      return Response.json({ generation: 'g1', sequence: 1, id: 'usr_look', state: later })
    }
    await until(() => known.statusOf('usr_look') === 'disabled' && known.statusOf('usr_told') === 'disabled')
  })

  test('kinds that nobody knows are left out of a snapshot, and the rest of it counts', async () => {
    const { server, known, kinds, follow, settle } = set
    server.instead = (_, path) =>
      path === '/changes/snapshot'
        ? Response.json({
            generation: 'g1',
            cursor: 'g1.0',
            sequence: 0,
            items: [
              { kind: 'planet', id: 'earth', state: 7 },
              { kind: 'subject', id: 'usr_ann', state: disabled, mood: 'bad' },
              { kind: 'session', id: 'ses_1', expiresAt: '2030-01-01T00:00:00Z' },
            ],
            nextPage: null,
            more: true,
          })
        : null
    follow()
    await settle()
    expect(kinds()).toEqual(['resync', 'resynced', 'began'])
    expect([...known.subjects.keys(), ...known.ended.keys()]).toEqual(['usr_ann', 'ses_1'])
    expect(known.statusOf('usr_ann')).toBe('disabled')
  })

  test('the time before which tokens are no good reaches the store as it was told', async () => {
    const { server, known, follow, settle } = set
    server.subjects.set('cli_a', { ...active([], ['a:b']), tokensSince: 1_700_000_000 })
    follow()
    await settle()
    expect(known.subjects.get('cli_a')?.state.tokensSince).toBe(1_700_000_000)
    server.setState('cli_a', { tokensSince: 1_700_000_009 })
    await until(() => known.subjects.get('cli_a')?.state.tokensSince === 1_700_000_009)
  })
})

import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { bySystem } from '../lib/audit.ts'
import type { SnapshotItem, SnapshotPage, SubjectState } from '../lib/changes-schema.ts'
import { endingExpiry } from './session-endings.ts'
import { createFeedSite, type FeedSite } from './test-feed.ts'
import { newUser } from './test-login.ts'

const pagesOf = (site: FeedSite): SnapshotPage[] => {
  const pages = [site.feed.snapshot(undefined)]
  for (;;) {
    const next = pages.at(-1)?.nextPage ?? null
    if (next === null) return pages
    pages.push(site.feed.snapshot(next))
  }
}
const itemsOf = (site: FeedSite): SnapshotItem[] => pagesOf(site).flatMap(({ items }) => items)
const idsOf = (items: readonly SnapshotItem[]): string[] => items.map(({ id }) => id)

const addClient = (site: FeedSite, id: string) =>
  site.clients.register(
    { id, name: id, scopes: ['things:read'], secret: { id: `sec_${id}`, hash: 'none' } },
    bySystem,
  )

describe('a snapshot', () => {
  test('has every user and client as they are, deleted clients, ended sessions and revoked tokens, and nothing else', async () => {
    const site = createFeedSite({ pageItems: 3 })
    const [ann, bob, eve] = [
      await site.users.insert(newUser('ann@example.com', ['support', 'user']), bySystem),
      await site.users.insert(newUser('bob@example.com'), bySystem),
      await site.users.insert(newUser('eve@example.com'), bySystem),
    ]
    const start = async (id: string) => (await site.sessions.start(id, bySystem))?.sessionId ?? ''
    const [live, ended] = [await start(ann.id), await start(bob.id)]
    await site.users.disable(bob.id, bySystem)
    await site.users.remove(eve.id, bySystem)
    for (const id of ['cli_a', 'cli_b']) await addClient(site, id)
    await site.clients.remove('cli_b', bySystem)
    const insert = site.database.query('INSERT INTO revoked_tokens VALUES (?, ?)')
    insert.run('gone', site.time.now)
    insert.run('revoked', site.time.now + 1_000)

    const items = itemsOf(site)
    expect(items).toEqual([
      { kind: 'subject', id: ann.id, state: { status: 'active', roles: ['support', 'user'], scopes: [] } },
      { kind: 'subject', id: bob.id, state: { status: 'disabled', roles: ['user'], scopes: [] } },
      { kind: 'subject', id: 'cli_a', state: { status: 'active', roles: [], scopes: ['things:read'] } },
      { kind: 'subject', id: 'cli_b', state: { status: 'deleted', roles: [], scopes: [] } },
      { kind: 'session', id: ended, expiresAt: new Date(endingExpiry(site.time.now)).toISOString() },
      { kind: 'token', id: 'revoked', expiresAt: new Date(site.time.now + 1_000).toISOString() },
    ])
    expect(idsOf(items)).not.toContain(live)

    site.time.now = endingExpiry(site.time.now)
    expect(idsOf(itemsOf(site))).toEqual([ann.id, bob.id, 'cli_a', 'cli_b'])
    site.database.close()
  })

  test('says since when the tokens of a client are good, as the one answer about it does', async () => {
    const site = createFeedSite()
    for (const id of ['cli_a', 'cli_b']) await addClient(site, id)
    await site.clients.disable('cli_a', bySystem)
    await site.clients.enable('cli_a', bySystem)
    const state: SubjectState = {
      status: 'active',
      roles: [],
      scopes: ['things:read'],
      tokensSince: Math.floor(site.time.now / 1_000) + 1,
    }
    const { tokensSince: _, ...untouched } = state
    expect(itemsOf(site)).toEqual([
      { kind: 'subject', id: 'cli_a', state },
      { kind: 'subject', id: 'cli_b', state: untouched },
    ])
    expect(site.feed.subject('cli_a').state).toEqual(state)
    expect(site.feed.subject('cli_b').state).toEqual(untouched)
    site.database.close()
  })

  test('tells each thing once whatever the size of a page, and ends', async () => {
    const site = createFeedSite()
    for (let index = 0; index < 7; index += 1) {
      const user = await site.users.insert(newUser(`${index}@example.com`), bySystem)
      await site.sessions.start(user.id, bySystem)
      // Several sessions that ended in the same millisecond, and some that did not.
      if (index % 3 === 0) site.time.now += 1
      await site.users.setPassword(user.id, 'other', bySystem)
      await addClient(site, `cli_${index}`)
    }
    const all = itemsOf(site)
    expect(all).toHaveLength(21)
    for (const pageItems of [1, 2, 3, 7, 20, 21, 22]) {
      const pages = pagesOf(createFeedSite({ database: site.database, time: site.time, pageItems }))
      expect(pages.flatMap(({ items }) => items)).toEqual(all)
      expect(new Set(pages.map(({ cursor }) => cursor)).size).toBe(1)
      for (const { items } of pages) expect(items.length).toBeLessThanOrEqual(pageItems)
    }
    site.database.close()
  })

  test('of 100,000 users has each of them once', () => {
    const site = createFeedSite()
    site.database.run(
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
        INSERT INTO users (id, email, status, created_at, updated_at)
        SELECT printf('usr_%032x', i * 7919), i || '@example.com', 'active', 1, 1 FROM n`,
    )
    const pages = pagesOf(site)
    expect(new Set(idsOf(pages.flatMap(({ items }) => items))).size).toBe(100_000)
    expect(Math.max(...pages.map(({ items }) => items.length))).toBe(500)
    site.database.close()
  })
})

/** What a follower makes of a snapshot and the changes after it; a later state is never replaced by an earlier one. */
const createModel = () => {
  const subjects = new Map<string, { state: SubjectState; sequence: number }>()
  const ended = new Set<string>()
  return {
    subjects,
    ended,
    learn: (id: string, state: SubjectState, sequence: number) => {
      const known = subjects.get(id)
      if (known === undefined || known.sequence < sequence) subjects.set(id, { state, sequence })
    },
  }
}

describe('a snapshot and what is read from its cursor on', () => {
  type Step = 'add' | 'disable' | 'enable' | 'demote' | 'promote' | 'remove' | 'signIn' | 'client' | 'page'
  const steps = fc.array(
    fc.tuple(
      fc.constantFrom<Step>(
        'add',
        'disable',
        'enable',
        'demote',
        'promote',
        'remove',
        'signIn',
        'client',
        'page',
      ),
      fc.nat(30),
    ),
    { minLength: 5, maxLength: 40 },
  )

  test('come to what is true, whatever happens while it is read', async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 1, max: 4 }), async (list, pageItems) => {
        const site = createFeedSite({ pageItems })
        const ids: string[] = []
        const act = async (step: Step, index: number): Promise<void> => {
          const id = ids[index % Math.max(1, ids.length)] ?? ''
          const isThere = (await site.users.findById(id)) !== null
          if (step === 'add') {
            // Ids out of the order of time, so that new ones come before and after what was told.
            const user = { ...newUser(`${ids.length}@example.com`), id: `usr_${crypto.randomUUID()}` }
            ids.push((await site.users.insert(user, bySystem)).id)
          } else if (step === 'client') {
            await addClient(site, `cli_${index}`)
          } else if (isThere && step === 'disable') await site.users.disable(id, bySystem)
          else if (isThere && step === 'enable') await site.users.enable(id, bySystem)
          else if (isThere && step === 'demote') await site.users.update(id, { roles: [] }, bySystem)
          else if (isThere && step === 'promote')
            await site.users.update(id, { roles: ['support'] }, bySystem)
          else if (isThere && step === 'remove') await site.users.remove(id, bySystem)
          else if (isThere && step === 'signIn') await site.sessions.start(id, bySystem)
          site.time.now += index % 3
        }
        for (let index = 0; index < 6; index += 1) await act('add', index)

        const { subjects, ended, learn } = createModel()
        let page: SnapshotPage | null = null
        const read = () => {
          page = site.feed.snapshot(page?.nextPage ?? undefined)
          for (const item of page.items) {
            if (item.kind === 'subject') learn(item.id, item.state, page.sequence)
            else ended.add(item.id)
          }
          return page
        }
        let last = read()
        for (const [step, index] of list) {
          if (step !== 'page') await act(step, index)
          else if (last.nextPage !== null) last = read()
        }
        while (last.nextPage !== null) last = read()
        let after = last.cursor
        for (;;) {
          const { page: changes } = await site.feed.read(after, 3)
          for (const { subjectId, state, sequence, sessionId } of changes.items) {
            if (state !== null) learn(subjectId, state, sequence)
            if (sessionId !== null) ended.add(sessionId)
          }
          if (changes.items.length === 0) break
          after = changes.nextCursor
        }

        const known = [...subjects].map(([id, { state }]) => ({ id, state }))
        expect(known).toEqual(known.map(({ id }) => ({ id, state: site.feed.subject(id).state })))
        const missing = ids.filter(id => !subjects.has(id))
        expect(missing.map(id => site.feed.subject(id).state.status)).toEqual(missing.map(() => 'deleted'))
        const over = site.database
          .query<{ id: string }, []>('SELECT id FROM sessions WHERE ended_at IS NOT NULL ORDER BY id')
          .all()
        expect([...ended].toSorted()).toEqual(over.map(({ id }) => id))
        site.database.close()
      }),
      { numRuns: 25 },
    )
  })
})

describe('one subject', () => {
  test('is told as it is now, with the last change that is in it; whoever is not there is deleted', async () => {
    const site = createFeedSite()
    const ann = await site.users.insert(newUser('ann@example.com'), bySystem)
    await addClient(site, 'cli_a')
    const { generation } = site.feed.latest()
    expect(site.feed.subject(ann.id)).toEqual({
      generation,
      sequence: 2,
      id: ann.id,
      state: { status: 'active', roles: ['user'], scopes: [] },
    })
    expect(site.feed.subject('cli_a').state).toEqual({ status: 'active', roles: [], scopes: ['things:read'] })
    await site.users.remove(ann.id, bySystem)
    for (const id of [ann.id, 'usr_nobody', 'cli_nobody', 'else']) {
      expect(site.feed.subject(id)).toMatchObject({
        sequence: 3,
        state: { status: 'deleted', roles: [], scopes: [] },
      })
    }
    site.database.close()
  })
})

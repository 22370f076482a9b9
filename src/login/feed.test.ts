import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Value } from '@sinclair/typebox/value'
import { bySystem } from '../lib/audit.ts'
import { ChangesPage, changeTypes, SnapshotPage } from '../lib/changes-schema.ts'
import { closeDatabase } from '../lib/sqlite.ts'
import type { User } from '../userdb/index.ts'
import { createFeedRetention } from './feed-retention.ts'
import { createFeedSite, type FeedSite } from './test-feed.ts'
import { auditOf, createTime, newUser, openLoginDatabase } from './test-login.ts'

const hour = 3_600_000

/** `count` changes, each of another user. */
const happen = async (site: FeedSite, count: number): Promise<User[]> => {
  const users: User[] = []
  for (let index = 0; index < count; index += 1) {
    users.push(await site.users.insert(newUser(`${crypto.randomUUID()}@example.com`), bySystem))
  }
  return users
}

const codeOf = async (call: () => unknown): Promise<unknown> => {
  try {
    await call()
    return null
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error
  }
}

const sequences = (page: { items: readonly { sequence: number }[] }) =>
  page.items.map(({ sequence }) => sequence)

describe('reading the feed', () => {
  let site: FeedSite
  beforeEach(() => {
    site = createFeedSite()
  })
  afterEach(() => site.database.close())

  test('from the beginning tells all in order, page by page, each once, and the last cursor goes on for ever', async () => {
    const { cursor } = site.feed.snapshot(undefined)
    expect(await site.feed.read(cursor, 10)).toMatchObject({ acknowledged: 0, page: { items: [] } })
    await happen(site, 7)
    const seen: number[] = []
    let after = cursor
    for (const size of [3, 3, 1, 0, 0]) {
      const { page } = await site.feed.read(after, 3)
      expect(page.items).toHaveLength(size)
      seen.push(...sequences(page))
      after = page.nextCursor
    }
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7])
    await happen(site, 1)
    const { acknowledged, page } = await site.feed.read(after, 3)
    expect([acknowledged, ...sequences(page)]).toEqual([7, 8])
  })

  test('again from the same cursor tells the same again', async () => {
    await happen(site, 3)
    const { cursor } = site.feed.snapshot(undefined)
    await happen(site, 2)
    const first = await site.feed.read(cursor, 10)
    await happen(site, 1)
    const again = await site.feed.read(cursor, 10)
    expect(again.page.items.slice(0, 2)).toEqual(first.page.items)
  })

  test('two that start at once on a new file have one history', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'feed-'))
    const databases = [1, 2, 3].map(() => openLoginDatabase(join(folder, 'login.sqlite')))
    const sites = databases.map(database => createFeedSite({ database }))
    const [first] = sites
    if (first === undefined) throw new Error('three sites')
    await happen(first, 1)
    const { cursor } = first.feed.snapshot(undefined)
    await happen(first, 1)
    for (const { feed } of sites) {
      expect(feed.latest()).toEqual(first.feed.latest())
      expect(sequences((await feed.read(cursor, 10)).page)).toEqual([2])
    }
    for (const database of databases) database.close()
    rmSync(folder, { recursive: true })
  })

  test('the history goes on over a restart', async () => {
    await happen(site, 2)
    const { cursor } = site.feed.snapshot(undefined)
    const again = createFeedSite({ database: site.database, time: site.time })
    await happen(again, 1)
    expect(sequences((await again.feed.read(cursor, 10)).page)).toEqual([3])
  })
})

describe('where the database was replaced by an older copy', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'feed-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  /** A file with 3 changes, a copy of it from then, and the cursors of followers before, at and after the copy. */
  const replace = async () => {
    const inside = mkdtempSync(join(folder, 'copy-'))
    const [path, copy] = [join(inside, 'login.sqlite'), join(inside, 'copy.sqlite')]
    const before = createFeedSite({ database: openLoginDatabase(path) })
    await happen(before, 2)
    const behind = before.feed.snapshot(undefined).cursor
    await happen(before, 1)
    before.database.run('PRAGMA wal_checkpoint(TRUNCATE)')
    copyFileSync(path, copy)
    const equal = before.feed.snapshot(undefined).cursor
    const users = await happen(before, 3)
    const ahead = before.feed.snapshot(undefined).cursor
    const old = before.feed.latest().generation
    closeDatabase(before.database)
    const after = createFeedSite({ database: openLoginDatabase(copy) })
    return { after, behind, equal, ahead, old, users }
  }

  const expectNewHistory = async (
    { feed, database, lines }: FeedSite,
    cursors: string[],
    old: string,
  ): Promise<void> => {
    const { generation } = feed.latest()
    expect(generation).not.toBe(old)
    for (const cursor of cursors) expect(await codeOf(() => feed.read(cursor, 10))).toBe('resync_required')
    expect(feed.latest().generation).toBe(generation)
    const rows = auditOf(database).filter(({ action }) => action === 'feed.generation_changed')
    expect(rows).toHaveLength(1)
    expect(JSON.parse(rows[0]?.detail ?? '')).toMatchObject({ before: old, after: generation })
    expect(lines.filter(line => line.includes('"level":"warn"'))).toHaveLength(1)
  }

  test('a follower who knows more makes all start again from a snapshot', async () => {
    const { after, behind, equal, ahead, old } = await replace()
    expect(await codeOf(() => after.feed.read(ahead, 10))).toBe('resync_required')
    await expectNewHistory(after, [behind, equal, ahead], old)
    const { cursor } = after.feed.snapshot(undefined)
    expect((await after.feed.read(cursor, 10)).page.items).toEqual([])
    after.database.close()
  })

  test('also when other changes have the numbers that they know by now', async () => {
    for (const since of [2, 3, 9]) {
      const { after, behind, equal, ahead, old } = await replace()
      await happen(after, since)
      expect(await codeOf(() => after.feed.read(ahead, 10))).toBe('resync_required')
      await expectNewHistory(after, [behind, equal, ahead], old)
      after.database.close()
    }
  })

  test('followers who know no more than the copy go on, and hear what is new', async () => {
    const { after, behind, equal, old } = await replace()
    await happen(after, 1)
    expect(sequences((await after.feed.read(behind, 10)).page)).toEqual([3, 4])
    expect(sequences((await after.feed.read(equal, 10)).page)).toEqual([4])
    expect(after.feed.latest().generation).toBe(old)
    after.database.close()
  })

  test('what was begun of a snapshot before is not gone on with', async () => {
    const path = join(folder, 'pages.sqlite')
    const site = createFeedSite({ database: openLoginDatabase(path), pageItems: 2 })
    await happen(site, 5)
    const { nextPage } = site.feed.snapshot(undefined)
    site.database.run("UPDATE feed SET generation = 'another'")
    expect(await codeOf(() => site.feed.snapshot(nextPage ?? ''))).toBe('resync_required')
    site.database.close()
  })

  test('20 followers who find out at once begin one new history', async () => {
    const { after, ahead, old } = await replace()
    // While somebody else holds the file, so that all have found out before the first one can begin it.
    const other = openLoginDatabase(after.database.filename)
    other.run('BEGIN IMMEDIATE')
    const reading = Array.from({ length: 20 }, () => codeOf(() => after.feed.read(ahead, 10)))
    await Bun.sleep(5)
    other.run('COMMIT')
    other.close()
    const codes = await Promise.all(reading)
    expect(new Set(codes)).toEqual(new Set(['resync_required']))
    await expectNewHistory(after, [ahead], old)
    after.database.close()
  })
})

describe('a row that somebody wrote by hand', () => {
  test.each([9e15, -9e15, 8.64e15 + 1, Number.MAX_VALUE])(
    'with a time of %p, which no calendar has, keeps nothing else from being told',
    async time => {
      const site = createFeedSite()
      const { cursor } = site.feed.snapshot(undefined)
      site.database
        .query('INSERT INTO changes (nonce, type, at, subject_id, expires_at) VALUES (?, ?, ?, ?, ?)')
        .run('n', changeTypes.tokenRevoked, time, 'usr_1', time)
      site.database.query('INSERT INTO revoked_tokens VALUES (?, ?)').run('t', time)
      await site.users.insert(newUser('ann@example.com'), bySystem)
      const { page } = await site.feed.read(cursor, 10)
      expect(page.items).toHaveLength(2)
      expect(Value.Check(ChangesPage, page)).toBe(true)
      expect(Value.Check(SnapshotPage, site.feed.snapshot(undefined))).toBe(true)
      site.database.close()
    },
  )
})

describe('retention', () => {
  const setUp = (retentionHours = 24) => {
    const site = createFeedSite({ time: createTime() })
    const retention = createFeedRetention({
      database: site.database,
      clock: site.time.clock,
      retentionHours,
    })
    return { site, retention }
  }

  test('keeps what is younger, and the newest change however old it is', async () => {
    const { site, retention } = setUp()
    await happen(site, 3)
    const newest = site.feed.snapshot(undefined).cursor
    site.time.now += 25 * hour
    expect(await retention.prune()).toBe(2)
    expect((await site.feed.read(newest, 10)).page.items).toEqual([])
    await happen(site, 2)
    expect(await retention.prune()).toBe(1)
    site.time.now += 23 * hour
    expect(await retention.prune()).toBe(0)
    site.database.close()
  })

  test('asks those whose place is gone for a snapshot, without a new history; the others go on', async () => {
    const { site, retention } = setUp()
    const nothing = site.feed.snapshot(undefined).cursor
    await happen(site, 1)
    const first = site.feed.snapshot(undefined).cursor
    await happen(site, 1)
    const second = site.feed.snapshot(undefined).cursor
    expect((await site.feed.read(nothing, 10)).page.items).toHaveLength(2)
    const { generation } = site.feed.latest()
    site.time.now += 25 * hour
    await retention.prune()
    await happen(site, 1)
    for (const cursor of [nothing, first]) {
      expect(await codeOf(() => site.feed.read(cursor, 10))).toBe('resync_required')
    }
    expect(sequences((await site.feed.read(second, 10)).page)).toEqual([3])
    expect(site.feed.latest()).toEqual({ generation, sequence: 3 })
    expect(site.lines).toEqual([])
    site.database.close()
  })

  test('leaves no hole where the clock was set back or ahead for a while: what is kept is the end of the history', async () => {
    const { site, retention } = setUp()
    const start = site.time.now
    for (const at of [0, 500 * hour, 1 * hour, -90 * hour, 2 * hour, 30 * hour, 31 * hour]) {
      site.time.now = start + at
      await happen(site, 1)
    }
    await retention.prune()
    const kept = site.database
      .query<{ sequence: number }, []>('SELECT sequence FROM changes ORDER BY sequence')
      .all()
    expect(kept.map(({ sequence }) => sequence)).toEqual([6, 7])
    site.database.close()
  })

  test('takes any number, a thousand at a time', async () => {
    const { site, retention } = setUp()
    await happen(site, 1)
    site.database.run(
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2499)
        INSERT INTO changes (nonce, type, at, subject_id) SELECT 'n', 't', ${site.time.now}, 'usr_1' FROM n`,
    )
    site.time.now += 25 * hour
    expect(await retention.prune()).toBe(2_499)
    expect(site.feed.latest().sequence).toBe(2_500)
    site.database.close()
  })

  test('lets go of revoked tokens that expired an hour ago, and of no other', async () => {
    const { site, retention } = setUp()
    const insert = site.database.query('INSERT INTO revoked_tokens VALUES (?, ?)')
    insert.run('old', site.time.now - hour)
    insert.run('just expired', site.time.now - hour + 1)
    insert.run('live', site.time.now + 1)
    expect(await retention.prune()).toBe(1)
    expect(site.database.query('SELECT id FROM revoked_tokens ORDER BY id').values().flat()).toEqual([
      'just expired',
      'live',
    ])
    site.database.close()
  })
})

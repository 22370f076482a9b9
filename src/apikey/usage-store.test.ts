import type { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { codeOf, openKeyDatabase } from './test-store.ts'
import { type Checkpoints, createCheckpoints } from './usage-checkpoints.ts'
import { createUsageStore, type KeyUses, type UsageStore } from './usage-store.ts'

let folder: string
let path: string
let database: Database
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'apikey-usage-'))
  path = join(folder, 'keys.sqlite')
  database = openKeyDatabase(path)
})
afterEach(() => {
  database.close()
  rmSync(folder, { recursive: true })
})

const uses = (count: number): KeyUses[] =>
  Array.from({ length: count }, (_, index) => ({
    id: `key_${index}`,
    day: 1,
    lastUsedAt: 1_000,
    lastUsedAddress: null,
    counts: [{ outcome: 'accepted', uses: 1 }],
  }))
const rowCount = (): unknown => database.query('SELECT count(*) FROM api_key_usage').values().flat()[0]

describe('a transaction of uses', () => {
  /** Milliseconds that a look at the clock costs, and that a commit costs. */
  let work: number
  let commit: number
  let time: number
  let store: UsageStore
  const slow: Checkpoints = {
    apart: write => {
      const result = write()
      time += commit
      return result
    },
    durably: write => write(),
    wrote: async () => undefined,
  }
  beforeEach(() => {
    work = 0
    commit = 0
    time = 0
    const monotonic = () => {
      time += work
      return time
    }
    store = createUsageStore({ database, monotonic, checkpoints: slow })
  })

  test('has at most 100 keys, however fast the disk', async () => {
    expect(await store.recordUses(uses(250))).toBe(100)
    expect(rowCount()).toBe(100)
  })

  test('ends after 2 ms of work, and has one key at least', async () => {
    work = 0.5
    expect(await store.recordUses(uses(100))).toBe(4)
    expect(rowCount()).toBe(4)
    work = 60_000
    expect(await store.recordUses(uses(100))).toBe(1)
  })

  test('gets less to do after a slow commit, and more again after fast ones', async () => {
    commit = 10
    const written: number[] = []
    for (let index = 0; index < 8; index += 1) written.push(await store.recordUses(uses(100)))
    commit = 0
    for (let index = 0; index < 9; index += 1) written.push(await store.recordUses(uses(100)))
    expect(written).toEqual([100, 50, 25, 12, 6, 3, 1, 1, 1, 2, 4, 8, 16, 32, 64, 100, 100])
  })

  test('of 5,000 keys never goes beyond 5 ms on a disk that takes 30 µs a key and 1 ms a commit', async () => {
    work = 0.03
    commit = 1
    const took: number[] = []
    for (let written = 0; written < 5_000; ) {
      const before = time
      written += await store.recordUses(uses(100))
      took.push(time - before)
    }
    expect(Math.max(...took)).toBeLessThan(5)
    expect(took.length).toBeLessThan(100)
  })

  test('that finds the file held by another adds its uses once, when it is free again', async () => {
    const other = openKeyDatabase(path)
    other.run('BEGIN IMMEDIATE')
    const writing = store.recordUses(uses(3))
    await Bun.sleep(20)
    expect(rowCount()).toBe(0)
    other.run('COMMIT')
    expect(await writing).toBe(3)
    expect(database.query('SELECT sum(uses) FROM api_key_usage').values().flat()).toEqual([3])
    other.close()
  })

  test('that breaks in the middle writes nothing', async () => {
    database.run(
      "CREATE TRIGGER broken BEFORE INSERT ON api_key_usage WHEN NEW.key_id = 'key_2' BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    expect(await codeOf(store.recordUses(uses(3)))).not.toBeNull()
    expect(rowCount()).toBe(0)
  })
})

test('the counts of a key, and those that are too old, are found through an index', () => {
  const plan = (sql: string): string =>
    database
      .query<{ detail: string }, []>(`EXPLAIN QUERY PLAN ${sql}`)
      .all()
      .map(({ detail }) => detail)
      .join('; ')
  const counts = plan("SELECT * FROM api_key_usage WHERE key_id = 'x' AND day BETWEEN 1 AND 2 ORDER BY day")
  expect(counts).toContain('key_id=? AND day>? AND day<?')
  expect(counts).not.toContain('TEMP B-TREE')
  expect(plan('SELECT rowid FROM api_key_usage WHERE day < 5 LIMIT 32')).toContain('api_key_usage_by_day')
})

describe('the log of a file', () => {
  const logBytes = (): number => statSync(`${path}-wal`).size
  const pragmas = (): unknown[] =>
    ['synchronous', 'wal_autocheckpoint'].flatMap(name => database.query(`PRAGMA ${name}`).values().flat())

  test('stays short under thousands of uses, though no commit of theirs copies it', async () => {
    const store = createUsageStore({ database })
    const all = uses(4_000).map(use => ({ ...use, id: `${use.id}_${crypto.randomUUID()}` }))
    for (let written = 0; written < all.length; ) {
      written += await store.recordUses(all.slice(written, written + 100))
    }
    expect(rowCount()).toBe(4_000)
    // Left alone it would have a hundred pages of 4 KiB by the fortieth transaction, ten times over.
    expect(logBytes()).toBeLessThan(1_000 * 4_096)
  })

  test('and the file are guarded as before for every other write', async () => {
    const before = pragmas()
    expect(before).toEqual([2, 1_000])
    const seen: unknown[] = []
    const checkpoints = createCheckpoints(database)
    checkpoints.apart(() => seen.push(...pragmas()))
    expect(seen).toEqual([1, 0])
    expect(pragmas()).toEqual(before)
    expect(() =>
      checkpoints.apart(() => {
        throw new Error('broken')
      }),
    ).toThrow('broken')
    expect(pragmas()).toEqual(before)
  })

  test('and the file stay guarded where a transaction of the host is open', () => {
    database.run('BEGIN')
    const seen: unknown[] = []
    createCheckpoints(database).apart(() => seen.push(...pragmas()))
    database.run('COMMIT')
    expect([seen, pragmas()]).toEqual([
      [2, 1_000],
      [2, 1_000],
    ])
  })

  test('of another kind is left alone: there a lost page would harm the file', () => {
    database.run('PRAGMA journal_mode = DELETE')
    const before = pragmas()
    const seen: unknown[] = []
    createCheckpoints(database).apart(() => seen.push(...pragmas()))
    expect(seen).toEqual(before)
  })

  test('is copied by SQLite again where no thread can do it', async () => {
    const checkpoints = createCheckpoints(database)
    database.run('BEGIN IMMEDIATE')
    database.run('COMMIT')
    rmSync(path)
    await checkpoints.wrote(10_000)
    const seen: unknown[] = []
    checkpoints.apart(() => seen.push(...pragmas()))
    expect(seen).toEqual([1, 1_000])
  })

  test('there is none of a database in memory', async () => {
    const memory = openKeyDatabase()
    const checkpoints = createCheckpoints(memory)
    expect(checkpoints.apart(() => 'done')).toBe('done')
    await checkpoints.wrote(10_000)
    memory.close()
  })
})

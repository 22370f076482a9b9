import type { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { NamedLimit, WindowRow } from '../lib/limiter.ts'
import { createInstallation } from './installation.ts'
import { codeOf, openKeyDatabase } from './test-store.ts'
import { createWindowStore } from './window-store.ts'

let folder: string
let path: string
let database: Database
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'apikey-windows-'))
  path = join(folder, 'keys.sqlite')
  database = openKeyDatabase(path)
})
afterEach(() => {
  database.close()
  rmSync(folder, { recursive: true })
})

const rowsOf = (count: number): WindowRow[] =>
  Array.from({ length: count }, (_, index) => ({
    id: `key_${index}`,
    admitted: Uint8Array.of(1, 5),
    expiresAt: 1_000,
  }))
const rowCount = (): unknown => database.query('SELECT count(*) FROM api_key_windows').values().flat()[0]

describe('rows of windows', () => {
  test('are read once as they were written, and those that are over never', async () => {
    const store = createWindowStore({ database })
    const rows = rowsOf(3).map((row, index) => ({ ...row, expiresAt: 1_000 + index }))
    expect(await store.write(rows)).toBe(3)
    const read = store.takeAll(1_000).map(row => ({ ...row, admitted: [...row.admitted] }))
    expect(read).toEqual(rows.slice(1).map(row => ({ ...row, admitted: [...row.admitted] })))
    expect(rowCount()).toBe(0)
    expect(store.takeAll(1_000)).toEqual([])
  })

  test('go to one of two that start at once', async () => {
    const other = openKeyDatabase(path)
    await createWindowStore({ database }).write(rowsOf(5))
    const taken = [database, other].map(each => createWindowStore({ database: each }).takeAll(0).length)
    other.close()
    expect(taken).toEqual([5, 0])
  })

  test('are written 100 a transaction at most, fewer when that takes longer than 2 ms, with turns between', async () => {
    const transactions: number[] = []
    const watching = async (rows: readonly WindowRow[], monotonic: () => number): Promise<void> => {
      transactions.length = 0
      let isOver = false
      const look = (): void => {
        const before = transactions.reduce((sum, count) => sum + count, 0)
        const now = Number(rowCount())
        if (now > before) transactions.push(now - before)
        if (!isOver) setImmediate(look)
      }
      setImmediate(look)
      expect(await createWindowStore({ database, monotonic }).write(rows)).toBe(rows.length)
      isOver = true
      look()
      database.run('DELETE FROM api_key_windows')
    }
    await watching(rowsOf(250), () => 0)
    expect(transactions).toEqual([100, 100, 50])
    let time = 0
    await watching(rowsOf(10), () => {
      time += 0.7
      return time
    })
    expect(transactions).toEqual([3, 3, 3, 1])
  })

  test('are written for 2 s at most, the first ones first', async () => {
    let time = 0
    const monotonic = (): number => {
      time += 300
      return time
    }
    const store = createWindowStore({ database, monotonic })
    const written = await store.write(rowsOf(100))
    expect(written).toBeGreaterThan(0)
    expect(written).toBeLessThan(10)
    expect(store.takeAll(0).map(({ id }) => id)).toEqual(rowsOf(written).map(({ id }) => id))
  })

  test('are not written while another process holds the file, which is said and changes nothing', async () => {
    const other = openKeyDatabase(path)
    other.run('BEGIN IMMEDIATE')
    const store = createWindowStore({ database })
    expect(await codeOf(store.write(rowsOf(1)))).toBe('unavailable')
    // Nobody has to be waited for where there is nothing to read.
    expect(store.takeAll(0)).toEqual([])
    other.run('ROLLBACK')
    other.close()
    expect(rowCount()).toBe(0)
  })

  test('that are damaged stand in nobody’s way', async () => {
    const insert = 'INSERT INTO api_key_windows (lineage_id, name, admitted, expires_at) VALUES (?, ?, ?, ?)'
    database.run(insert, ['key_1', '*', 5, 2_000])
    database.run(insert, ['key_2', '*', 'text', 2_000])
    database.run(insert, ['key_3', '*', Buffer.of(), 2_000])
    await createWindowStore({ database }).write(rowsOf(1))
    const store = createWindowStore({ database })
    expect(store.takeAll(0).map(({ id }) => id)).toEqual(['key_3', 'key_0'])
    expect(store.takeAll(2_000)).toEqual([])
    expect(rowCount()).toBe(0)
  })
})

describe('an installation', () => {
  const limits: NamedLimit[] = [{ name: 'minute', limit: 3, windowSeconds: 60 }]
  let now: number
  let told: unknown[]
  const install = () =>
    createInstallation({
      jwt: { secret: 'a secret of a test, long enough for it' },
      issuer: 'http://login.test',
      audience: 'test',
      database: path,
      roles: {},
      clock: () => now,
      log: { info: () => {}, warn: (...given) => told.push(given) },
    })
  const takes = (installation: ReturnType<typeof install>): number =>
    Array.from({ length: 9 }, () => installation.open().limiter.windowsOf('line', limits).take()).filter(
      Boolean,
    ).length
  beforeEach(() => {
    now = 1_000_000
    told = []
  })

  test('that stops leaves its windows to the next, in which they go on', async () => {
    const first = install()
    expect(takes(first)).toBe(3)
    await first.stop()
    now += 30_000
    const second = install()
    expect(takes(second)).toBe(0)
    await second.stop()
    now += 30_001
    const third = install()
    expect(takes(third)).toBe(3)
    await third.stop()
    expect(rowCount()).toBe(1)
    expect(told).toEqual([])
  })

  test('that is started again counts nothing twice', async () => {
    const installation = install()
    const windows = installation.open().limiter.windowsOf('line', limits)
    windows.take()
    await installation.stop()
    expect(installation.open().limiter.windowsOf('line', limits).status()[0]?.remaining).toBe(2)
    await installation.stop()
    expect(installation.open().limiter.windowsOf('line', limits).status()[0]?.remaining).toBe(2)
    await installation.stop()
  })

  test('that is killed leaves nothing: the next begins with empty windows', async () => {
    const first = install()
    expect(takes(first)).toBe(3)
    const second = install()
    expect(takes(second)).toBe(3)
    await second.stop()
    await first.stop()
  })

  test('beside another on the same file counts for itself; after both have stopped, what either admitted counts', async () => {
    const first = install()
    const second = install()
    expect(takes(first)).toBe(3)
    expect(takes(second)).toBe(3)
    await first.stop()
    await second.stop()
    const third = install()
    const wide = third.open().limiter.windowsOf('line', [{ name: 'minute', limit: 10, windowSeconds: 60 }])
    expect(wide.status()[0]?.remaining).toBe(4)
    await third.stop()
  })

  test('tells of windows that it could not read, and opens all the same', async () => {
    database.run(
      "INSERT INTO api_key_windows (lineage_id, name, admitted, expires_at) VALUES ('line', '*', x'ff', 2000000)",
    )
    const installation = install()
    expect(takes(installation)).toBe(3)
    await installation.stop()
    expect(told.filter(given => JSON.stringify(given).includes('could not be read'))).toHaveLength(1)
  })
})

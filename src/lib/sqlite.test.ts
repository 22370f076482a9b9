import { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, spyOn, test } from 'bun:test'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Failure } from './failure.ts'
import { isDatabaseUnavailable, isUniqueViolation, openDatabase, retryBusy, settle } from './sqlite.ts'

let folder: string
let path: string
let opened: Database[]
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sqlite-'))
  path = join(folder, 'data.sqlite')
  opened = []
})
afterEach(() => {
  for (const database of opened) database.close()
  rmSync(folder, { recursive: true })
})

const open = (at = path): Database => {
  const database = openDatabase(at)
  opened.push(database)
  return database
}
const pragma = (database: Database, name: string): unknown =>
  database.query(`PRAGMA ${name}`).values().flat()[0]
const modeOf = (name: string): string => (statSync(name).mode & 0o777).toString(8)
const errorOf = (act: () => unknown): unknown => {
  try {
    return act()
  } catch (error) {
    return error
  }
}

describe('a database file', () => {
  test('CFG-02: is for its owner alone, with all that SQLite puts beside it and the folder that is made for it', () => {
    const nested = join(folder, 'new', 'deep', 'data.sqlite')
    const umask = process.umask(0)
    try {
      open(nested).run('CREATE TABLE a (id)')
    } finally {
      process.umask(umask)
    }
    expect(readdirSync(join(folder, 'new', 'deep')).toSorted()).toEqual([
      'data.sqlite',
      'data.sqlite-shm',
      'data.sqlite-wal',
    ])
    for (const name of ['data.sqlite', 'data.sqlite-shm', 'data.sqlite-wal']) {
      expect(modeOf(join(folder, 'new', 'deep', name))).toBe('600')
    }
    expect(modeOf(join(folder, 'new', 'deep'))).toBe('700')
    expect(modeOf(join(folder, 'new'))).toBe('700')
  })

  test('OPS-02: is opened with the settings that every role relies on', () => {
    const database = open()
    settle(database)
    expect(pragma(database, 'journal_mode')).toBe('wal')
    expect(pragma(database, 'synchronous')).toBe(2)
    expect(pragma(database, 'foreign_keys')).toBe(1)
    expect(pragma(database, 'trusted_schema')).toBe(0)
    expect(pragma(database, 'busy_timeout')).toBe(0)
  })

  test('waits for other processes until it is settled', () => {
    expect(pragma(open(), 'busy_timeout')).toBe(5_000)
  })

  test('OPS-03: that is there but empty is refused, and left as it is', () => {
    writeFileSync(path, '')
    expect(() => open()).toThrow('is empty')
    expect(statSync(path).size).toBe(0)
  })

  test('OPS-03: that is damaged is refused, and left as it is', () => {
    const damaged = 'this is no database'.repeat(100)
    writeFileSync(path, damaged)
    expect(isDatabaseUnavailable(errorOf(() => open()))).toBe(true)
    expect(readFileSync(path, 'utf8')).toBe(damaged)
    expect(readdirSync(folder)).toEqual(['data.sqlite'])
  })

  test('keeps what was in it', () => {
    const first = open()
    first.run('CREATE TABLE a (id)')
    first.run('INSERT INTO a VALUES (1)')
    first.close()
    expect(open().query('SELECT id FROM a').values()).toEqual([[1]])
  })

  test('leaves nothing else in its folder', () => {
    open().close()
    expect(readdirSync(folder)).toEqual(['data.sqlite'])
  })

  test('in memory is no file', () => {
    expect(pragma(open(':memory:'), 'foreign_keys')).toBe(1)
    expect(existsSync(':memory:')).toBe(false)
  })
})

describe('a write while another connection holds the file', () => {
  let holder: Database
  let writer: Database
  beforeEach(() => {
    holder = open()
    holder.run('CREATE TABLE a (id)')
    writer = open()
    settle(writer)
    holder.run('BEGIN IMMEDIATE')
  })
  const rows = (): unknown[] => writer.query('SELECT id FROM a').values().flat()

  test('OPS-02: is tried again and comes through, without stopping the event loop', async () => {
    let attempts = 0
    let turns = 0
    const ticking = setInterval(() => {
      turns += 1
      if (turns === 20) holder.run('COMMIT')
    }, 1)
    const result = await retryBusy(() => {
      attempts += 1
      writer.run('INSERT INTO a VALUES (1)')
      return 'written'
    })
    clearInterval(ticking)
    expect(result).toBe('written')
    expect(rows()).toEqual([1])
    expect(turns).toBeGreaterThanOrEqual(20)
    expect(attempts).toBeGreaterThan(1)
  })

  test('is given up as unavailable after 2 s, with nothing written', async () => {
    let passed = 0
    const clock = spyOn(performance, 'now').mockImplementation(() => passed)
    try {
      let attempts = 0
      const failure = await retryBusy(() => {
        attempts += 1
        passed = attempts < 5 ? 2_000 : 2_001
        writer.run('INSERT INTO a VALUES (1)')
      }).catch((error: unknown) => error)
      expect(failure).toBeInstanceOf(Failure)
      expect(failure).toMatchObject({ code: 'unavailable', retryAfterSeconds: 1 })
      expect(attempts).toBe(5)
    } finally {
      clock.mockRestore()
    }
    holder.run('COMMIT')
    expect(rows()).toEqual([])
  })

  test('goes on reading meanwhile', () => {
    holder.run('INSERT INTO a VALUES (1)')
    expect(rows()).toEqual([])
  })
})

describe('errors of the database', () => {
  test('other than a held file are passed on at once', async () => {
    let attempts = 0
    const database = open()
    await expect(
      retryBusy(() => {
        attempts += 1
        database.run('INSERT INTO nowhere VALUES (1)')
      }),
    ).rejects.toThrow('nowhere')
    await expect(retryBusy(() => Promise.reject(new Failure('x')))).rejects.toMatchObject({ code: 'x' })
    expect(attempts).toBe(1)
  })

  test('are told apart: what is wrong with the file, what with a row, what with the statement', () => {
    const database = open()
    database.run('CREATE TABLE a (id INTEGER PRIMARY KEY, name TEXT UNIQUE, other TEXT NOT NULL)')
    database.run("INSERT INTO a VALUES (1, 'a', 'a')")
    const primaryKey = errorOf(() => database.run("INSERT INTO a VALUES (1, 'b', 'b')"))
    const unique = errorOf(() => database.run("INSERT INTO a VALUES (2, 'a', 'b')"))
    const notNull = errorOf(() => database.run("INSERT INTO a VALUES (2, 'b', NULL)"))
    const wrong = errorOf(() => database.run('nonsense'))
    settle(database)
    const holder = open()
    holder.run('BEGIN IMMEDIATE')
    const busy = errorOf(() => database.run("INSERT INTO a VALUES (3, 'c', 'c')"))
    const readOnly = new Database(path, { readonly: true })
    opened.push(readOnly)
    const readonly = errorOf(() => readOnly.run("INSERT INTO a VALUES (3, 'c', 'c')"))

    const all = { primaryKey, unique, notNull, wrong, busy, readonly }
    const where = (is: (error: unknown) => boolean): string[] =>
      Object.entries(all).flatMap(([name, error]) => (is(error) ? [name] : []))
    expect(where(isUniqueViolation)).toEqual(['primaryKey', 'unique'])
    expect(where(isDatabaseUnavailable)).toEqual(['busy', 'readonly'])
    expect(isDatabaseUnavailable(Object.assign(new Error('x'), { code: 'SQLITE_BUSY' }))).toBe(false)
  })
})

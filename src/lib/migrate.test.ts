import { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Migration, migrate } from './migrate.ts'

let database: Database
beforeEach(() => {
  database = new Database(':memory:')
  database.run('PRAGMA foreign_keys = ON')
})
afterEach(() => database.close())

const people: Migration = { tag: '0000_people', sql: 'CREATE TABLE people (id INTEGER PRIMARY KEY)' }
const pets: Migration = {
  tag: '0001_pets',
  sql: `CREATE TABLE pets (owner INTEGER REFERENCES people(id) ON DELETE CASCADE);
--> statement-breakpoint
CREATE INDEX pets_by_owner ON pets (owner);`,
}
const clock = () => 1_000
const run = (...migrations: Migration[]): void => migrate(database, { name: 'part', migrations }, clock)

const names = (): unknown[] => database.query('SELECT name FROM sqlite_schema ORDER BY name').values().flat()
/** All that a database holds. */
const dump = (): string => database.serialize().toString('base64')
const foreignKeys = (): unknown => database.query('PRAGMA foreign_keys').values().flat()[0]

describe('migrations', () => {
  test('are applied in their order, each once, whenever they come', () => {
    run(people)
    run(people)
    database.run('INSERT INTO people VALUES (1)')
    run(people, pets)
    const before = dump()
    run(people, pets)
    expect(dump()).toBe(before)
    expect(names()).toEqual(['migrations_part', 'people', 'pets', 'pets_by_owner'])
    expect(database.query('SELECT position, tag, applied_at FROM migrations_part').values()).toEqual([
      [0, '0000_people', 1_000],
      [1, '0001_pets', 1_000],
    ])
  })

  test('of two parts share a file, each with a table of its own', () => {
    run(people)
    const sql = 'CREATE TABLE a_b (id INTEGER)'
    migrate(database, { name: 'service-a', migrations: [{ tag: '0000_people', sql }] }, clock)
    run(people, pets)
    expect(names()).toEqual([
      'a_b',
      'migrations_part',
      'migrations_service_a',
      'people',
      'pets',
      'pets_by_owner',
    ])
  })

  test('stop when one that was applied has been edited, and change nothing', () => {
    run(people)
    const before = dump()
    expect(() => run({ ...people, sql: `${people.sql} ` }, pets)).toThrow('part/0000_people')
    expect(() => run({ ...people, tag: '0000_persons' }, pets)).toThrow('0000_people')
    expect(() => run(pets, people)).toThrow('part/0001_pets')
    expect(dump()).toBe(before)
  })

  test('OPS-06: stop on a file of a newer release, and change nothing', () => {
    run(people, pets)
    const before = dump()
    expect(() => run(people)).toThrow('newer release')
    expect(() => run()).toThrow('newer release')
    expect(dump()).toBe(before)
  })

  test('OPS-06: leave nothing behind when one of them fails', () => {
    run(people)
    const before = dump()
    const broken = {
      tag: '0002_broken',
      sql: `CREATE TABLE half (id);--> statement-breakpoint\nSELECT nonsense`,
    }
    expect(() => run(people, pets, broken)).toThrow('nonsense')
    expect(dump()).toBe(before)
    expect(foreignKeys()).toBe(1)
    run(people, pets)
    expect(names()).toContain('pets')
  })

  test('of a new file leave nothing behind either', () => {
    expect(() => run(people, { tag: '0001', sql: 'nonsense' })).toThrow()
    expect(names()).toEqual([])
  })
})

describe('foreign keys', () => {
  const rebuild: Migration = {
    tag: '0002_rebuild',
    sql: `CREATE TABLE new_people (id INTEGER PRIMARY KEY, name TEXT);
--> statement-breakpoint
INSERT INTO new_people (id) SELECT id FROM people;
--> statement-breakpoint
DROP TABLE people;
--> statement-breakpoint
ALTER TABLE new_people RENAME TO people;`,
  }

  test('do not take the children along when a table is rebuilt', () => {
    run(people, pets)
    database.run('INSERT INTO people VALUES (1)')
    database.run('INSERT INTO pets VALUES (1)')
    run(people, pets, rebuild)
    expect(database.query('SELECT owner FROM pets').values()).toEqual([[1]])
    expect(database.query('SELECT id, name FROM people').values()).toEqual([[1, null]])
  })

  test('are in force afterwards', () => {
    run(people, pets, rebuild)
    expect(foreignKeys()).toBe(1)
    expect(() => database.run('INSERT INTO pets VALUES (5)')).toThrow('FOREIGN KEY')
  })

  test('stop a migration that would leave rows that point nowhere', () => {
    run(people, pets)
    database.run('INSERT INTO people VALUES (1)')
    database.run('INSERT INTO pets VALUES (1)')
    const before = dump()
    expect(() => run(people, pets, { tag: '0002_lost', sql: 'DELETE FROM people' })).toThrow('pets')
    expect(dump()).toBe(before)
    expect(foreignKeys()).toBe(1)
  })
})

describe('processes that start at once', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'migrate-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  /** What processes said that were started together; each says nothing unless it failed. */
  const start = (path: string, processes: number, migrations: number): Promise<string[]> => {
    const script = join(import.meta.dir, 'migrate.worker.ts')
    const started = Array.from({ length: processes }, () =>
      Bun.spawn([process.execPath, script, path, String(migrations)], { stdout: 'ignore', stderr: 'pipe' }),
    )
    return Promise.all(started.map(({ stderr }) => new Response(stderr).text()))
  }

  const countsIn = (path: string): unknown[] => {
    const file = new Database(path)
    const counts = ['rows', 'started', 'migrations_race'].map(
      table => file.query(`SELECT count(*) FROM ${table}`).values().flat()[0],
    )
    file.close()
    return counts
  }

  test('OPS-06: on one new file all of them come up, and every migration has run once', async () => {
    const path = join(folder, 'new', 'data.sqlite')
    expect(await start(path, 3, 3)).toEqual(['', '', ''])
    expect(countsIn(path)).toEqual([100_000, 3, 3])
  })

  test('OPS-06: on one old file all of them come up, and every new migration has run once', async () => {
    const path = join(folder, 'data.sqlite')
    expect(await start(path, 1, 2)).toEqual([''])
    expect(await start(path, 3, 3)).toEqual(['', '', ''])
    expect(countsIn(path)).toEqual([100_000, 4, 3])
  })
})

import { expect, test } from 'bun:test'
import { migrations } from '../../db/apikey/index.ts'

const program = `
import { migrations } from '${import.meta.dir}/../../db/apikey/index.ts'
import { migrate } from '${import.meta.dir}/../lib/migrate.ts'
import { openDatabase } from '${import.meta.dir}/../lib/sqlite.ts'
const database = openDatabase(':memory:')
migrate(database, { ...migrations, migrations: migrations.migrations.slice(0, 6) }, Date.now)
const insert = database.prepare("INSERT INTO api_keys VALUES (?, 'lk', '', '', '', '', 'usr_ann', 'usr_ann', '[]', 1, NULL, ?, 0, NULL, ?, ?, NULL, NULL)")
JSON.parse(process.argv.at(-1)).forEach(([id, from, to], at) => insert.run(id, at, from, to))
migrate(database, migrations, Date.now)
console.log(JSON.stringify(database.query('SELECT id, lineage_id, rotated_at FROM api_keys ORDER BY rowid').values()))
`

/** Keys as the release before left them, after the migration: in a process of its own, which can be given up. */
const migrated = (keys: [id: string, rotatedFrom: string | null, rotatedTo: string | null][]): unknown => {
  const { stdout } = Bun.spawnSync([process.execPath, '-e', program, JSON.stringify(keys)], {
    timeout: 3_000,
  })
  const text = stdout.toString()
  return text === '' ? null : JSON.parse(text)
}

test('keys of the release before belong to the line of the first that they succeed', () => {
  expect(migrations.migrations[6]?.tag).toBe('0006_key-features')
  expect(
    migrated([
      ['a1', null, 'a2'],
      ['b', null, null],
      ['a2', 'a1', 'a3'],
      ['a3', 'a2', null],
    ]),
  ).toEqual([
    ['a1', null, 2],
    ['b', null, null],
    ['a2', 'a1', 3],
    ['a3', 'a1', null],
  ])
})

test('a line that somebody has bent into a ring holds no start up', () => {
  expect(
    migrated([
      ['a1', null, 'a2'],
      ['a2', 'a1', 'a3'],
      ['a3', 'a2', 'a2'],
    ]),
  ).toEqual([
    ['a1', null, 1],
    ['a2', 'a1', 2],
    ['a3', 'a1', 1],
  ])
})

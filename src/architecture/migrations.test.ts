import { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import {
  type DrizzleSQLiteSnapshotJSON,
  generateSQLiteDrizzleJson,
  generateSQLiteMigration,
} from 'drizzle-kit/api'
import { migrations as apikey } from '../../db/apikey/index.ts'
import { migrations as login } from '../../db/login/index.ts'
import { migrations as service } from '../../db/service-a/index.ts'
import { migrations as userdb } from '../../db/userdb/index.ts'
import * as apikeySchema from '../apikey/schema.ts'
import { type MigrationSet, migrate } from '../lib/migrate.ts'
import * as loginSchema from '../login/schema.ts'
import * as serviceSchema from '../service-a/schema.ts'
import * as userdbSchema from '../userdb/schema.ts'
import { root } from './sources.ts'

const sets: readonly [string, MigrationSet, Record<string, unknown>][] = [
  ['userdb', userdb, { ...userdbSchema }],
  ['login', login, { ...loginSchema }],
  ['apikey', apikey, { ...apikeySchema }],
  ['service-a', service, { ...serviceSchema }],
]

const Journal = Type.Object({
  dialect: Type.Literal('sqlite'),
  entries: Type.Array(
    Type.Object({
      idx: Type.Integer(),
      when: Type.Integer(),
      tag: Type.String(),
      breakpoints: Type.Literal(true),
    }),
  ),
})

const readJson = (path: string): Promise<unknown> => Bun.file(join(root, path)).json()

/** Tables, columns, indexes and references of a database, whatever the text that made them. */
const structureOf = (database: Database): unknown => {
  const all = (sql: string): unknown[] => database.query(sql).all()
  const tables = database
    .query<{ name: string }, []>(
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'migrations_%' ORDER BY name",
    )
    .all()
  return tables.map(({ name }) => ({
    name,
    columns: all(
      `SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info('${name}') ORDER BY name`,
    ),
    indexes: all(
      `SELECT list.name, list."unique", list.partial, info.seqno, info.name AS field
       FROM pragma_index_list('${name}') list, pragma_index_info(list.name) info ORDER BY list.name, info.seqno`,
    ),
    references: all(
      `SELECT "table", "from", "to", on_update, on_delete FROM pragma_foreign_key_list('${name}') ORDER BY 1, 2`,
    ),
  }))
}

test('every folder of migrations is looked at here', () => {
  expect(readdirSync(join(root, 'db')).sort()).toEqual(sets.map(([name]) => name).sort())
})

test('each set keeps its own account of what was applied, so that sets can share a file', () => {
  expect(sets.map(([, { name }]) => name)).toEqual(sets.map(([name]) => name))
})

describe.each(sets)('migrations of %s', (name, set, schema) => {
  const folder = `db/${name}`

  test('stand in the journal in the order of their times and numbers', async () => {
    const journal = Value.Parse(Journal, await readJson(`${folder}/meta/_journal.json`))
    const { entries } = journal
    expect(entries.length).toBeGreaterThan(0)
    for (const [position, { idx, when, tag }] of entries.entries()) {
      expect(idx).toBe(position)
      expect(tag).toStartWith(`${String(position).padStart(4, '0')}_`)
      // drizzle-kit's own migrator would skip one that is not newer, without a word.
      expect(when).toBeGreaterThan(entries[position - 1]?.when ?? 0)
    }
  })

  test('are files, entries of the journal and embedded texts alike', async () => {
    const { entries } = Value.Parse(Journal, await readJson(`${folder}/meta/_journal.json`))
    const tags = entries.map(({ tag }) => tag)
    const files = readdirSync(join(root, folder)).filter(file => file.endsWith('.sql'))
    expect(files.sort()).toEqual(tags.map(tag => `${tag}.sql`))
    expect(set.migrations.map(({ tag }) => tag)).toEqual(tags)
    for (const { tag, sql } of set.migrations) {
      expect(sql).toBe(await Bun.file(join(root, folder, `${tag}.sql`)).text())
    }
    expect(readdirSync(join(root, folder, 'meta')).sort()).toEqual(
      [
        ...tags.map((_, position) => `${String(position).padStart(4, '0')}_snapshot.json`),
        '_journal.json',
      ].sort(),
    )
  })

  test('are all that the schema asks for: nothing in it has changed since the last one', async () => {
    const last = String(set.migrations.length - 1).padStart(4, '0')
    const snapshot: DrizzleSQLiteSnapshotJSON = await Bun.file(
      join(root, folder, 'meta', `${last}_snapshot.json`),
    ).json()
    // Else: `bun run db:generate <name>`.
    expect(await generateSQLiteMigration(snapshot, await generateSQLiteDrizzleJson(schema))).toEqual([])
  })

  test('make the very tables that the schema describes', async () => {
    const migrated = new Database(':memory:')
    migrate(migrated, set, () => 0)
    const described = new Database(':memory:')
    const statements = await generateSQLiteMigration(
      await generateSQLiteDrizzleJson({}),
      await generateSQLiteDrizzleJson(schema),
    )
    expect(statements.length).toBeGreaterThan(0)
    for (const statement of statements) described.run(statement)
    expect(structureOf(migrated)).toEqual(structureOf(described))
  })
})

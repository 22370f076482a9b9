import type { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { bySystem } from '../lib/audit.ts'
import type { KeyListener, KeyWatch } from './key-changes.ts'
import { createSqliteKeyStore, type KeyStore } from './store.ts'
import { newKey, newMaterial } from './test-store.ts'
import { active, at, createSubjectStage, deleted, subject } from './test-subjects.ts'

let stage: ReturnType<typeof createSubjectStage>
let database: Database
let store: KeyStore
beforeEach(() => {
  stage = createSubjectStage()
  database = stage.database
  store = createSqliteKeyStore({ database, clock: stage.clock })
})
afterEach(() => database.close())

const all = 'all'

const make = async (ownerId = 'usr_ann', one: KeyStore = store): Promise<string> =>
  (await one.insert(newKey(ownerId, { permissions: ['notes:read'] }), 10_000, bySystem)).id

const idsOf = (query: string): Set<string> =>
  new Set(
    database
      .query<{ key_id: string }, []>(query)
      .all()
      .map(({ key_id }) => key_id),
  )
const logged = (): Set<string> => idsOf('SELECT key_id FROM api_key_changes')

describe('whatever is written of a key is in the log of changes', () => {
  const transfer = async (id: string) =>
    store.transfer(
      { from: 'usr_ann', to: 'usr_eve', keyIds: [id], most: 1, limit: 10, grantable: ['notes:*'] },
      bySystem,
    )
  const rotate = (id: string) => store.rotate(id, all, newMaterial(), stage.time.now + 60_000, bySystem)
  const writes: readonly [what: string, write: (id: string) => Promise<unknown>][] = [
    ['a change', id => store.update(id, all, { permissions: [] }, bySystem)],
    ['a disable', id => store.update(id, all, { enabled: false }, bySystem)],
    ['an expiry', id => store.update(id, all, { expiresAt: stage.time.now + 1 }, bySystem)],
    ['a revocation', id => store.revoke(id, all, bySystem)],
    ['the revocation of all of an owner', () => store.revokeOwned('usr_ann', bySystem)],
    ['a rotation', rotate],
    ['a rotation of what came of one', async id => rotate((await rotate(id)).id)],
    ['a transfer', transfer],
    [
      'a transfer of what is in its time of grace',
      async id => {
        await rotate(id)
        await transfer(id)
      },
    ],
    [
      'the end of its owner',
      async () => {
        const subjects = stage.open()
        await stage.snapshot(subjects, [subject('usr_ann', active, 0)])
        subjects.apply([subject('usr_ann', deleted, 1)], at('c1'), stage.time.now)
        await subjects.save()
      },
    ],
  ]

  test.each(writes)('%s', async (_, write) => {
    const [id] = [await make(), await make('usr_bob')]
    await write(id)
    expect(logged().has(id)).toBe(true)
  })

  const columns = ['prefix', 'secret_hash', 'owner_id', 'permissions', 'enabled', 'expires_at', 'revoked_at']
  test.each(columns)('SQL by hand on %s', async column => {
    const [id] = [await make(), await make()]
    database.run(`UPDATE api_keys SET ${column} = ${column} WHERE id = ?`, [id])
    expect(logged()).toEqual(new Set([id]))
  })

  test('a row that is removed by hand', async () => {
    const [id] = [await make(), await make()]
    database.run('DELETE FROM api_keys WHERE id = ?', [id])
    expect(logged()).toEqual(new Set([id]))
  })

  const columnNames = (): string[] =>
    database
      .query<{ name: string }, []>('PRAGMA table_info(api_keys)')
      .all()
      .map(({ name }) => name)

  test.each(['INSERT OR REPLACE', 'REPLACE'])('a row that takes the place of another by %s', async verb => {
    const [id] = [await make(), await make()]
    const names = columnNames()
    const values = names.map(name => (name === 'revoked_at' ? '1' : name))
    database.run(`${verb} INTO api_keys (${names}) SELECT ${values} FROM api_keys WHERE id = ?`, [id])
    expect(logged()).toEqual(new Set([id]))
  })

  test('a row that gets another id, and one whose id it takes', async () => {
    const [id, taken] = [await make(), await make()]
    await make()
    database.run('UPDATE OR REPLACE api_keys SET id = ? WHERE id = ?', [taken, id])
    expect(logged()).toEqual(new Set([id, taken]))
  })

  test('not a new key', async () => {
    await make()
    expect(logged()).toEqual(new Set())
  })

  test('not a new name, nor a last use', async () => {
    const id = await make()
    database.run('UPDATE api_keys SET name = ?, last_used_at = 1, last_used_address = ? WHERE id = ?', [
      'x',
      '::1',
      id,
    ])
    expect(logged()).toEqual(new Set())
  })

  test('not what is refused', async () => {
    await make()
    const before = logged()
    await store.revoke('key_of_nobody', all, bySystem).catch(() => undefined)
    expect(logged()).toEqual(before)
  })
})

describe('another writer on the file', () => {
  let told: (readonly string[] | null)[]
  let watch: KeyWatch
  let other: KeyStore
  beforeEach(() => {
    told = []
    const listener: KeyListener = ids => told.push(ids)
    watch = store.watch(listener)
    other = createSqliteKeyStore({ database, clock: stage.clock })
  })

  const flip = (id: string) => other.update(id, all, { enabled: true }, bySystem)

  test('is heard when it is looked for, of each change once and in order', async () => {
    const [one, two] = [await make(), await make()]
    await flip(one)
    await flip(two)
    expect(told).toEqual([])
    watch.catchUp()
    watch.catchUp()
    await flip(one)
    watch.catchUp()
    expect(told).toEqual([[one, two], [one]])
  })

  test('that changed more than can be told one by one makes everything void', async () => {
    const id = await make()
    const insert = database.query('INSERT INTO api_key_changes (key_id) VALUES (?)')
    database.transaction(() => {
      for (let changes = 0; changes < 1_001; changes += 1) insert.run(id)
    })()
    watch.catchUp()
    watch.catchUp()
    await flip(id)
    watch.catchUp()
    expect(told).toEqual([null, [id]])
  })

  test('whose first changes are no longer in the log makes everything void', async () => {
    const id = await make()
    await flip(id)
    await flip(id)
    database.run('DELETE FROM api_key_changes WHERE revision = 1')
    watch.catchUp()
    expect(told).toEqual([null])
  })

  test('is not heard after the end', async () => {
    const id = await make()
    watch.stop()
    await store.revoke(id, all, bySystem)
    expect(told).toEqual([])
  })

  test('leaves a log of bounded length', async () => {
    const id = await make()
    const insert = database.query('INSERT INTO api_key_changes (key_id) VALUES (?)')
    database.transaction(() => {
      for (let changes = 0; changes < 24_998; changes += 1) insert.run(id)
    })()
    await flip(id)
    await flip(id)
    const { rows } =
      database.query<{ rows: number }, []>('SELECT count(*) AS rows FROM api_key_changes').get() ?? {}
    expect(rows).toBeLessThanOrEqual(10_000)
    watch.catchUp()
    expect(told).toEqual([null])
  })
})

import type { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { bySystem } from '../lib/audit.ts'
import { createRetention, type Retention } from './retention.ts'
import { createSqliteKeyStore, type KeyStore } from './store.ts'
import { newKey, newMaterial, openKeyDatabase } from './test-store.ts'

const day = 86_400_000
const start = Date.UTC(2026, 0, 1)

let database: Database
let store: KeyStore
let retention: Retention
let now: number
const open = (auditDays: number | null): void => {
  now = start
  database = openKeyDatabase()
  const clock = (): number => now
  store = createSqliteKeyStore({ database, clock })
  retention = createRetention({ database, clock, auditDays })
}
beforeEach(() => open(400))
afterEach(() => database.close())

const column = (sql: string): unknown[] => database.query(sql).values().flat()
const keys = (): unknown[] => column('SELECT id FROM api_keys ORDER BY id')
const count = (table: string): unknown => column(`SELECT count(*) FROM ${table}`)[0]
const insert = async (expiresAt: number | null = null): Promise<string> =>
  (await store.insert(newKey('usr_ann', { expiresAt }), 100_000, bySystem)).id
const rotate = async (id: string, graceUntil: number): Promise<string> =>
  (await store.rotate(id, 'all', newMaterial(), graceUntil, bySystem)).id
/** As often as there is anything to do, and more. */
const pruneAll = async (): Promise<void> => {
  for (let times = 0; times < 6; times += 1) await retention.prune()
}

describe('the retention', () => {
  test('takes rows of the trail that are older than its days, and not a millisecond before', async () => {
    await insert()
    now += day
    await insert()
    now = start + 400 * day
    await retention.prune()
    expect(count('api_key_audit')).toBe(2)
    now += 1
    await retention.prune()
    expect(column('SELECT at FROM api_key_audit')).toEqual([start + day])
    expect(count('api_keys')).toBe(2)
  })

  test('takes keys that were revoked or expired so long ago, with all that is kept of them', async () => {
    const revoked = await insert()
    const expired = await insert(start + day)
    const disabled = await insert()
    const live = await insert()
    await store.revoke(revoked, 'all', bySystem)
    await store.update(disabled, 'all', { enabled: false }, bySystem)
    for (const id of [revoked, expired, live]) {
      database.run('INSERT INTO api_key_usage VALUES (?, 1, ?, 1)', [id, 'accepted'])
      database.run(
        'INSERT INTO api_key_credits (lineage_id, remaining, granted, refilled_at) VALUES (?, 5, 5, 0)',
        [id],
      )
    }
    now = start + 400 * day
    await pruneAll()
    expect(keys()).toEqual([revoked, expired, disabled, live].toSorted())
    now += 1
    await pruneAll()
    expect(keys()).toEqual([expired, disabled, live].toSorted())
    now += day
    await pruneAll()
    expect(keys()).toEqual([disabled, live].toSorted())
    expect(column('SELECT key_id FROM api_key_usage')).toEqual([live])
    expect(column('SELECT lineage_id FROM api_key_credits')).toEqual([live])
  })

  test('leaves a line of rotations whole until the last of it is past its time', async () => {
    let id = await insert()
    const line = [id]
    for (let index = 0; index < 80; index += 1) {
      now += day
      id = await rotate(id, now)
      line.push(id)
    }
    now += 1_000 * day
    await pruneAll()
    expect(keys()).toEqual(line.toSorted())
    await store.revoke(id, 'all', bySystem)
    now += 400 * day
    await pruneAll()
    expect(keys()).toEqual(line.toSorted())
    now += 1
    await pruneAll()
    await pruneAll()
    expect(keys()).toEqual([])
  })

  test('reaches what is past its time behind any number of keys that stay', async () => {
    let id = await insert()
    for (let index = 0; index < 1_000; index += 1) id = await rotate(id, now)
    const old = await insert(start - 10)
    now = start + 401 * day
    for (let times = 0; times < 3; times += 1) await retention.prune()
    expect(keys()).not.toContain(old)
    expect(keys()).toHaveLength(1_001)
  })

  test('takes the credits of a line with the last of its keys', async () => {
    const first = await insert()
    let id = first
    for (let index = 0; index < 1_000; index += 1) id = await rotate(id, now)
    database.run(
      'INSERT INTO api_key_credits (lineage_id, remaining, granted, refilled_at) VALUES (?, 5, 5, 0)',
      [first],
    )
    await store.update(id, 'all', { expiresAt: start + 1 }, bySystem)
    now = start + 401 * day
    await retention.prune()
    expect([count('api_keys'), count('api_key_credits')]).toEqual([201, 1])
    await retention.prune()
    expect([count('api_keys'), count('api_key_credits')]).toEqual([0, 0])
  })

  test('keeps a successor, and the credits, while what it replaced lives out its time of grace', async () => {
    database.close()
    open(1)
    const old = await insert()
    const next = await rotate(old, now + 30 * day)
    database.run(
      'INSERT INTO api_key_credits (lineage_id, remaining, granted, refilled_at) VALUES (?, 5, 5, 0)',
      [old],
    )
    await store.revoke(next, 'all', bySystem)
    now += 20 * day
    await pruneAll()
    expect(keys()).toEqual([old, next].toSorted())
    expect(count('api_key_credits')).toBe(1)
    now += 12 * day
    await pruneAll()
    expect([count('api_keys'), count('api_key_credits')]).toEqual([0, 0])
  })

  test('takes a key with very many counts in more than one step', async () => {
    const id = await insert(start + 1)
    const add = database.query('INSERT INTO api_key_usage VALUES (?, ?, ?, 1)')
    for (let index = 0; index < 1_000; index += 1) add.run(id, index, 'accepted')
    now += 500 * day
    await pruneAll()
    expect([count('api_keys'), count('api_key_usage')]).toEqual([0, 0])
  })

  test('takes nothing where it is for ever, and nothing after the end', async () => {
    database.close()
    open(null)
    await insert(start + 1)
    now += 10_000 * day
    await pruneAll()
    expect([count('api_keys'), count('api_key_audit')]).toEqual([1, 1])
    retention = createRetention({ database, clock: () => now, auditDays: 1 })
    await retention.stop()
    await pruneAll()
    expect([count('api_keys'), count('api_key_audit')]).toEqual([1, 1])
  })

  test('never takes what lives or belongs to a line that does, and leaves nothing else, whatever came before', async () => {
    const acts = fc.tuple(
      fc.constantFrom('make', 'make', 'rotate', 'rotate', 'revoke', 'expire', 'prune' as const),
      fc.nat(),
      fc.constantFrom(0, 1, 5, 40),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(acts, { minLength: 5, maxLength: 40 }), async life => {
        database.close()
        open(10)
        const all: string[] = []
        type Row = { id: string; lineage: string; died: number | null }
        const rows = (): Row[] =>
          database
            .query<Row, []>(
              'SELECT id, coalesce(lineage_id, id) AS lineage, coalesce(revoked_at, expires_at) AS died FROM api_keys',
            )
            .all()
        /** Keys of lines of which one is not past its time. */
        const needed = (): string[] => {
          const lines = new Set(
            rows()
              .filter(({ died }) => died === null || died >= now - 10 * day)
              .map(({ lineage }) => lineage),
          )
          return rows()
            .filter(({ lineage }) => lines.has(lineage))
            .map(({ id }) => id)
            .toSorted()
        }
        for (const [kind, which, days] of life) {
          now += days * day
          const id = all[which % Math.max(1, all.length)] ?? ''
          const ignore = (): void => undefined
          if (kind === 'make') {
            const made = await insert(which % 2 === 0 ? null : now + (which % 30) * day + 1)
            database.run(
              'INSERT INTO api_key_credits (lineage_id, remaining, granted, refilled_at) VALUES (?, 5, 5, 0)',
              [made],
            )
            all.push(made)
          }
          if (kind === 'rotate') {
            await rotate(id, now + (which % 20) * day).then(made => all.push(made), ignore)
          }
          if (kind === 'revoke') await store.revoke(id, 'all', bySystem).catch(ignore)
          if (kind === 'expire')
            await store.update(id, 'all', { expiresAt: now + day }, bySystem).catch(ignore)
          if (kind === 'prune') {
            const kept = needed()
            await retention.prune()
            expect(keys().filter(key => kept.includes(String(key)))).toEqual(kept)
          }
        }
        const kept = needed()
        const lines = [...new Set(rows().flatMap(({ id, lineage }) => (kept.includes(id) ? [lineage] : [])))]
        for (let times = 0; times < 20; times += 1) await retention.prune()
        expect(keys()).toEqual(kept)
        expect(column('SELECT lineage_id FROM api_key_credits ORDER BY 1')).toEqual(lines.toSorted())
      }),
      { numRuns: 25 },
    )
  })

  test('KEY-13: finds what is past its time through an index', () => {
    const plan = (sql: string): string =>
      database
        .query<{ detail: string }, []>(`EXPLAIN QUERY PLAN ${sql}`)
        .all()
        .map(({ detail }) => detail)
        .join('; ')
    for (const [sql, index] of [
      [
        'SELECT id FROM api_keys WHERE revoked_at IS NULL AND expires_at IS NOT NULL AND expires_at < 9 AND (expires_at, api_keys.rowid) < (1, 2) ORDER BY expires_at DESC, api_keys.rowid DESC LIMIT 32',
        'api_keys_by_expiry',
      ],
      [
        'SELECT id FROM api_keys WHERE revoked_at IS NOT NULL AND revoked_at < 9 AND (revoked_at, api_keys.rowid) < (1, 2) ORDER BY revoked_at DESC, api_keys.rowid DESC LIMIT 32',
        'api_keys_by_revocation',
      ],
      ['SELECT sequence FROM api_key_audit WHERE at < 9 ORDER BY at LIMIT 200', 'api_key_audit_by_time'],
      ["SELECT id FROM api_keys WHERE id = 'x' OR lineage_id = 'x' LIMIT 1", 'api_keys_by_lineage'],
    ] as const) {
      expect(plan(sql)).toContain(`INDEX ${index}`)
      expect(plan(sql)).not.toContain('TEMP B-TREE')
    }
  })
})

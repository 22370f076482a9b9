import { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { createLimiter } from '../lib/limiter.ts'
import { mostCredits } from './credit-rows.ts'
import { type Admission, type CreditStore, createCreditStore, type Spent } from './credit-store.ts'
import { createSqliteKeyStore } from './store.ts'
import { balanceOf, type GivenCredits, giveCredits } from './test-credits.ts'
import { codeOf, newKey, openKeyDatabase } from './test-store.ts'

const day = 86_400_000
const start = Date.UTC(2026, 2, 10, 12)

let database: Database
let store: CreditStore
let now: number
beforeEach(() => {
  now = start
  database = openKeyDatabase()
  store = createCreditStore({ database, clock: () => now })
})
afterEach(() => database.close())

const give = (lineageId: string, credits: GivenCredits): void =>
  giveCredits(database, lineageId, { refilledAt: now, ...credits })
const spend = async (lineageId: string, cost: number, limits?: Admission): Promise<Spent | undefined> =>
  (await store.spendAll([{ lineageId, cost, limits }]))[0]

/** A limit that knows how often it was asked and how much of it counts. */
const createLimit = (room: number) => {
  let used = 0
  const asked: string[] = []
  return {
    asked,
    used: () => used,
    take: () => {
      asked.push('take')
      if (used === room) return false
      used += 1
      return true
    },
    giveBack: () => {
      asked.push('give back')
      used -= 1
    },
    rollBack: (takes: number) => {
      asked.push('roll back')
      used -= takes
    },
  }
}

describe('a debit', () => {
  test('takes its cost down to 0 and not below, and says what is left', async () => {
    give('key_a', { remaining: 10 })
    expect(await spend('key_a', 7)).toMatchObject({ ok: true, remaining: 3 })
    expect(await spend('key_a', 4)).toEqual({
      ok: false,
      code: 'credits_exhausted',
      remaining: 3,
      refillsAt: null,
    })
    expect(await spend('key_a', 3)).toMatchObject({ ok: true, remaining: 0 })
    expect(await spend('key_a', 1)).toMatchObject({ ok: false, remaining: 0 })
    expect(balanceOf(database, 'key_a')).toBe(0)
  })

  test('says what a full balance is: what a refill sets, or what was given', async () => {
    give('key_a', { remaining: 10 })
    give('key_b', { remaining: 10, refillAmount: 50 })
    expect(await spend('key_a', 1)).toMatchObject({ full: 10 })
    expect(await spend('key_b', 1)).toMatchObject({ full: 50 })
  })

  test('of 0 passes at balance 0', async () => {
    give('key_a', { remaining: 0 })
    expect(await spend('key_a', 0)).toMatchObject({ ok: true, remaining: 0 })
  })

  test('shares its transaction with the others, in order, and a refusal among them leaves the rest alone', async () => {
    give('key_a', { remaining: 10 })
    give('key_b', { remaining: 1 })
    const outcomes = await store.spendAll(
      [
        ['key_a', 4],
        ['key_b', 1],
        ['key_a', 7],
        ['key_a', 6],
        ['key_b', 1],
      ].map(([id, cost]) => ({ lineageId: String(id), cost: Number(cost) })),
    )
    expect(outcomes.map(({ ok }) => ok)).toEqual([true, true, false, true, false])
    expect([balanceOf(database, 'key_a'), balanceOf(database, 'key_b')]).toEqual([0, 0])
  })

  test('says when there will be enough, and nothing where there never will', async () => {
    give('key_a', { remaining: 1, refillAmount: 5 })
    expect(await spend('key_a', 5)).toMatchObject({ ok: false, refillsAt: Date.UTC(2026, 2, 11) })
    expect(await spend('key_a', 6)).toMatchObject({ ok: false, refillsAt: null })
  })

  test('has the refill that is due before it, once', async () => {
    give('key_a', { remaining: 1, refillAmount: 5 })
    now += 10 * day
    expect(await spend('key_a', 4)).toMatchObject({ ok: true, remaining: 1 })
    expect(await spend('key_a', 4)).toMatchObject({ ok: false, remaining: 1 })
    now += day
    expect(await spend('key_a', 4)).toMatchObject({ ok: true, remaining: 1 })
  })

  test('keeps a refill that came with a refusal', async () => {
    give('key_a', { remaining: 1, refillAmount: 5 })
    now += day
    expect(await spend('key_a', 9)).toMatchObject({ ok: false, remaining: 5 })
    expect(balanceOf(database, 'key_a')).toBe(5)
  })
})

describe('a key without a balance', () => {
  const insert = async (isMetered: boolean): Promise<string> => {
    const { id } = await createSqliteKeyStore({ database, clock: () => now }).insert(newKey('usr_ann'), 10, {
      actorId: null,
      requestId: null,
      address: null,
    })
    database.run('UPDATE api_keys SET is_metered = ? WHERE id = ?', [isMetered, id])
    return id
  }

  test('that is metered is out of credits', async () => {
    const id = await insert(true)
    expect(await spend(id, 1)).toEqual({
      ok: false,
      code: 'credits_exhausted',
      remaining: 0,
      refillsAt: null,
    })
  })

  test('that is not metered any more pays nothing', async () => {
    const id = await insert(false)
    expect(await spend(id, 1)).toMatchObject({ ok: true, remaining: null })
  })

  test('that is not metered any more pays nothing, however many dead keys of its line were', async () => {
    const id = await insert(false)
    const ancestor = await insert(true)
    database.run('UPDATE api_keys SET lineage_id = ? WHERE id = ?', [id, ancestor])
    expect(await spend(id, 1)).toMatchObject({ ok: false })
    database.run('UPDATE api_keys SET expires_at = ? WHERE id = ?', [now, ancestor])
    expect(await spend(id, 1)).toMatchObject({ ok: true, remaining: null })
  })

  test('that nobody knows is out of credits', async () => {
    expect(await spend('key_none', 1)).toMatchObject({ ok: false, code: 'credits_exhausted' })
  })
})

describe('limits and credits together', () => {
  test('count both or neither', async () => {
    give('key_a', { remaining: 5 })
    const limit = createLimit(2)
    expect(await spend('key_a', 2, limit)).toMatchObject({ ok: true, remaining: 3 })
    expect(await spend('key_a', 4, limit)).toMatchObject({ ok: false, code: 'credits_exhausted' })
    expect(limit.used()).toBe(1)
    expect(await spend('key_a', 2, limit)).toMatchObject({ ok: true, remaining: 1 })
    expect(await spend('key_a', 1, limit)).toEqual({ ok: false, code: 'rate_limited' })
    expect([limit.used(), balanceOf(database, 'key_a')]).toEqual([2, 1])
  })

  test('a limit that is full is not given back what it never gave', async () => {
    give('key_a', { remaining: 5 })
    const limit = createLimit(0)
    await spend('key_a', 1, limit)
    expect(limit.asked).toEqual(['take'])
  })

  test('what can not be written counts within no limit, and no balance', async () => {
    give('key_a', { remaining: 5 })
    database.run(`CREATE TRIGGER broken BEFORE UPDATE ON api_key_credits WHEN new.lineage_id = 'key_a'
      BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
    give('key_b', { remaining: 5 })
    const limit = createLimit(10)
    const both = store.spendAll([
      { lineageId: 'key_b', cost: 1, limits: limit },
      { lineageId: 'key_a', cost: 1, limits: limit },
    ])
    await expect(both).rejects.toThrow('the disk is full')
    expect(limit.used()).toBe(0)
    expect([balanceOf(database, 'key_a'), balanceOf(database, 'key_b')]).toEqual([5, 5])
  })
})

test('limits as they are: what can not be written leaves each of them as it was', async () => {
  const windows = createLimiter({ clock: () => now }).windowsOf('key_a', [
    { name: 'minute', limit: 5, windowSeconds: 60 },
  ])
  give('key_a', { remaining: 3 })
  windows.take()
  database.run(`CREATE TRIGGER broken BEFORE UPDATE ON api_key_credits
    BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
  const before = windows.status()
  const debits = [1, 1, 9, 1, 9].map(cost => ({ lineageId: 'key_a', cost, limits: windows }))
  await expect(store.spendAll(debits)).rejects.toThrow('the disk is full')
  expect(windows.status()).toEqual(before)
  database.run('DROP TRIGGER broken')
  const outcomes = await store.spendAll([...debits, ...debits])
  expect(outcomes.map(outcome => (outcome.ok ? outcome.remaining : outcome.code))).toEqual([
    2,
    1,
    'credits_exhausted',
    0,
    ...Array.from({ length: 6 }, () => 'credits_exhausted' as const),
  ])
  expect(windows.status()[0]?.remaining).toBe(1)
})

describe('what is returned', () => {
  test('comes before the debits beside it, and may go beyond what was given', async () => {
    give('key_a', { remaining: 0 })
    const [first] = await store.spendAll([{ lineageId: 'key_a', cost: 3 }], [{ lineageId: 'key_a', cost: 5 }])
    expect(first).toMatchObject({ ok: true, remaining: 2 })
  })

  test('to a key without a balance is nothing, and at most the most', async () => {
    give('key_a', { remaining: mostCredits - 1 })
    await store.spendAll(
      [],
      [
        { lineageId: 'key_a', cost: 5 },
        { lineageId: 'key_b', cost: 5 },
      ],
    )
    expect([balanceOf(database, 'key_a'), balanceOf(database, 'key_b')]).toEqual([mostCredits, null])
  })
})

test('a transaction that the host has open is waited for by nobody: it may be taken back', async () => {
  give('key_a', { remaining: 5 })
  database.run('BEGIN')
  const limit = createLimit(10)
  expect(await codeOf(spend('key_a', 1, limit))).toBe('unavailable')
  database.run('ROLLBACK')
  expect([balanceOf(database, 'key_a'), limit.used()]).toEqual([5, 0])
})

describe('with another process on the file', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'apikey-credits-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  test('commits wait for the disk, and another thread copies the log, which stays short for all that', async () => {
    const path = join(folder, 'keys.sqlite')
    const file = openKeyDatabase(path)
    giveCredits(file, 'key_a', { remaining: 10_000, refilledAt: now })
    const levels = new Set<string>()
    const pragmas = (): string =>
      ['synchronous', 'wal_autocheckpoint']
        .flatMap(name => file.query(`PRAGMA ${name}`).values().flat())
        .join()
    const before = pragmas()
    const spending = createCreditStore({
      database: file,
      clock: () => {
        levels.add(pragmas())
        return now
      },
    })
    let longest = 0
    for (let count = 0; count < 3_000; count += 1) {
      await spending.spendAll([{ lineageId: 'key_a', cost: 1 }])
      longest = Math.max(longest, statSync(`${path}-wal`).size)
      if (count > 0) continue
      expect([[...levels], pragmas()]).toEqual([['2,0'], before])
      // The rest is about the log, and none of it about the time that disks take.
      file.run('PRAGMA synchronous = OFF')
    }
    // A page and its header each; beyond 750 of them it begins anew, and not at every one.
    expect(longest).toBeGreaterThan(250 * 4_120)
    expect(longest).toBeLessThan(1_500 * 4_120)
    expect(balanceOf(file, 'key_a')).toBe(7_000)
    file.close()
  })

  test('a debit waits until the file is free, and then counts once', async () => {
    const path = join(folder, 'keys.sqlite')
    const file = openKeyDatabase(path)
    giveCredits(file, 'key_a', { remaining: 5, refilledAt: now })
    const other = new Database(path)
    other.run('BEGIN IMMEDIATE')
    const limit = createLimit(10)
    const spending = createCreditStore({ database: file, clock: () => now }).spendAll([
      { lineageId: 'key_a', cost: 2, limits: limit },
    ])
    expect(limit.used()).toBe(0)
    await Bun.sleep(20)
    other.run("UPDATE api_key_credits SET remaining = 4 WHERE lineage_id = 'key_a'")
    other.run('COMMIT')
    other.close()
    expect(await spending).toMatchObject([{ ok: true, remaining: 2 }])
    expect(limit.used()).toBe(1)
    file.close()
  })
})

test('a store and a model of it agree, whatever is spent, returned and refilled in whatever order', async () => {
  const ids = ['key_a', 'key_b']
  const debit = fc.record({
    lineageId: fc.constantFrom(...ids),
    cost: fc.integer({ min: 0, max: 12 }),
    isLimited: fc.boolean(),
  })
  const step = fc.record({
    pass: fc.constantFrom(0, 0, 1, day / 2, day, 40 * day, -day),
    debits: fc.array(debit, { maxLength: 5 }),
    returned: fc.array(
      fc.record({ lineageId: fc.constantFrom(...ids), cost: fc.integer({ min: 1, max: 9 }) }),
      {
        maxLength: 2,
      },
    ),
  })
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 12 }),
      fc.nat(15),
      fc.nat(12),
      async (steps, amount, room) => {
        now = start
        database.run('DELETE FROM api_key_credits')
        give('key_a', { remaining: 20, refillAmount: Math.max(1, amount) })
        give('key_b', { remaining: 20 })
        const balances = new Map(ids.map(id => [id, 20]))
        const get = (id: string): number => balances.get(id) ?? 0
        let refilledAt = now
        let admitted = 0
        const limit = createLimit(room)
        for (const { pass, debits, returned } of steps) {
          now += pass
          const expected: unknown[] = []
          const midnight = Math.floor(now / day) * day
          const touch = (id: string): number => {
            if (id === 'key_a' && midnight > refilledAt) {
              balances.set(id, Math.max(get(id), amount, 1))
              refilledAt = midnight
            }
            return get(id)
          }
          for (const { lineageId, cost } of returned) balances.set(lineageId, touch(lineageId) + cost)
          for (const { lineageId, cost, isLimited } of debits) {
            if (isLimited && admitted === room) expected.push('rate_limited')
            else if (touch(lineageId) < cost) expected.push('credits_exhausted')
            else {
              balances.set(lineageId, get(lineageId) - cost)
              if (isLimited) admitted += 1
              expected.push(get(lineageId))
            }
          }
          const outcomes = await store.spendAll(
            debits.map(({ isLimited, ...one }) => ({ ...one, limits: isLimited ? limit : undefined })),
            returned,
          )
          const told: unknown[] = outcomes.map(outcome => (outcome.ok ? outcome.remaining : outcome.code))
          expect(told).toEqual(expected)
          expect(limit.used()).toBe(admitted)
          for (const id of ids) expect(balanceOf(database, id)).toBe(get(id))
        }
      },
    ),
    { numRuns: 200 },
  )
})

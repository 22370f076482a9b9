import type { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { Failure } from '../lib/failure.ts'
import { type CreditStore, createCreditStore } from './credit-store.ts'
import { type Charge, createLedger, type Ledger } from './ledger.ts'
import { balanceOf, giveCredits } from './test-credits.ts'
import { codeOf, openKeyDatabase } from './test-store.ts'

let database: Database
let store: CreditStore
/** How many debits and returns each transaction had. */
let commits: [number, number][]
let failure: Error | null
let ledger: Ledger
beforeEach(() => {
  database = openKeyDatabase()
  commits = []
  failure = null
  const kept = createCreditStore({ database, clock: () => 0 })
  store = {
    spendAll: async (debits, returned = []) => {
      if (failure !== null) throw failure
      commits.push([debits.length, returned.length])
      return kept.spendAll(debits, returned)
    },
  }
  ledger = createLedger({ store })
  giveCredits(database, 'key_a', { remaining: 100 })
})
afterEach(() => database.close())

const unavailable = (): Failure => new Failure('unavailable')
const balance = (): number | null => balanceOf(database, 'key_a')
const pay = async (cost: number): Promise<Extract<Charge, { ok: true }>> => {
  const charge = await ledger.charge('key_a', cost)
  if (!charge.ok) throw new Error(charge.code)
  return charge
}
const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

describe('a charge', () => {
  test('is written when it is told', async () => {
    expect(await ledger.charge('key_a', 30)).toMatchObject({ ok: true, remaining: 70 })
    expect(balance()).toBe(70)
    expect(await ledger.charge('key_a', 71)).toEqual({
      ok: false,
      code: 'credits_exhausted',
      remaining: 70,
      refillsAt: null,
    })
  })

  test('shares a transaction with all of its turn, and each gets its own answer', async () => {
    const charges = await Promise.all([60, 50, 40].map(cost => ledger.charge('key_a', cost)))
    expect(charges.map(charge => (charge.ok ? charge.remaining : charge.code))).toEqual([
      40,
      'credits_exhausted',
      0,
    ])
    expect(commits).toEqual([[3, 0]])
  })

  test('that comes while another is written waits for the next transaction, with whoever comes then', async () => {
    const first = ledger.charge('key_a', 1)
    await turn()
    const rest = [ledger.charge('key_a', 1), ledger.charge('key_a', 1)]
    await first
    rest.push(ledger.charge('key_a', 1))
    await Promise.all(rest)
    expect(commits).toEqual([
      [1, 0],
      [3, 0],
    ])
  })

  test('of 0 counts within the limits alone, and writes nothing', async () => {
    let room = 1
    const limits = {
      take: () => {
        room -= 1
        return room >= 0
      },
      giveBack: () => {
        throw new Error('was never taken')
      },
      rollBack: () => {
        throw new Error('was never taken')
      },
    }
    const charge = await ledger.charge('key_a', 0, limits)
    expect(charge).toMatchObject({ ok: true, remaining: null })
    expect(await ledger.charge('key_a', 0, limits)).toEqual({ ok: false, code: 'rate_limited' })
    if (charge.ok) await charge.refund()
    expect([commits, balance()]).toEqual([[], 100])
  })

  test.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])(
    'of %p is none, and leaves those beside it alone',
    async cost => {
      const good = ledger.charge('key_a', 1)
      await expect(ledger.charge('key_a', cost)).rejects.toThrow(TypeError)
      expect(await good).toMatchObject({ ok: true, remaining: 99 })
    },
  )

  test('beyond those that may wait is turned away, and the others are not', async () => {
    ledger = createLedger({ store, maxWaiting: 2 })
    const charges = [1, 1, 1].map(cost => ledger.charge('key_a', cost))
    const third = await charges[2]?.catch((error: unknown) => error)
    expect(third).toMatchObject({ code: 'unavailable', retryAfterSeconds: 1 })
    expect(await Promise.all(charges.slice(0, 2))).toMatchObject([{ ok: true }, { ok: true }])
    expect(balance()).toBe(98)
  })

  test('that can not be written fails, with all that wait, and later ones are none the worse', async () => {
    failure = unavailable()
    const charges = Array.from({ length: 300 }, () => codeOf(ledger.charge('key_a', 1)))
    expect(new Set(await Promise.all(charges))).toEqual(new Set(['unavailable']))
    failure = null
    expect(await ledger.charge('key_a', 1)).toMatchObject({ ok: true, remaining: 99 })
  })

  test('of a crowd is written 256 at a time', async () => {
    giveCredits(database, 'key_b', { remaining: 599 })
    const charges = await Promise.all(Array.from({ length: 600 }, () => ledger.charge('key_b', 1)))
    expect(charges.filter(({ ok }) => ok)).toHaveLength(599)
    expect(commits).toEqual([
      [256, 0],
      [256, 0],
      [88, 0],
    ])
  })
})

describe('a refund', () => {
  test('gives back what was paid, once, however often and whenever it is asked for', async () => {
    const charge = await pay(30)
    await Promise.all([charge.refund(), charge.refund()])
    await charge.refund()
    expect(balance()).toBe(100)
  })

  test('shares a transaction with charges, and is there for them', async () => {
    const charge = await pay(100)
    const refunded = charge.refund()
    expect(await ledger.charge('key_a', 100)).toMatchObject({ ok: true, remaining: 0 })
    await refunded
    expect(commits).toEqual([
      [1, 0],
      [1, 1],
    ])
  })

  test('that can not be written stays, and goes with the next charge', async () => {
    const charge = await pay(30)
    failure = unavailable()
    let isDone = false
    const refunded = charge.refund().then(() => {
      isDone = true
    })
    expect(await codeOf(ledger.flush())).toBe('unavailable')
    expect(isDone).toBe(false)
    failure = null
    expect(await ledger.charge('key_a', 10)).toMatchObject({ ok: true, remaining: 90 })
    await refunded
    expect(balance()).toBe(90)
  })

  test('that can not be written is tried again without anybody coming', async () => {
    const charge = await pay(30)
    failure = unavailable()
    const refunded = charge.refund()
    await Bun.sleep(20)
    expect(balance()).toBe(70)
    failure = null
    await refunded
    expect(balance()).toBe(100)
  })

  test('of what a key that is not metered never paid is none', async () => {
    database.run('DELETE FROM api_key_credits')
    database.run(
      `INSERT INTO api_keys (id, prefix, start, last4, secret_hash, name, owner_id, created_by, permissions, enabled, created_at, updated_at)
       VALUES ('key_a', 'lk', 'x', 'x', 'x', 'x', 'x', 'x', '[]', 1, 0, 0)`,
    )
    const charge = await pay(30)
    expect(charge.remaining).toBeNull()
    giveCredits(database, 'key_a', { remaining: 5 })
    await charge.refund()
    expect(balance()).toBe(5)
  })
})

describe('flush', () => {
  test('ends with everything written, without waiting for the time of the next transaction', async () => {
    const charge = await pay(30)
    void charge.refund()
    const charges = Array.from({ length: 600 }, () => ledger.charge('key_a', 1))
    await ledger.flush()
    expect(balance()).toBe(0)
    expect((await Promise.all(charges)).filter(({ ok }) => ok)).toHaveLength(100)
    await ledger.flush()
  })
})

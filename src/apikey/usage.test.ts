import { beforeEach, describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Failure } from '../lib/failure.ts'
import { codeOf } from './test-store.ts'
import { createUsage, keptDays, type Usage, type UsageOptions } from './usage.ts'
import { dayMilliseconds } from './usage-notes.ts'
import { usageOutcomes } from './usage-outcomes.ts'
import type { KeyUses } from './usage-store.ts'

let now: number
/** What each transaction wrote. */
let batches: KeyUses[][]
let failing: number
/** Keys that the store has time for. */
let most: number
let pruned: number[]
/** Transactions after which nothing is left to prune. */
let old: number
let usage: Usage
/** What the store does before it answers, and what comes between the commit and the answer. */
let meanwhile: () => void
let afterwards: () => void

const store: UsageOptions['store'] = {
  recordUses: async uses => {
    meanwhile()
    await Promise.resolve()
    if (failing > 0) {
      failing -= 1
      throw new Failure('unavailable')
    }
    const written = uses.slice(0, most)
    batches.push(written)
    afterwards()
    return written.length
  },
  countsOf: async () => [],
  pruneUses: async before => {
    pruned.push(before)
    old -= 1
    return old > 0
  },
}

beforeEach(() => {
  now = 1_000
  batches = []
  failing = 0
  most = 100
  pruned = []
  old = 0
  meanwhile = () => undefined
  afterwards = () => undefined
  usage = createUsage({ store, clock: () => now })
})

const here = '192.0.2.1'
const use = (keyId: string): void => usage.record(keyId, 'accepted', here)

/** Everything that was written, as the rows that come of it. */
const rows = (): Record<string, number> => {
  const found: Record<string, number> = {}
  for (const { id, day, counts } of batches.flat()) {
    for (const { outcome, uses } of counts) {
      const row = `${id} ${day} ${outcome}`
      found[row] = (found[row] ?? 0) + uses
    }
  }
  return found
}
const lastUses = (): Record<string, number> => {
  const found: Record<string, number> = {}
  for (const { id, lastUsedAt } of batches.flat()) {
    if (lastUsedAt !== null) found[id] = Math.max(lastUsedAt, found[id] ?? 0)
  }
  return found
}
const turns = async (count = 20): Promise<void> => {
  for (let index = 0; index < count; index += 1) await Bun.sleep(0)
}

describe('uses of keys', () => {
  test('KEY-14: are written when somebody says so and not before: how often, when last and from where', async () => {
    usage.record('key_a', 'accepted', '192.0.2.1')
    use('key_b')
    now = 2_000
    usage.record('key_a', 'accepted', '192.0.2.2')
    await turns()
    expect(batches).toEqual([])
    await usage.flush()
    expect(batches).toEqual([
      [
        {
          id: 'key_a',
          day: 0,
          lastUsedAt: 2_000,
          lastUsedAddress: '192.0.2.2',
          counts: [{ outcome: 'accepted', uses: 2 }],
        },
        {
          id: 'key_b',
          day: 0,
          lastUsedAt: 1_000,
          lastUsedAddress: here,
          counts: [{ outcome: 'accepted', uses: 1 }],
        },
      ],
    ])
    await usage.flush()
    expect(batches).toHaveLength(1)
  })

  test('that were refused are counted by reason, and are no last use', async () => {
    usage.record('key_a', 'api_key_expired', here)
    usage.record('key_a', 'insufficient_permission', here)
    usage.record('key_a', 'api_key_expired', here)
    use('key_b')
    now = 2_000
    usage.record('key_b', 'api_key_disabled', '192.0.2.2')
    await usage.flush()
    expect(rows()).toEqual({
      'key_a 0 api_key_expired': 2,
      'key_a 0 insufficient_permission': 1,
      'key_b 0 accepted': 1,
      'key_b 0 api_key_disabled': 1,
    })
    expect(batches.flat().map(({ lastUsedAt, lastUsedAddress }) => [lastUsedAt, lastUsedAddress])).toEqual([
      [null, null],
      [1_000, here],
    ])
  })

  test('count on the day (UTC) of the use, whenever they are written', async () => {
    now = dayMilliseconds * 3 - 1
    use('key_a')
    use('key_a')
    now += 1
    use('key_a')
    now += dayMilliseconds
    await usage.flush()
    expect(rows()).toEqual({ 'key_a 2 accepted': 2, 'key_a 3 accepted': 1 })
    now -= dayMilliseconds
    use('key_a')
    await usage.flush()
    expect(rows()).toEqual({ 'key_a 2 accepted': 2, 'key_a 3 accepted': 2 })
  })

  test('go in transactions of 100 at most, with turns of the event loop between them', async () => {
    for (let index = 0; index < 250; index += 1) use(`key_${index}`)
    let isOver = false
    const flushed = usage.flush().then(() => {
      isOver = true
    })
    const steps: number[] = []
    while (!isOver) {
      steps.push(batches.length)
      await new Promise(resolve => setImmediate(resolve))
    }
    await flushed
    expect(batches.map(({ length }) => length)).toEqual([100, 100, 50])
    expect([...new Set(steps)]).toEqual(expect.arrayContaining([1, 2]))
  })

  test('that a transaction had no time for are written by the next', async () => {
    most = 7
    for (let index = 0; index < 40; index += 1) use(`key_${index}`)
    await usage.flush()
    expect(batches.map(({ length }) => length)).toEqual([7, 7, 7, 7, 7, 5])
    expect(Object.values(rows())).toEqual(Array.from({ length: 40 }, () => 1))
  })

  test('that come while others are written count once, at the latest with the next flush', async () => {
    use('key_a')
    const more = () => {
      now += 1
      use('key_a')
      use('key_b')
    }
    meanwhile = () => {
      meanwhile = () => undefined
      more()
    }
    afterwards = () => {
      afterwards = () => undefined
      more()
    }
    await usage.flush()
    expect(rows()).toEqual({ 'key_a 0 accepted': 1 })
    await usage.flush()
    expect(rows()).toEqual({ 'key_a 0 accepted': 3, 'key_b 0 accepted': 2 })
    expect(lastUses()).toEqual({ key_a: 1_002, key_b: 1_002 })
  })

  test('that could not be written are kept with those that came since, and the caller is told', async () => {
    for (let index = 0; index < 150; index += 1) use(`key_${index}`)
    usage.record('key_0', 'api_key_expired', here)
    failing = 1
    meanwhile = () => use('key_0')
    expect(await codeOf(usage.flush())).toBe('unavailable')
    expect(batches).toEqual([])
    meanwhile = () => undefined
    await usage.flush()
    expect(Object.keys(rows())).toHaveLength(151)
    expect(rows()).toMatchObject({
      'key_0 0 accepted': 2,
      'key_0 0 api_key_expired': 1,
      'key_149 0 accepted': 1,
    })
  })

  test('who asks while others are written gets an answer that has every note until then', async () => {
    use('key_a')
    const first = usage.flush()
    await Promise.resolve()
    use('key_b')
    await Promise.all([usage.flush(), usage.flush(), usage.flush()])
    expect(rows()).toEqual({ 'key_a 0 accepted': 1, 'key_b 0 accepted': 1 })
    await first
    expect(batches.length).toBeLessThanOrEqual(2)
  })

  test('a flush that failed stands in the way of none after it', async () => {
    use('key_a')
    failing = 1
    const [first, second] = await Promise.allSettled([usage.flush(), turns(2).then(() => usage.flush())])
    expect(first.status).toBe('rejected')
    expect(second.status).toBe('fulfilled')
    expect(rows()).toEqual({ 'key_a 0 accepted': 1 })
  })
})

describe('uses of one key', () => {
  test('are written by themselves, of every day, and the others stay', async () => {
    use('key_a')
    now += dayMilliseconds
    use('key_a')
    use('key_b')
    await usage.flushKey('key_a')
    expect(rows()).toEqual({ 'key_a 0 accepted': 1, 'key_a 1 accepted': 1 })
    await usage.flush()
    expect(rows()).toEqual({ 'key_a 0 accepted': 1, 'key_a 1 accepted': 1, 'key_b 1 accepted': 1 })
  })

  test('that are being written are waited for, and come back once where that fails', async () => {
    use('key_a')
    failing = 1
    let asked = Promise.resolve()
    meanwhile = () => {
      meanwhile = () => undefined
      void Promise.resolve().then(() => {
        asked = usage.flushKey('key_a')
      })
    }
    expect(await codeOf(usage.flush())).toBe('unavailable')
    await asked
    expect(rows()).toEqual({ 'key_a 0 accepted': 1 })
    await usage.flush()
    expect(rows()).toEqual({ 'key_a 0 accepted': 1 })
  })

  test('that come while the others can not be written are kept together with them', async () => {
    use('key_a')
    usage.record('key_a', 'api_key_expired', here)
    usage.record('key_b', 'accepted', here)
    failing = 2
    meanwhile = () => {
      now += 1
      use('key_a')
      usage.record('key_a', 'api_key_expired', here)
      usage.record('key_b', 'api_key_disabled', here)
    }
    expect(await codeOf(usage.flushKey('key_b'))).toBe('unavailable')
    expect(await codeOf(usage.flushKey('key_a'))).toBe('unavailable')
    meanwhile = () => undefined
    await usage.flush()
    expect(rows()).toEqual({
      'key_a 0 accepted': 3,
      'key_a 0 api_key_expired': 3,
      'key_b 0 accepted': 1,
      'key_b 0 api_key_disabled': 2,
    })
    expect(lastUses()).toEqual({ key_a: 1_002, key_b: 1_000 })
  })

  test('are kept where they can not be written, whatever happened to their day', async () => {
    use('key_a')
    failing = 1
    meanwhile = () => {
      now = dayMilliseconds
      use('key_a')
    }
    expect(await codeOf(usage.flushKey('key_a'))).toBe('unavailable')
    meanwhile = () => undefined
    await usage.flush()
    expect(rows()).toEqual({ 'key_a 0 accepted': 1, 'key_a 1 accepted': 1 })
  })
})

describe('a flood of keys', () => {
  test('is written early, by itself and in the background', async () => {
    usage = createUsage({ store, clock: () => now, maxEntries: 100 })
    for (let index = 0; index < 60; index += 1) use(`key_${index}`)
    expect(batches).toEqual([])
    await turns()
    expect(Object.keys(rows()).length).toBeGreaterThan(50)
    await usage.flush()
    expect(Object.values(rows())).toEqual(Array.from({ length: 60 }, () => 1))
  })

  test('that keeps to half of the room is not written early, however often the keys are used', async () => {
    usage = createUsage({ store, clock: () => now, maxEntries: 100 })
    for (let round = 0; round < 20; round += 1) {
      for (let index = 0; index < 50; index += 1) use(`key_${index}`)
      await turns(1)
    }
    expect(batches).toEqual([])
  })

  test('has a file that can not be written tried once a second, and not by each request', async () => {
    usage = createUsage({ store, clock: () => now, maxEntries: 10 })
    failing = Number.POSITIVE_INFINITY
    let tries = 0
    meanwhile = () => {
      tries += 1
    }
    for (let index = 0; index < 100; index += 1) {
      use(`key_${index}`)
      await turns(1)
    }
    expect(tries).toBe(1)
    now += 1_000
    use('key_new')
    await turns()
    expect(tries).toBe(2)
  })

  test('never takes more memory than allowed, also where nothing can be written: the oldest goes, and is counted', async () => {
    usage = createUsage({ store, clock: () => now, maxEntries: 10 })
    failing = Number.POSITIVE_INFINITY
    for (let index = 0; index < 1_000; index += 1) {
      use(`key_${index}`)
      usage.record(`key_${index}`, 'api_key_disabled', here)
    }
    await turns()
    expect(usage.lost()).toBe(1_980)
    failing = 0
    await usage.flush()
    expect(Object.keys(lastUses()).toSorted()).toEqual(
      Array.from({ length: 10 }, (_, index) => `key_${990 + index}`),
    )
  })

  test('over days on which nothing can be written takes no more either', async () => {
    usage = createUsage({ store, clock: () => now, maxEntries: 10 })
    failing = Number.POSITIVE_INFINITY
    for (let day = 0; day < 20; day += 1) {
      now = day * dayMilliseconds
      for (const id of ['key_a', 'key_b', 'key_c']) use(id)
      await codeOf(usage.flush())
    }
    failing = 0
    await usage.flush()
    expect(Object.keys(rows())).toHaveLength(10)
    expect(usage.lost()).toBe(50)
    expect(rows()).toMatchObject({ 'key_a 19 accepted': 1, 'key_b 19 accepted': 1, 'key_c 19 accepted': 1 })
  })
})

test('counts that are too old go with each flush, in a bounded number of bits', async () => {
  now = dayMilliseconds * 1_000
  await usage.flush()
  expect(pruned).toEqual([1_000 - keptDays])
  old = 3
  await usage.flush()
  expect(pruned).toHaveLength(4)
  old = Number.POSITIVE_INFINITY
  await usage.flush()
  expect(pruned).toHaveLength(14)
})

test('of any uses, flushes, failures and days, each use is written once, and at last the last time of each key', async () => {
  const key = fc.nat(5).map(id => `key_${id}`)
  const step = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({ kind: fc.constant('use'), id: key, outcome: fc.constantFrom(...usageOutcomes) }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constantFrom('flush', 'flushKey', 'fail', 'turn', 'midnight', 'back', 'slip'),
        id: key,
        outcome: fc.constant('accepted' as const),
      }),
    },
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 60 }),
      fc.integer({ min: 1, max: 4 }),
      async (steps, time) => {
        batches = []
        failing = 0
        most = time
        now = 1_000
        usage = createUsage({ store, clock: () => now })
        const model: Record<string, number> = {}
        const last: Record<string, number> = {}
        const flushes: Promise<unknown>[] = []
        for (const { kind, id, outcome } of steps) {
          now += 1
          if (kind === 'use') {
            usage.record(id, outcome, here)
            const row = `${id} ${Math.floor(now / dayMilliseconds)} ${outcome}`
            model[row] = (model[row] ?? 0) + 1
            if (outcome === 'accepted') last[id] = Math.max(last[id] ?? 0, now)
          }
          if (kind === 'flush') flushes.push(codeOf(usage.flush()))
          if (kind === 'flushKey') flushes.push(codeOf(usage.flushKey(id)))
          if (kind === 'fail') failing += 1
          if (kind === 'turn') await turns(1)
          if (kind === 'midnight') now += dayMilliseconds
          if (kind === 'slip') now = Math.max(1_000, now - 5)
          if (kind === 'back') now = Math.max(1_000, now - dayMilliseconds)
        }
        await Promise.all(flushes)
        failing = 0
        await usage.flush()
        expect(rows()).toEqual(model)
        expect(lastUses()).toEqual(last)
        expect(usage.lost()).toBe(0)
      },
    ),
    { numRuns: 200 },
  )
})

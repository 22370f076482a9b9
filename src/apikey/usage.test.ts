import { beforeEach, describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Failure } from '../lib/failure.ts'
import type { KeyUse } from './store.ts'
import { codeOf } from './test-store.ts'
import { createUsage, type Usage, type UsageOptions } from './usage.ts'

let now: number
let batches: KeyUse[][]
let failing: number
let usage: Usage
/** What the store does before it answers. */
let meanwhile: () => void

const store: UsageOptions['store'] = {
  recordUses: async uses => {
    meanwhile()
    if (failing > 0) {
      failing -= 1
      throw new Failure('unavailable')
    }
    batches.push([...uses])
  },
}

beforeEach(() => {
  now = 1_000
  batches = []
  failing = 0
  meanwhile = () => undefined
  usage = createUsage({ store, clock: () => now })
})

const written = (): Map<string, number> => {
  const last = new Map<string, number>()
  for (const { id, at } of batches.flat()) last.set(id, Math.max(at, last.get(id) ?? 0))
  return last
}
const turns = async (count = 20): Promise<void> => {
  for (let index = 0; index < count; index += 1) await Bun.sleep(0)
}

describe('uses of keys', () => {
  test('are written when somebody says so and not before, each key once with its last time', async () => {
    usage.record('key_a')
    usage.record('key_b')
    now = 2_000
    usage.record('key_a')
    await turns()
    expect(batches).toEqual([])
    await usage.flush()
    expect(written()).toEqual(
      new Map([
        ['key_a', 2_000],
        ['key_b', 1_000],
      ]),
    )
    await usage.flush()
    expect(batches).toHaveLength(1)
  })

  test('go in transactions of 100 at most, with turns of the event loop between them', async () => {
    for (let index = 0; index < 250; index += 1) usage.record(`key_${index}`)
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

  test('that come while others are written are written the next time', async () => {
    usage.record('key_a')
    meanwhile = () => {
      now += 1
      usage.record('key_a')
      usage.record('key_b')
      meanwhile = () => undefined
    }
    await usage.flush()
    expect(batches).toEqual([[{ id: 'key_a', at: 1_000 }]])
    await usage.flush()
    expect(batches[1]?.toSorted((one, other) => (one.id < other.id ? -1 : 1))).toEqual([
      { id: 'key_a', at: 1_001 },
      { id: 'key_b', at: 1_001 },
    ])
  })

  test('that could not be written are kept, and the caller is told', async () => {
    for (let index = 0; index < 150; index += 1) usage.record(`key_${index}`)
    failing = 1
    expect(await codeOf(usage.flush())).toBe('unavailable')
    expect(batches).toEqual([])
    await usage.flush()
    expect(written().size).toBe(150)
  })

  test('who asks while others are written gets an answer that has every note until then', async () => {
    usage.record('key_a')
    const first = usage.flush()
    await Promise.resolve()
    usage.record('key_b')
    await Promise.all([usage.flush(), usage.flush(), usage.flush()])
    expect(written().has('key_b')).toBe(true)
    await first
    expect(batches.length).toBeLessThanOrEqual(2)
  })

  test('a flush that failed stands in the way of none after it', async () => {
    usage.record('key_a')
    failing = 1
    const [first, second] = await Promise.allSettled([usage.flush(), turns(2).then(() => usage.flush())])
    expect(first.status).toBe('rejected')
    expect(second.status).toBe('fulfilled')
    expect(written().get('key_a')).toBe(1_000)
  })
})

describe('a flood of keys', () => {
  test('is written early, by itself and in the background', async () => {
    usage = createUsage({ store, clock: () => now, maxEntries: 100 })
    for (let index = 0; index < 60; index += 1) usage.record(`key_${index}`)
    expect(batches).toEqual([])
    await turns()
    expect(written().size).toBe(60)
  })

  test('never takes more memory than allowed, also where nothing can be written: the oldest goes', async () => {
    usage = createUsage({ store, clock: () => now, maxEntries: 10 })
    failing = Number.POSITIVE_INFINITY
    for (let index = 0; index < 1_000; index += 1) usage.record(`key_${index}`)
    await turns()
    failing = 0
    await usage.flush()
    expect([...written().keys()]).toEqual(Array.from({ length: 10 }, (_, index) => `key_${990 + index}`))
  })
})

test('of any uses, flushes and failures, what is written at last is the last time of each key', async () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.nat(8).map(id => ({ kind: 'use' as const, id: `key_${id}` })) },
    { weight: 1, arbitrary: fc.constant({ kind: 'flush' as const, id: '' }) },
    { weight: 1, arbitrary: fc.constant({ kind: 'fail' as const, id: '' }) },
    { weight: 1, arbitrary: fc.constant({ kind: 'turn' as const, id: '' }) },
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async steps => {
      batches = []
      failing = 0
      usage = createUsage({ store, clock: () => now })
      const model = new Map<string, number>()
      const flushes: Promise<unknown>[] = []
      for (const { kind, id } of steps) {
        now += 1
        if (kind === 'use') {
          usage.record(id)
          model.set(id, now)
        }
        if (kind === 'flush') flushes.push(codeOf(usage.flush()))
        if (kind === 'fail') failing += 1
        if (kind === 'turn') await turns(1)
      }
      await Promise.all(flushes)
      failing = 0
      await usage.flush()
      expect(written()).toEqual(model)
    }),
    { numRuns: 100 },
  )
})

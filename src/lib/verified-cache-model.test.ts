import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { createVerifiedCache, type Validity } from './verified-cache.ts'

type Step =
  | { readonly kind: 'put'; readonly digest: string; readonly validity: Validity; readonly isOld: boolean }
  | { readonly kind: 'find'; readonly digest: string }
  | { readonly kind: 'evict'; readonly id: string }
  | { readonly kind: 'clear' }
  | { readonly kind: 'time'; readonly now: number }

const digest = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f')
const id = fc.constantFrom('key', 'owner', 'session', 'other')
const moment = fc.integer({ min: 0, max: 10 })
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('put'),
    digest,
    validity: fc.record({
      ids: fc.uniqueArray(id, { maxLength: 3 }),
      from: moment,
      until: fc.oneof(moment, fc.constant(Number.POSITIVE_INFINITY)),
    }),
    isOld: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('find'), digest }),
  fc.record({ kind: fc.constant('find'), digest }),
  fc.record({ kind: fc.constant('evict'), id }),
  fc.record({ kind: fc.constant('clear') }),
  fc.record({ kind: fc.constant('time'), now: moment }),
)

/**
 * Plays the steps on a cache and on a plain map beside it. Of what the map has, the cache may have forgotten something;
 * what the map does not have, the cache must not have either.
 */
const play = (
  steps: readonly Step[],
  maxEntries: number,
  expectFound: (found: object | null, kept: object | null) => void,
) => {
  const cache = createVerifiedCache<object>(maxEntries)
  const model = new Map<string, { readonly value: object; readonly validity: Validity }>()
  let now = 0
  let old = cache.generation()
  for (const one of steps) {
    if (one.kind === 'time') now = one.now
    else if (one.kind === 'clear') {
      cache.clear()
      model.clear()
    } else if (one.kind === 'evict') {
      cache.evict(one.id)
      for (const [name, { validity }] of model) if (validity.ids.includes(one.id)) model.delete(name)
    } else if (one.kind === 'put') {
      const value = {}
      const isCurrent = !one.isOld || old === cache.generation()
      cache.put(one.digest, value, one.validity, one.isOld ? old : cache.generation())
      if (isCurrent) model.set(one.digest, { value, validity: one.validity })
    } else {
      const kept = model.get(one.digest)
      const isValid = kept !== undefined && kept.validity.from <= now && now < kept.validity.until
      // What was found to hold no more is gone, also for a clock that is set back.
      if (!isValid) model.delete(one.digest)
      expectFound(cache.find(one.digest, now), isValid ? kept.value : null)
      old = cache.generation()
    }
    expect(cache.size).toBeLessThanOrEqual(maxEntries)
  }
}

test('a cache with room for everything has just what was put, is valid and was not evicted', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), steps =>
      play(steps, 100, (found, kept) => expect(found === kept).toBe(true)),
    ),
    { numRuns: 500 },
  )
})

test('a cache with too little room forgets, and never has what it should not', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 0, max: 4 }), (steps, maxEntries) =>
      play(steps, maxEntries, (found, kept) => {
        expect(found === null || found === kept).toBe(true)
      }),
    ),
    { numRuns: 500 },
  )
})

test('what is asked for again and again stays, whatever passes by once', () => {
  const cache = createVerifiedCache<string>(100)
  const validity = { ids: ['owner'], from: 0, until: Number.POSITIVE_INFINITY }
  cache.put('hot', 'hot', validity, cache.generation())
  for (let index = 0; index < 10_000; index += 1) {
    cache.put(`cold ${index}`, 'cold', validity, cache.generation())
    expect(cache.find('hot', 0)).toBe('hot')
  }
  expect(cache.size).toBe(100)
})

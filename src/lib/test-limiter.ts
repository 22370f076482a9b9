import fc from 'fast-check'
import type { NamedLimit } from './limiter.ts'

/** Admissions as one would count them by hand: every time there ever was, each looked at every time. */
export const createReference = () => {
  const admitted: number[] = []
  let last = Number.NEGATIVE_INFINITY

  const isFull = ({ limit, windowSeconds }: NamedLimit, now: number): boolean =>
    admitted.filter(time => time >= now - windowSeconds * 1_000).length >= limit

  return {
    admitted,
    take: (limits: readonly NamedLimit[], clock: number): boolean => {
      last = Math.max(last, clock)
      if (limits.some(limit => isFull(limit, last))) return false
      admitted.push(last)
      return true
    },
    giveBack: (): void => {
      admitted.pop()
    },
  }
}

/** The most of some times, oldest first, that any closed window of that length holds. */
export const mostWithin = (times: readonly number[], windowMilliseconds: number): number =>
  times.reduce(
    (most, end, index) =>
      Math.max(most, times.slice(0, index + 1).filter(time => time >= end - windowMilliseconds).length),
    0,
  )

const named = (limits: readonly (readonly [limit: number, windowSeconds: number])[]): NamedLimit[] =>
  limits.map(([limit, windowSeconds], index) => ({ name: `limit-${index}`, limit, windowSeconds }))

export const someLimits: fc.Arbitrary<NamedLimit[]> = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 4 })), {
    minLength: 1,
    maxLength: 3,
  })
  .map(named)

/** How far the clock goes to the next step: most often on, sometimes by just a window, sometimes not, sometimes back. */
export const someMilliseconds: fc.Arbitrary<number> = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 400 }) },
  { weight: 2, arbitrary: fc.constant(0) },
  { weight: 2, arbitrary: fc.constantFrom(999, 1_000, 1_001, 2_000, 2_001, 3_001, 4_000, 4_001) },
  { weight: 1, arbitrary: fc.integer({ min: -3_000, max: -1 }) },
)

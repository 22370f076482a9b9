/** The middle of what was measured, and how far it went to either side. */
export type Spread = { readonly median: number; readonly min: number; readonly max: number }

/** @throws RangeError for no values: there is no middle of nothing. */
export const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const upper = sorted[Math.floor(sorted.length / 2)]
  const lower = sorted[Math.ceil(sorted.length / 2) - 1]
  if (upper === undefined || lower === undefined)
    throw new RangeError('There is nothing to take the median of')
  return (lower + upper) / 2
}

/** Null where nothing was measured. */
export const spread = (values: readonly number[]): Spread | null =>
  values.length === 0 ? null : { median: median(values), min: Math.min(...values), max: Math.max(...values) }

/** One figure of one case in one round. */
export type Point = { readonly case: string; readonly round: number; readonly value: number }

/**
 * One case next to another, each round by itself: what else the machine did in a round it did to both. Rounds that
 * lack one of the two do not count.
 */
export const ratios = (points: readonly Point[], name: string, base: string): number[] =>
  points
    .filter(point => point.case === name)
    .flatMap(({ round, value }) => {
      const other = points.find(point => point.case === base && point.round === round)
      return other === undefined || other.value === 0 ? [] : [value / other.value]
    })

/** In an order by chance (Fisher-Yates). */
export const shuffle = <Value>(values: readonly Value[], random: () => number = Math.random): Value[] => {
  const shuffled = [...values]
  for (let last = shuffled.length - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1))
    const [a, b] = [shuffled[last], shuffled[other]]
    if (a !== undefined && b !== undefined) [shuffled[last], shuffled[other]] = [b, a]
  }
  return shuffled
}

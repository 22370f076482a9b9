/** Milliseconds of a clock that is never set. */
export type Elapsed = () => number

const resyncWindow = 10_000
const tellingWindow = 60_000
const firstPause = 100
const longestPause = 1_000

const pauseOf = (times: number): number =>
  times === 0 ? 0 : Math.min(longestPause, firstPause * 2 ** Math.min(times - 1, 10))

type Answer = { readonly isEmpty: boolean; readonly isStuck: boolean }

/**
 * How fast to go on where nothing is wrong with the answers, and yet each leads to the next at once. Each returns how
 * long to wait, in milliseconds.
 */
export const createPace = (elapsed: Elapsed) => {
  let vainAnswers = 0
  let resyncs = 0
  let resyncedAt = Number.NEGATIVE_INFINITY

  return {
    afterAnswer: (
      { isEmpty, isStuck }: Answer,
      waitMilliseconds: number,
      tookMilliseconds: number,
    ): number => {
      // Half the time is more than clocks that differ can explain.
      const isEarly = isEmpty && waitMilliseconds > 0 && tookMilliseconds < waitMilliseconds / 2
      vainAnswers = isStuck || isEarly ? vainAnswers + 1 : 0
      return pauseOf(vainAnswers)
    },
    /** Each time that everything is read anew is much work for `login`. */
    beforeResync: (): number => (elapsed() - resyncedAt < resyncWindow ? pauseOf(resyncs) : 0),
    resyncBegan: (): void => {
      const now = elapsed()
      resyncs = now - resyncedAt < resyncWindow ? resyncs + 1 : 1
      resyncedAt = now
    },
  }
}

/** Lets a thing of each name be told once a minute, and counts the others. */
export const createTelling = <Name extends string>(elapsed: Elapsed) => {
  const told = new Map<Name, { at: number; untold: number }>()
  return {
    /** @returns how many times it came since it was told last, this one included; null where it is not to be told now. */
    countOf: (name: Name): number | null => {
      const now = elapsed()
      const last = told.get(name)
      if (last !== undefined && now - last.at < tellingWindow) {
        last.untold += 1
        return null
      }
      told.set(name, { at: now, untold: 0 })
      return (last?.untold ?? 0) + 1
    },
  }
}

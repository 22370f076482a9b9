/**
 * Counts what somebody does too often, by whatever tells them apart: bounded in entries and in memory, without a timer.
 * To count and to ask are apart, so that several throttles can be asked before any of them counts.
 */
export type Throttle = {
  /** Milliseconds until one more may be counted under this name; 0 for at once. */
  wait(name: string, now: number): number
  count(name: string, now: number): void
  /** Names that are known. */
  readonly size: number
}

export type ThrottleOptions = {
  /** How much may be counted under a name in any window, 1 to 60,000. */
  readonly limit: number
  readonly windowMilliseconds: number
  readonly maxEntries?: number
}

/**
 * Time is counted in parts of a window. One more of them is kept than a window has, since it begins somewhere within
 * the oldest: so there is never more than the limit in any window, and whoever waits does so for one part too long at
 * most.
 */
const partsOfWindow = 12
const partsKept = partsOfWindow + 1

/** How many of those that are known are looked at for the one that has to make room. */
const candidates = 8

const mostCounted = 65_535

type Table = {
  readonly names: string[]
  /** For each entry how often in each part: a ring, where a part stands at its number modulo their count. */
  readonly counts: Uint16Array
  /** For each entry the number of its newest part, from the epoch on. */
  readonly newest: Float64Array
}

/**
 * Where there is no more room, the one goes of which least was counted among the next few in a circle. So a flood of new
 * names washes itself out, and whoever is over the limit stays known.
 */
export const createThrottle = ({
  limit,
  windowMilliseconds,
  maxEntries = 65_536,
}: ThrottleOptions): Throttle => {
  const partMilliseconds = windowMilliseconds / partsOfWindow
  const slots = new Map<string, number>()
  let made: Table | null = null
  let hand = 0

  /** Two megabytes with the default, for which most plugins never have any use. */
  const table = (): Table => {
    made ??= {
      names: [],
      counts: new Uint16Array(maxEntries * partsKept),
      newest: new Float64Array(maxEntries),
    }
    return made
  }

  const partAt = (now: number): number => Math.floor(now / partMilliseconds)
  /** The oldest part can lie before the epoch where a clock begins at it. */
  const placeOf = (slot: number, part: number): number => slot * partsKept + ((part + partsKept) % partsKept)

  const restart = (slot: number, part: number): void => {
    const { counts, newest } = table()
    counts.fill(0, slot * partsKept, (slot + 1) * partsKept)
    newest[slot] = part
  }

  /** Forgets what is too old by now, and answers with the newest part: that of a clock set back a little is kept. */
  const advance = (slot: number, part: number): number => {
    const { counts, newest } = table()
    const last = newest[slot] ?? 0
    // A clock that was set back by more than a window would keep an entry as it is until the clock is there again.
    if (Math.abs(part - last) >= partsKept) restart(slot, part)
    else {
      for (let next = last + 1; next <= part; next += 1) counts[placeOf(slot, next)] = 0
      newest[slot] = Math.max(last, part)
    }
    return newest[slot] ?? part
  }

  const totalOf = (slot: number): number => {
    const { counts } = table()
    let total = 0
    for (let index = slot * partsKept; index < (slot + 1) * partsKept; index += 1) total += counts[index] ?? 0
    return total
  }

  const findLeast = (part: number): number => {
    let found = hand
    let least = Number.POSITIVE_INFINITY
    for (let looked = 0; looked < Math.min(candidates, slots.size); looked += 1) {
      advance(hand, part)
      const total = totalOf(hand)
      if (total < least) {
        least = total
        found = hand
      }
      hand = (hand + 1) % slots.size
    }
    return found
  }

  const enter = (name: string, part: number): number => {
    const { names } = table()
    const slot = slots.size < maxEntries ? slots.size : findLeast(part)
    const replaced = names[slot]
    if (replaced !== undefined) slots.delete(replaced)
    names[slot] = name
    slots.set(name, slot)
    restart(slot, part)
    return slot
  }

  return {
    wait: (name, now) => {
      const slot = slots.get(name)
      if (slot === undefined) return 0
      const { counts } = table()
      const last = advance(slot, partAt(now))
      let left = totalOf(slot)
      if (left < limit) return 0
      let part = last - partsOfWindow
      while (part < last) {
        left -= counts[placeOf(slot, part)] ?? 0
        if (left < limit) break
        part += 1
      }
      return (part + partsKept) * partMilliseconds - now
    },

    count: (name, now) => {
      const part = partAt(now)
      const slot = slots.get(name) ?? enter(name, part)
      const { counts } = table()
      const place = placeOf(slot, advance(slot, part))
      counts[place] = Math.min((counts[place] ?? 0) + 1, mostCounted)
    },

    get size() {
      return slots.size
    },
  }
}

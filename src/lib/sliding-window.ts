/** At most `limit` admissions in any `windowMilliseconds`. */
export type WindowRule = { readonly limit: number; readonly windowMilliseconds: number }

/** Asked before a log takes more places for times, and told when it needs them no more. */
export type Room = {
  /** Whether there is room for so many more. */
  take(places: number): boolean
  release(places: number): void
}

/** The most that a rule may admit in its window, and so the most times that a log has to know. */
export const maxAdmissions = 10_000

const leastPlaces = 4
/** Up to here a log is too small for it to matter how much of it is in use. */
const smallPlaces = 16

const noTimes = new Float64Array(0)

/**
 * The times of what was admitted, newest last, as far back as its rules have to look. All rules look at the same times,
 * each as far back as it goes: of a request that all of them let in, all of them know.
 *
 * Exact, and the window is a closed one: what was admitted at `t` counts up to and including `t` + window, and the next
 * may come a millisecond later. A clock of whole milliseconds cuts off what is beyond them, so with less than that two
 * admissions could be closer together than they look; so they can not, by any clock.
 *
 * A clock that is set back stands still here until it has caught up: nothing is admitted that it would not have been
 * else.
 *
 * A class, as there may be one of them for each of a million keys, and what they do is the same.
 */
export class SlidingLog {
  /** What decides how far back times are kept. Whoever asks about another rule is told what is still known. */
  rules: readonly WindowRule[] = []
  /** A ring. */
  #times: Float64Array = noTimes
  #first = 0
  #count = 0
  /** The latest time that was judged by. */
  #now: number

  constructor(now = Number.NEGATIVE_INFINITY) {
    this.#now = now
  }

  /** Places for times that it has taken. */
  get places(): number {
    return this.#times.length
  }

  /** Times that are kept, those included that count no more. */
  get size(): number {
    return this.#count
  }

  /** The time to judge by, when the clock says `now`. */
  timeAt(now: number): number {
    if (now > this.#now) this.#now = now
    return this.#now
  }

  /** The time at a position: 0 is the oldest that is kept. */
  #at(position: number): number {
    let place = this.#first + position
    if (place >= this.#times.length) place -= this.#times.length
    return this.#times[place] ?? 0
  }

  /** Whether a rule lets nothing in at a time, which is one of {@link timeAt}. */
  isFull({ limit, windowMilliseconds }: WindowRule, now: number): boolean {
    return this.#count >= limit && this.#at(this.#count - limit) + windowMilliseconds >= now
  }

  /** Whether the oldest time matters to no rule any more, once one more has come. */
  #isOldestOver(now: number): boolean {
    const oldest = this.#at(0)
    for (const { limit, windowMilliseconds } of this.rules) {
      if (this.#count < limit && oldest + windowMilliseconds >= now) return false
    }
    return true
  }

  #resize(places: number, from: number): void {
    const count = this.#count - from
    const times = places === 0 ? noTimes : new Float64Array(places)
    for (let position = 0; position < count; position += 1) times[position] = this.#at(from + position)
    this.#times = times
    this.#first = 0
    this.#count = count
  }

  #grow(room: Room): boolean {
    const most = this.rules.reduce((limit, rule) => Math.max(limit, rule.limit), 0)
    const more = Math.min(Math.max(this.#times.length * 2, leastPlaces), most) - this.#times.length
    if (!room.take(more)) return false
    // To make room, others may have become smaller, and this one too.
    this.#resize(this.#times.length + more, 0)
    return true
  }

  /**
   * Notes an admission at a time of {@link timeAt}.
   *
   * @returns whether there was room for it.
   */
  add(now: number, room: Room): boolean {
    if (this.rules.length === 0) return true
    if (this.#count === this.#times.length) {
      if (this.#count > 0 && this.#isOldestOver(now)) {
        this.#first = this.#first + 1 === this.#times.length ? 0 : this.#first + 1
        this.#count -= 1
      } else if (!this.#grow(room)) {
        return false
      }
    }
    let place = this.#first + this.#count
    if (place >= this.#times.length) place -= this.#times.length
    this.#times[place] = now
    this.#count += 1
    return true
  }

  /** Takes back the latest admission. What was dropped to make room for it counted no more at that time. */
  removeLatest(): void {
    if (this.#count > 0) this.#count -= 1
  }

  /** The position of the first time that still counts under a rule. */
  #firstCounting({ limit, windowMilliseconds }: WindowRule, now: number): number {
    let low = Math.max(0, this.#count - limit)
    let high = this.#count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#at(middle) + windowMilliseconds >= now) high = middle
      else low = middle + 1
    }
    return low
  }

  /** How many count under a rule, at most as many as it admits. */
  countingUnder(rule: WindowRule, now: number): number {
    return this.#count - this.#firstCounting(rule, now)
  }

  /** Milliseconds until a rule has one admission more to give than now; 0 when it has all of them. */
  untilNextFree(rule: WindowRule, now: number): number {
    const position = this.#firstCounting(rule, now)
    return position === this.#count ? 0 : this.#at(position) + rule.windowMilliseconds + 1 - now
  }

  #firstNeeded(now: number): number {
    let first = this.#count
    for (const rule of this.rules) first = Math.min(first, this.#firstCounting(rule, now))
    return first
  }

  /** Drops what counts no more, and gives back places where three quarters of them are of no use. */
  trim(now: number, room: Room): void {
    const first = this.#firstNeeded(now)
    const needed = this.#count - first
    if (needed > 0 && (this.#times.length <= smallPlaces || needed * 4 > this.#times.length)) return
    const places = needed === 0 ? 0 : Math.max(needed * 2, leastPlaces)
    room.release(this.#times.length - places)
    this.#resize(places, first)
  }

  /** What still counts, oldest first. */
  counting(now: number): Float64Array {
    const first = this.#firstNeeded(now)
    return Float64Array.from({ length: this.#count - first }, (_, index) => this.#at(first + index))
  }

  /** The first time at which nothing of what is kept now counts any more; `-Infinity` when nothing is kept. */
  overAt(): number {
    if (this.#count === 0) return Number.NEGATIVE_INFINITY
    const longest = this.rules.reduce((most, rule) => Math.max(most, rule.windowMilliseconds), 0)
    return this.#at(this.#count - 1) + longest + 1
  }

  /**
   * Puts other times in the place of those that are kept.
   *
   * @param times oldest first, none later than now
   * @returns whether there was room for them; if not, all is as before.
   */
  replace(times: readonly number[], room: Room): boolean {
    const more = times.length - this.#times.length
    if (more > 0 && !room.take(more)) return false
    if (more < 0) room.release(-more)
    this.#times = Float64Array.from(times)
    this.#first = 0
    this.#count = times.length
    return true
  }
}

import type { Clock } from './clock.ts'
import type { Room, SlidingLog, WindowRule } from './sliding-window.ts'

/** At most `limit` requests in any `windowSeconds`, 10,000 at most. */
export type NamedLimit = { readonly name: string; readonly limit: number; readonly windowSeconds: number }

export type LimitStatus = NamedLimit & {
  /** How many it would let in now. */
  readonly remaining: number
  /** Whole seconds after which it has one more to give, rounded up; 0 when it has all. */
  readonly resetSeconds: number
}

/** Several limits, all of which a request has to keep. */
export type Windows = {
  /** The same array for as long as the limits are the same. */
  readonly limits: readonly NamedLimit[]
  /** Counts a request under all limits when all let it in, and under none otherwise. */
  take(): boolean
  /** Undoes the latest `take`, when it returned true: within the same synchronous step, and once. */
  giveBack(): void
  /**
   * Undoes so many of the takes that returned true, the latest, when what they were all for has failed: within the same
   * synchronous step, and without those that were given back already.
   */
  rollBack(takes: number): void
  status(): LimitStatus[]
  /** Whole seconds after which no limit is full any more, as far as nothing else comes in between: 1 at least. */
  retryAfterSeconds(): number
}

/** Limits that are no more. What they kept is kept, so that a limit can not be emptied by changing it there and back. */
type Former = WindowRule & {
  /** From then on nothing of it counts. */
  readonly until: number
}

/** All that is known of an id: what was admitted, and who has to keep to it. */
export type Shared = {
  readonly id: string
  readonly log: SlidingLog
  readonly members: Member[]
  former: Former | null
  /** Whether the limiter itself holds on to it. If not, whoever has windows of it does. */
  isKept: boolean
  /** Whether the latest admission may still be taken back. */
  isFresh: boolean
}

export type Site = {
  readonly clock: Clock
  readonly room: Room
  keep(shared: Shared): void
  overflowed(): void
}

export const toRule = ({ limit, windowSeconds }: NamedLimit): WindowRule => ({
  limit,
  windowMilliseconds: windowSeconds * 1_000,
})

export const isSame = (one: readonly NamedLimit[], other: readonly NamedLimit[]): boolean =>
  one === other ||
  (one.length === other.length &&
    one.every(({ name, limit, windowSeconds }, index) => {
      const its = other[index]
      return its?.name === name && its.limit === limit && its.windowSeconds === windowSeconds
    }))

export const setRules = ({ log, members, former }: Shared): void => {
  const rules = members.flatMap(member => member.rules)
  log.rules = former === null ? rules : [...rules, former]
}

/** Has what was admitted kept as these rules would, until nothing of it counts under them. */
export const keepFormer = (shared: Shared, rules: readonly WindowRule[], until: number): void => {
  const all = shared.former === null ? rules : [...rules, shared.former]
  shared.former = {
    limit: Math.max(...all.map(({ limit }) => limit)),
    windowMilliseconds: Math.max(...all.map(({ windowMilliseconds }) => windowMilliseconds)),
    until: Math.max(until, shared.former?.until ?? until),
  }
}

/** Has the limits kept that a member had until now. */
export const retire = (shared: Shared, rules: readonly WindowRule[]): void => {
  if (shared.log.size > 0 && rules.length > 0) keepFormer(shared, rules, shared.log.overAt())
}

const toSeconds = (milliseconds: number): number => Math.ceil(milliseconds / 1_000)

/** A class, as there may be one of them for each of a million keys. */
export class Member implements Windows {
  readonly name: string
  limits: readonly NamedLimit[]
  rules: readonly WindowRule[]
  readonly #shared: Shared
  readonly #site: Site

  constructor(name: string, limits: readonly NamedLimit[], shared: Shared, site: Site) {
    this.name = name
    this.limits = limits
    this.rules = limits.map(toRule)
    this.#shared = shared
    this.#site = site
  }

  take(): boolean {
    const shared = this.#shared
    const { log } = shared
    shared.isFresh = false
    if (log.rules.length === 0) return true
    const now = log.timeAt(this.#site.clock())
    for (const rule of this.rules) if (log.isFull(rule, now)) return false
    if (!log.add(now, this.#site.room)) {
      this.#site.overflowed()
      return false
    }
    shared.isFresh = true
    if (!shared.isKept) this.#site.keep(shared)
    return true
  }

  giveBack(): void {
    if (!this.#shared.isFresh) return
    this.#shared.isFresh = false
    this.#shared.log.removeLatest()
  }

  rollBack(takes: number): void {
    const { log } = this.#shared
    this.#shared.isFresh = false
    // Nothing was counted without limits.
    if (log.rules.length > 0) for (let count = 0; count < takes; count += 1) log.removeLatest()
  }

  status(): LimitStatus[] {
    const { log } = this.#shared
    const now = log.timeAt(this.#site.clock())
    return this.limits.map(limit => {
      const rule = toRule(limit)
      return {
        name: limit.name,
        limit: limit.limit,
        windowSeconds: limit.windowSeconds,
        remaining: limit.limit - log.countingUnder(rule, now),
        resetSeconds: toSeconds(log.untilNextFree(rule, now)),
      }
    })
  }

  retryAfterSeconds(): number {
    const { log } = this.#shared
    const now = log.timeAt(this.#site.clock())
    return this.rules
      .filter(rule => log.isFull(rule, now))
      .reduce((longest, rule) => Math.max(longest, toSeconds(log.untilNextFree(rule, now))), 1)
  }
}

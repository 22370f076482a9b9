import { decodeTimes, encodeTimes, mergeTimes } from './admission-times.ts'
import type { Clock } from './clock.ts'
import { type Room, SlidingLog, type WindowRule } from './sliding-window.ts'

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
  status(): LimitStatus[]
  /** Whole seconds after which no limit is full any more, as far as nothing else comes in between: 1 at least. */
  retryAfterSeconds(): number
}

/** What was admitted for one id, to be kept over a restart. */
export type WindowRow = {
  readonly id: string
  readonly admitted: Uint8Array
  /** Milliseconds since the epoch: from then on nothing of it counts. */
  readonly expiresAt: number
}

export type Limiter = {
  /**
   * The windows of an id. All that were asked for by the same id count together, whatever their limits. By the same
   * `member` too they are the same object, and other limits take the place of those that it had: for everybody who
   * holds it, and with what was admitted before. Members are keys of one line, say, whose limits may differ; each keeps
   * to its own.
   */
  windowsOf(id: string, limits: readonly NamedLimit[], member?: string): Windows
  /** Lets go of ids of which nothing counts any more: looks at so many, and goes on from there the next time. */
  sweep(most: number): void
  /** All that counts now. What will count for longest comes first. */
  snapshot(): WindowRow[]
  /**
   * Counts what was admitted before, as well. Rows of the same id add up. What can't be read is left out, and what there
   * is no room for.
   *
   * @returns how many ids were left out for one of these reasons.
   */
  restore(rows: Iterable<WindowRow>): number
  /** Requests that were refused since there was no room to count them, since the start. */
  overflows(): number
  /** Ids of which something may count. */
  readonly size: number
  /** Places for times that are taken. */
  readonly entries: number
}

export type LimiterOptions = {
  /** Whole milliseconds. Best one that only goes forward: one that is set back stands still until it caught up. */
  readonly clock: Clock
  /** Places for times of admissions, of 8 bytes each: 8,000,000 by default. Without one nothing is admitted. */
  readonly maxEntries?: number
}

const longestWindow = 2_592_000_000

/** Ids that are looked at whenever one is added, so that more go than come; and when there is no room. */
const sweptAlong = 2
const sweptForRoom = 200

/** Members of an id that are known by name. Of more the first is not found again; what it holds counts as before. */
const mostMembers = 16

/** Limits that are no more. What they kept is kept, so that a limit can not be emptied by changing it there and back. */
type Former = WindowRule & {
  /** From then on nothing of it counts. */
  readonly until: number
}

/** All that is known of an id: what was admitted, and who has to keep to it. */
type Shared = {
  readonly id: string
  readonly log: SlidingLog
  readonly members: Member[]
  former: Former | null
  /** Whether the limiter itself holds on to it. If not, whoever has windows of it does. */
  isKept: boolean
  /** Whether the latest admission may still be taken back. */
  isFresh: boolean
}

type Site = {
  readonly clock: Clock
  readonly room: Room
  keep(shared: Shared): void
  overflowed(): void
}

const toRule = ({ limit, windowSeconds }: NamedLimit): WindowRule => ({
  limit,
  windowMilliseconds: windowSeconds * 1_000,
})

const isSame = (one: readonly NamedLimit[], other: readonly NamedLimit[]): boolean =>
  one === other ||
  (one.length === other.length &&
    one.every(({ name, limit, windowSeconds }, index) => {
      const its = other[index]
      return its?.name === name && its.limit === limit && its.windowSeconds === windowSeconds
    }))

const setRules = ({ log, members, former }: Shared): void => {
  const rules = members.flatMap(member => member.rules)
  log.rules = former === null ? rules : [...rules, former]
}

/** Has what was admitted kept as these rules would, until nothing of it counts under them. */
const keepFormer = (shared: Shared, rules: readonly WindowRule[], until: number): void => {
  const all = shared.former === null ? rules : [...rules, shared.former]
  shared.former = {
    limit: Math.max(...all.map(({ limit }) => limit)),
    windowMilliseconds: Math.max(...all.map(({ windowMilliseconds }) => windowMilliseconds)),
    until: Math.max(until, shared.former?.until ?? until),
  }
}

/** Has the limits kept that a member had until now. */
const retire = (shared: Shared, rules: readonly WindowRule[]): void => {
  if (shared.log.size > 0 && rules.length > 0) keepFormer(shared, rules, shared.log.overAt())
}

const toSeconds = (milliseconds: number): number => Math.ceil(milliseconds / 1_000)

/** A class, as there may be one of them for each of a million keys. */
class Member implements Windows {
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

/**
 * Counts requests under named limits: exactly, in memory, and in this process alone. It sets no timer; what is over goes
 * when others come, or by {@link Limiter.sweep}.
 */
export const createLimiter = ({ clock, maxEntries = 8_000_000 }: LimiterOptions): Limiter => {
  /**
   * One of which something may count is held on to. One of which nothing does is found as long as somebody else holds
   * it: would an id have two of them, they would count apart.
   */
  const known = new Map<string, Shared | WeakRef<Shared>>()
  let hand = known.entries()
  let kept = 0
  let entries = 0
  let overflows = 0
  /** The latest time by which anything was forgotten. To an earlier one no new log goes back. */
  let sweptAt = Number.NEGATIVE_INFINITY

  const release = (places: number): void => {
    entries -= places
  }

  const visit = (id: string, found: Shared | WeakRef<Shared>): void => {
    if (found instanceof WeakRef) {
      if (found.deref() === undefined) known.delete(id)
      return
    }
    const now = found.log.timeAt(clock())
    sweptAt = Math.max(sweptAt, now)
    if (found.former !== null && found.former.until <= now) {
      found.former = null
      setRules(found)
    }
    found.log.trim(now, room)
    if (found.log.size > 0) return
    found.isKept = false
    kept -= 1
    known.set(id, new WeakRef(found))
  }

  const sweep = (most: number): void => {
    for (let count = Math.min(most, known.size); count > 0; count -= 1) {
      let next = hand.next()
      if (next.done === true) {
        hand = known.entries()
        next = hand.next()
      }
      if (next.done !== true) visit(...next.value)
    }
  }

  const hasRoom = (places: number): boolean => entries + places <= maxEntries
  const room: Room = {
    take: places => {
      if (!hasRoom(places)) sweep(sweptForRoom)
      if (!hasRoom(places)) return false
      entries += places
      return true
    },
    release,
  }

  const site: Site = {
    clock,
    room,
    keep: shared => {
      shared.isKept = true
      kept += 1
      known.set(shared.id, shared)
    },
    overflowed: () => {
      overflows += 1
    },
  }

  const find = (id: string): Shared | undefined => {
    const found = known.get(id)
    return found instanceof WeakRef ? found.deref() : found
  }

  const begin = (id: string): Shared => {
    sweep(sweptAlong)
    const shared: Shared = {
      id,
      log: new SlidingLog(sweptAt),
      members: [],
      former: null,
      isKept: false,
      isFresh: false,
    }
    known.set(id, new WeakRef(shared))
    return shared
  }

  return {
    windowsOf: (id, limits, name = id) => {
      const shared = find(id) ?? begin(id)
      const member = shared.members.find(one => one.name === name)
      if (member !== undefined) {
        if (isSame(member.limits, limits)) return member
        retire(shared, member.rules)
        member.limits = limits
        member.rules = limits.map(toRule)
        setRules(shared)
        return member
      }
      if (shared.members.length === mostMembers) retire(shared, shared.members.shift()?.rules ?? [])
      const made = new Member(name, limits, shared, site)
      shared.members.push(made)
      setRules(shared)
      return made
    },

    sweep,

    snapshot: () => {
      const rows: WindowRow[] = []
      for (const found of known.values()) {
        if (found instanceof WeakRef) continue
        const { id, log } = found
        const now = log.timeAt(clock())
        const times = log.counting(now)
        if (times.length > 0) rows.push({ id, admitted: encodeTimes(times), expiresAt: log.overAt() })
      }
      return rows.sort((one, other) => other.expiresAt - one.expiresAt)
    },

    restore: rows => {
      let lost = 0
      const byId = new Map<string, { times: (readonly number[])[]; expiresAt: number }>()
      for (const { id, admitted, expiresAt } of rows) {
        const times = decodeTimes(admitted)
        if (times === null || !Number.isFinite(expiresAt)) {
          lost += 1
          continue
        }
        const found = byId.get(id)
        if (found === undefined) byId.set(id, { times: [times], expiresAt })
        else {
          found.times.push(times)
          found.expiresAt = Math.max(found.expiresAt, expiresAt)
        }
      }
      for (const [id, { times, expiresAt }] of byId) {
        const shared = find(id) ?? begin(id)
        const { log } = shared
        const now = log.timeAt(clock())
        // The clock was set back meanwhile, or the row is damaged: nothing was admitted later than now.
        const merged = mergeTimes([...times, [...log.counting(now)]]).map(time => Math.min(time, now))
        const newest = merged.at(-1)
        if (newest === undefined || expiresAt <= now) continue
        const rule = {
          limit: merged.length,
          windowMilliseconds: Math.min(Math.max(expiresAt - 1 - newest, 0), longestWindow),
        }
        if (!log.replace(merged, room)) {
          lost += 1
          continue
        }
        keepFormer(shared, [rule], expiresAt)
        setRules(shared)
        if (!shared.isKept) site.keep(shared)
      }
      return lost
    },

    overflows: () => overflows,
    get size() {
      return kept
    },
    get entries() {
      return entries
    },
  }
}

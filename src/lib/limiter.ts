import { decodeTimes, encodeTimes, mergeTimes } from './admission-times.ts'
import type { Clock } from './clock.ts'
import {
  isSame,
  keepFormer,
  Member,
  type NamedLimit,
  retire,
  type Shared,
  type Site,
  setRules,
  toRule,
  type Windows,
} from './named-windows.ts'
import { type Room, SlidingLog } from './sliding-window.ts'

export type { LimitStatus, NamedLimit, Windows } from './named-windows.ts'

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
  /** The clock by which rows are written and read, where it is another: one that the next process shares. */
  readonly calendar?: Clock
  /** Places for times of admissions, of 8 bytes each: 8,000,000 by default. Without one nothing is admitted. */
  readonly maxEntries?: number
}

const longestWindow = 2_592_000_000

/** Ids that are looked at whenever one is added, so that more go than come; and when there is no room. */
const sweptAlong = 2
const sweptForRoom = 200

/** Members of an id that are known by name. Of more the first is not found again; what it holds counts as before. */
const mostMembers = 16

/**
 * Counts requests under named limits: exactly, in memory, and in this process alone. It sets no timer; what is over goes
 * when others come, or by {@link Limiter.sweep}.
 */
export const createLimiter = ({ clock, calendar, maxEntries = 8_000_000 }: LimiterOptions): Limiter => {
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

  /** What the calendar is ahead by. Each of the two may cut off a millisecond. */
  const ahead = (): number => (calendar === undefined ? 0 : calendar() - clock())
  const slack = calendar === undefined ? 0 : 1

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
      const found = find(id)
      if (found === undefined) sweep(sweptAlong)
      const shared = found ?? begin(id)
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
      const later = ahead() + slack
      for (const found of known.values()) {
        if (found instanceof WeakRef) continue
        const { id, log } = found
        const now = log.timeAt(clock())
        const times = log.counting(now)
        if (times.length === 0) continue
        const admitted = encodeTimes(times.map(time => time + later))
        rows.push({ id, admitted, expiresAt: log.overAt() + later })
      }
      return rows.sort((one, other) => other.expiresAt - one.expiresAt)
    },

    restore: rows => {
      let lost = 0
      const later = slack - ahead()
      const byId = new Map<string, { times: (readonly number[])[]; expiresAt: number }>()
      for (const { id, admitted, expiresAt: end } of rows) {
        const times = decodeTimes(admitted)?.map(time => time + later)
        const expiresAt = end + later
        if (times === undefined || !Number.isFinite(expiresAt)) {
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

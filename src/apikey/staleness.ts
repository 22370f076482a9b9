import type { Clock } from '../lib/clock.ts'
import { clockLeewaySeconds } from '../lib/jwt/verifier.ts'

/** What happens while `login` has not been heard for longer than allowed: go on, or refuse everybody. */
export type StaleMode = 'allow' | 'deny'

/** How long ago everything that `login` had acknowledged was known here. */
export type Staleness = {
  /** Everything up to this time (milliseconds since the epoch) is known. */
  heard(at: number): void
  /** What an earlier process wrote down. A time that is yet to come counts as never: some clock was wrong. */
  restore(heardAt: number | null): void
  /** Whether this process itself has heard anything. */
  hasHeard(): boolean
  /** Null for never. */
  lagSeconds(): number | null
  isStale(): boolean
}

export type StalenessOptions = {
  readonly maxStalenessSeconds: number
  readonly clock: Clock
  /** Milliseconds that no setting of a clock changes. */
  readonly monotonic?: () => number
}

/**
 * Measured by two clocks, of which the one counts that says more: the one of the day can be set back, the other one
 * stands still while the machine sleeps.
 */
export const createStaleness = ({
  maxStalenessSeconds,
  clock,
  monotonic = () => performance.now(),
}: StalenessOptions): Staleness => {
  let at = Number.NEGATIVE_INFINITY
  let mark = Number.NEGATIVE_INFINITY
  let hasHeard = false

  const lag = (): number => Math.max(0, clock() - at, monotonic() - mark)
  const note = (time: number): void => {
    const now = clock()
    at = Math.min(time, now)
    mark = monotonic() - (now - at)
  }

  return {
    heard: time => {
      hasHeard = true
      note(time)
    },
    restore: heardAt => {
      if (heardAt !== null && heardAt <= clock() + clockLeewaySeconds * 1_000) note(heardAt)
    },
    hasHeard: () => hasHeard,
    lagSeconds: () => (at === Number.NEGATIVE_INFINITY ? null : lag() / 1_000),
    isStale: () => lag() > maxStalenessSeconds * 1_000,
  }
}

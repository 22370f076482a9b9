import type { Database } from 'bun:sqlite'
import { type Clock, steadyClock, systemClock } from '../lib/clock.ts'
import { createLimiter, type Limiter } from '../lib/limiter.ts'
import type { FeedLog } from './feed-log.ts'
import { createWindowStore } from './window-store.ts'

export type CarriedWindowsOptions = {
  readonly database: Database
  /** By default one that nobody can set while the process runs. */
  readonly clock?: Clock | undefined
  readonly log: FeedLog
}

/** A limiter that goes on where the processes before this one stopped. */
export const openLimiter = ({ database, clock, log }: CarriedWindowsOptions): Limiter => {
  // A host that names the clock of the machine means no other than the default.
  const isSystem = clock === undefined || clock === systemClock
  const limiter = createLimiter(isSystem ? { clock: steadyClock, calendar: systemClock } : { clock })
  const rows = createWindowStore({ database }).takeAll((clock ?? systemClock)())
  const lost = limiter.restore(rows)
  if (lost > 0) log.warn({ lost }, 'what was admitted under the limits of some keys could not be read')
  return limiter
}

/**
 * Leaves what was admitted to the process that starts next.
 *
 * @throws Failure `unavailable` when another process holds the file for too long.
 */
export const carryOver = async (
  limiter: Limiter,
  { database, log }: Pick<CarriedWindowsOptions, 'database' | 'log'>,
): Promise<void> => {
  const rows = limiter.snapshot()
  const written = await createWindowStore({ database }).write(rows)
  if (written < rows.length) {
    log.warn({ lost: rows.length - written }, 'there was no time to write what some keys were admitted')
  }
}

import { isoTime } from '../lib/clock.ts'

/** The last moment that ISO 8601 writes with a year of four digits, milliseconds since the epoch. */
const lastTime = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

/**
 * A time as followers read it. One that no calendar has becomes the nearest that there is: a single row that somebody
 * wrote by hand, say, must not keep all that comes after it from being told.
 */
export const feedTime = (milliseconds: number): string =>
  isoTime(Math.min(Math.max(milliseconds, 0), lastTime))

export const feedTimeOrNull = (milliseconds: number | null): string | null =>
  milliseconds === null ? null : feedTime(milliseconds)

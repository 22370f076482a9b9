/** Milliseconds since the Unix epoch. Injected wherever time decides, so that tests can move it. */
export type Clock = () => number

export const systemClock: Clock = () => Date.now()

/** ISO 8601 in UTC, the only form in which times leave a service. */
export const isoTime = (milliseconds: number): string => new Date(milliseconds).toISOString()

export const isoTimeOrNull = (milliseconds: number | null): string | null =>
  milliseconds === null ? null : isoTime(milliseconds)

/** As the system's clock said when the process began, and what has passed since then: setting that clock is not felt. */
export const steadyClock: Clock = () => Math.floor(performance.timeOrigin + performance.now())

/** Milliseconds since the epoch with their fractions: one clock for every process of a machine. */
export const now = (): number => performance.timeOrigin + performance.now()

import { maxAdmissions } from './sliding-window.ts'

/** The form in which times are written, so that another one can be told from it. */
const version = 1

/** LEB128, of whole numbers up to 2^53. */
const pushNumber = (bytes: number[], value: number): void => {
  let rest = value
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80)
    rest = Math.floor(rest / 0x80)
  }
  bytes.push(rest)
}

/**
 * Writes times of admissions, whole milliseconds since the epoch and oldest first, as their distances from one another:
 * a byte or two each where they are close together.
 */
export const encodeTimes = (times: ArrayLike<number>): Uint8Array => {
  const bytes = [version]
  let before = 0
  for (let index = 0; index < times.length; index += 1) {
    const time = times[index] ?? before
    pushNumber(bytes, time - before)
    before = time
  }
  return Uint8Array.from(bytes)
}

/**
 * Reads what {@link encodeTimes} wrote, oldest first.
 *
 * @returns null for anything else.
 */
export const decodeTimes = (bytes: Uint8Array): number[] | null => {
  if (bytes[0] !== version) return null
  const times: number[] = []
  let time = 0
  let step = 0
  let scale = 1
  for (const byte of bytes.subarray(1)) {
    step += (byte & 0x7f) * scale
    if (!Number.isSafeInteger(time + step)) return null
    if (byte >= 0x80) {
      scale *= 0x80
      // No whole number that is safe has more than eight bytes.
      if (scale > 2 ** 49) return null
      continue
    }
    time += step
    times.push(time)
    if (times.length > maxAdmissions) return null
    step = 0
    scale = 1
  }
  return scale === 1 ? times : null
}

/** Puts lists of times together, oldest first: the newest of them, and no more than a log may have to know. */
export const mergeTimes = (lists: readonly (readonly number[])[]): number[] =>
  lists
    .flat()
    .sort((a, b) => a - b)
    .slice(-maxAdmissions)

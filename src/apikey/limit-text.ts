import type { KeyLimit } from './key-record.ts'

/** The longest first, so that a window is spelled by the fewest digits. */
const units = [
  ['d', 86_400],
  ['h', 3_600],
  ['m', 60],
  ['s', 1],
] as const

/** How people write a limit: `minute=100/60s`. */
export const formatLimit = ({ name, limit, windowSeconds }: KeyLimit): string => {
  const [unit, seconds] = units.find(([, length]) => windowSeconds % length === 0) ?? ['s', 1]
  return `${name}=${limit}/${windowSeconds / seconds}${unit}`
}

/** Reads what {@link formatLimit} writes, in any unit; null for anything else. Whether it may be is not looked at. */
export const parseLimit = (text: string): KeyLimit | null => {
  const [, name, limit, count, letter] = /^([^=]{1,64})=(\d{1,9})\/(\d{1,9})([smhd])$/.exec(text) ?? []
  const [, seconds] = units.find(([unit]) => unit === letter) ?? []
  if (name === undefined || seconds === undefined) return null
  return { name, limit: Number(limit), windowSeconds: Number(count) * seconds }
}

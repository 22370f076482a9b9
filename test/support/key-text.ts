import { randomBytes } from 'node:crypto'

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** The checksum as the README has it: CRC-32 in six digits of base 62. */
const checksum = (text: string): string => {
  let digits = ''
  for (let rest = Bun.hash.crc32(text); digits.length < 6; rest = Math.floor(rest / 62)) {
    digits = alphabet.charAt(rest % 62) + digits
  }
  return digits
}

const randomText = (length: number): string =>
  [...randomBytes(length)].map(byte => alphabet.charAt(byte % 62)).join('')

/** Another key with the id of this one: well-formed, and of the wrong secret. */
export const withOtherSecret = (key: string): string => {
  const text = key.slice(0, 'lk_'.length + 16) + randomText(43)
  return text + checksum(text)
}

/** A well-formed key that nobody made. */
export const unknownKey = (prefix = 'lk'): string => {
  const text = `${prefix}_${randomText(16 + 43)}`
  return text + checksum(text)
}

/**
 * The text of an API key: `<prefix>_<id><secret><checksum>`.
 *
 * After the prefix stand 65 base62 characters without a separator, so that a double click selects a whole key:
 * id 16, secret 43 (256 bits), and a CRC-32 of everything before it, 6. The checksum is no protection; it turns
 * typos and garbage away before any hash or database is asked, and lets scanners be sure of what they found.
 */

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const idLength = 16
const secretLength = 43
const checksumLength = 6

/** What a service may choose as prefix; it also tells environments apart (`lk_test`). */
export const prefixPattern = /^[a-z][a-z0-9_]{0,15}$/

/** Matches our keys and nothing else; for secret scanners it goes between word boundaries. */
export const keyPattern = /^([a-z][a-z0-9_]{0,15})_([0-9A-Za-z]{65})$/

export const longestPrefix = 16

/** Characters of the shortest and the longest key there are: by their prefix. */
export const shortestKey = 1 + 1 + idLength + secretLength + checksumLength
export const longestKey = longestPrefix + 1 + idLength + secretLength + checksumLength

export type KeyParts = { readonly prefix: string; readonly id: string; readonly secret: string }

/** Uniform characters from the CSPRNG: bytes that would favour some are thrown away. */
const randomText = (length: number): string => {
  let text = ''
  while (text.length < length) {
    for (const byte of crypto.getRandomValues(new Uint8Array(length * 2))) {
      if (byte < 248 && text.length < length) text += alphabet.charAt(byte % 62)
    }
  }
  return text
}

/** CRC-32 (ISO-HDLC) of ASCII text in six base62 digits, with leading zeros. */
export const checksum = (text: string): string => {
  let rest = Bun.hash.crc32(text)
  let digits = ''
  for (let index = 0; index < checksumLength; index += 1) {
    digits = alphabet.charAt(rest % 62) + digits
    rest = Math.floor(rest / 62)
  }
  return digits
}

/** Writes the parts of a key as the text that is shown once. */
export const formatKey = ({ prefix, id, secret }: KeyParts): string => {
  const text = `${prefix}_${id}${secret}`
  return text + checksum(text)
}

/** A new random key. */
export const generateKey = (prefix: string): KeyParts => ({
  prefix,
  id: randomText(idLength),
  secret: randomText(secretLength),
})

/** The parts of a key, or null for anything that {@link formatKey} did not write. */
export const parseKey = (text: string): KeyParts | null => {
  const match = keyPattern.exec(text)
  const [, prefix, random] = match ?? []
  if (prefix === undefined || random === undefined) return null
  if (checksum(text.slice(0, -checksumLength)) !== text.slice(-checksumLength)) return null
  return { prefix, id: random.slice(0, idLength), secret: random.slice(idLength, idLength + secretLength) }
}

/** The public name of a key, made from the id in its text. */
export const publicId = (id: string): string => `key_${id}`

/** How a key begins, for lists: enough to recognise it by, nothing of the secret. */
export const startOf = ({ prefix, id }: KeyParts): string => `${prefix}_${id.slice(0, 4)}`

/** Whether a text is meant to be a key of this prefix, well-formed or not. */
export const looksLikeKey = (text: string, prefix: string): boolean => text.startsWith(`${prefix}_`)

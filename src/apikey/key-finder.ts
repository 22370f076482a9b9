import { longestPrefix, parseKey } from './token.ts'

/** A key in a stream of bytes. Lines and columns count from 1, columns in bytes, as compilers do. */
export type FoundKey = { readonly text: string; readonly line: number; readonly column: number }

export type KeyFinder = {
  /** Takes the next bytes, which may be used again afterwards, and tells which keys are whole now. */
  push(chunk: Uint8Array): FoundKey[]
}

const underscore = 0x5f
const newline = 0x0a
/** Characters after the `_` of a key. */
const tail = 65

const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39
const isSmall = (byte: number): boolean => byte >= 0x61 && byte <= 0x7a
const isBase62 = (byte = 0): boolean => isDigit(byte) || isSmall(byte) || (byte >= 0x41 && byte <= 0x5a)

/** The key whose last `_` stands there, or null. */
const keyAt = (bytes: Buffer, at: number): string | null => {
  for (let index = at + 1; index <= at + tail; index += 1) if (!isBase62(bytes[index])) return null
  // Where the prefix begins the checksum says: what stands before the key may look like more of it.
  for (let start = at - 1; start >= Math.max(0, at - longestPrefix); start -= 1) {
    const byte = bytes[start] ?? 0
    if (!isSmall(byte) && !isDigit(byte) && byte !== underscore) return null
    const text = isSmall(byte) ? bytes.toString('latin1', start, at + tail + 1) : ''
    if (text !== '' && parseKey(text) !== null) return text
  }
  return null
}

/**
 * Finds keys in bytes that come piece by piece, in memory that does not grow with them. The checksum decides, so that
 * what stands beside a key does not hide it: `%3Dlk_…` and `\nlk_…` in quotes hold one, though by the pattern for other
 * scanners, which asks for word boundaries, they would not.
 */
export const createKeyFinder = (): KeyFinder => {
  /** The end of what came, where a key may have begun, and where it stands in the stream. */
  let rest = Buffer.alloc(0)
  let restAt = 0
  /** No `_` before this place in the stream is looked at again. */
  let judged = 0
  let line = 1
  let lineAt = 0
  let counted = 0

  /** Counts the lines that begin before a place in the bytes. */
  const countTo = (bytes: Buffer, end: number): void => {
    const start = counted - restAt
    for (let at = bytes.indexOf(newline, start); at !== -1 && at < end; at = bytes.indexOf(newline, at + 1)) {
      line += 1
      lineAt = restAt + at + 1
    }
    counted = restAt + Math.max(start, end)
  }

  return {
    push: chunk => {
      const bytes = Buffer.concat([rest, chunk])
      const found: FoundKey[] = []
      const end = bytes.length - tail
      let at = bytes.indexOf(underscore, judged - restAt)
      while (at !== -1 && at < end) {
        const text = keyAt(bytes, at)
        if (text !== null) {
          const start = at + tail + 1 - text.length
          countTo(bytes, start)
          found.push({ text, line, column: restAt + start - lineAt + 1 })
        }
        at = bytes.indexOf(underscore, at + 1)
      }
      judged = Math.max(judged, restAt + end)
      const kept = Math.max(0, end - longestPrefix)
      countTo(bytes, kept)
      rest = bytes.subarray(kept)
      restAt += kept
      return found
    },
  }
}

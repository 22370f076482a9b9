import { closeSync, openSync, readSync } from 'node:fs'
import { defaultBodyLimits, parseJson } from '../lib/body.ts'
import { UsageError } from '../lib/command-line.ts'
import { Failure } from '../lib/failure.ts'

/** At most as much as a body of HTTP. @throws UsageError, which does not repeat the name. */
const readFile = (path: string): string => {
  const bytes = Buffer.alloc(defaultBodyLimits.maxBytes + 1)
  let size = 0
  try {
    const file = openSync(path, 'r')
    try {
      for (;;) {
        const read = readSync(file, bytes, size, bytes.length - size, null)
        size += read
        if (read === 0 || size === bytes.length) break
      }
    } finally {
      closeSync(file)
    }
  } catch {
    throw new UsageError('The file that --metadata names can not be read.')
  }
  if (size > defaultBodyLimits.maxBytes) throw new UsageError('The file that --metadata names is too large.')
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, size))
  } catch {
    throw new UsageError('The file that --metadata names is not UTF-8.')
  }
}

/** What `--metadata` gives: JSON, or `@` and the name of a file with it. @throws UsageError for what is none. */
export const readMetadata = (text: string): unknown => {
  const json = text.startsWith('@') ? readFile(text.slice(1)) : text
  try {
    const metadata = parseJson(json, defaultBodyLimits)
    // By HTTP's schema it would clear, for which there is an option.
    if (metadata === null) throw new UsageError('--metadata takes a JSON object, and not null.')
    return metadata
  } catch (error) {
    if (error instanceof Failure) throw new UsageError('--metadata is not JSON that can be taken.')
    throw error
  }
}

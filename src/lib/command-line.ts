import { type ParseArgsConfig, parseArgs } from 'node:util'

/** The command line has a mistake: it is told, and how it is used. */
export class UsageError extends Error {}

type OptionForms = NonNullable<ParseArgsConfig['options']>

/** Options and words of a command line. @throws UsageError, which repeats nothing: an argument may be a secret. */
export const readArguments = <const Forms extends OptionForms>(args: readonly string[], options: Forms) => {
  try {
    return parseArgs({ args: [...args], allowPositionals: true, options })
  } catch {
    throw new UsageError('There is an option that is unknown or lacks its value.')
  }
}

/** Standard input: nothing is read before somebody asks. */
export type Input = () => AsyncIterable<Uint8Array>

/** Input as text without what surrounds it, up to so many bytes; null when there is more. */
export const readShort = async (input: Input, mostBytes: number): Promise<string | null> => {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of input()) {
    bytes += chunk.length
    if (bytes > mostBytes) return null
    // A stream may fill the same memory again.
    chunks.push(chunk.slice())
  }
  return Buffer.concat(chunks).toString('utf8').trim()
}

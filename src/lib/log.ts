import pino, { type DestinationStream, type Logger } from 'pino'
import { SonicBoom } from 'sonic-boom'

export type Log = Logger

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/**
 * One JSON object a line on standard output, or to the stream that is given.
 *
 * Secrets are kept out by never being handed over: nothing logs headers, bodies or configuration. An error's
 * message and stack are logged, its other members are not: drivers put parameters there.
 */
export const createLog = (
  { level, service }: { level: LogLevel; service: string },
  destination?: DestinationStream,
): Log =>
  pino(
    {
      level,
      base: { service },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }) },
      errorKey: 'error',
      serializers: { error: describeError, err: describeError },
      // Ends of lines and commands of a terminal that JSON lets stand as they are.
      hooks: { streamWrite: line => line.replace(/[\u007f-\u009f\u2028\u2029]/g, escapeCharacter) },
    },
    destination ?? standardOutput(),
  )

/**
 * Standard output, written in the background and bounded: a reader that falls behind loses lines, one that is gone
 * loses all. pino's own destination writes what is left when the process exits, and without a reader it tries for ever.
 */
const standardOutput = (): DestinationStream => {
  // With a least length, if only of 1, `flush` calls back when everything is written.
  const output = new SonicBoom({ fd: 1, sync: false, minLength: 1, maxLength: 1_048_576 })
  output.on('error', () => {})
  return output
}

const escapeCharacter = (character: string): string =>
  `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`

const describeError = (error: unknown, depth = 0): unknown => {
  if (!(error instanceof Error)) return { type: typeof error }
  return {
    type: error.name,
    message: error.message,
    stack: error.stack,
    ...(error.cause !== undefined && depth < 3 ? { cause: describeError(error.cause, depth + 1) } : {}),
  }
}

import pino, { type DestinationStream, type Logger } from 'pino'

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
      serializers: { error: describeError },
    },
    destination ?? pino.destination({ dest: 1, sync: false, maxLength: 1_048_576 }),
  )

const describeError = (error: unknown, depth = 0): unknown => {
  if (!(error instanceof Error)) return { type: typeof error }
  return {
    type: error.name,
    message: error.message,
    stack: error.stack,
    ...(error.cause !== undefined && depth < 3 ? { cause: describeError(error.cause, depth + 1) } : {}),
  }
}

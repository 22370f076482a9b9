import pino, { type DestinationStream, type Logger } from 'pino'
import { createRequestLines, escapeControls, type RequestRecord } from './access-log.ts'
import { standardOutput } from './output.ts'

export type Log = Logger & {
  /** Writes a line of the access log, at the level `info`. */
  request(record: RequestRecord): void
}

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
  destination: DestinationStream = standardOutput(),
): Log => {
  const logger = pino(
    {
      level,
      base: { service },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }) },
      errorKey: 'error',
      serializers: { error: describeError, err: describeError },
      hooks: { streamWrite: escapeControls },
    },
    destination,
  )
  const lineOf = createRequestLines(service)
  return Object.assign(logger, {
    request: (record: RequestRecord): void => {
      if (logger.isLevelEnabled('info')) destination.write(lineOf(record, Date.now()))
    },
  })
}

const describeError = (error: unknown, depth = 0): unknown => {
  if (!(error instanceof Error)) return { type: typeof error }
  return {
    type: error.name,
    message: error.message,
    stack: error.stack,
    ...(error.cause !== undefined && depth < 3 ? { cause: describeError(error.cause, depth + 1) } : {}),
  }
}

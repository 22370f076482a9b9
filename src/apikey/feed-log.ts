import { createLog, type Log } from '../lib/log.ts'

/** Where messages about the feed go; pino's loggers are of this form. */
export type FeedLog = {
  info(details: object, message: string): void
  warn(details: object, message: string): void
}

let madeLog: Log | null = null

/** Made when there is something to say: an app may never ask for it. */
const ownLog = (): Log => {
  madeLog ??= createLog({ level: 'info', service: 'latchkey' })
  return madeLog
}

/** As JSON on standard output. */
export const standardOutput: FeedLog = {
  info: (details, message) => ownLog().info(details, message),
  warn: (details, message) => ownLog().warn(details, message),
}

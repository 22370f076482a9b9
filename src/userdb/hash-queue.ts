import { Failure } from '../lib/failure.ts'
import type { UserErrorCode } from './errors.ts'

export type HashQueueOptions = {
  /** Tasks that run at once. */
  readonly concurrency: number
  /** Tasks that wait, beyond those that run. */
  readonly queueLimit: number
}

/** Runs a task when its turn comes, first come first served. */
export type HashQueue = <Result>(task: () => Promise<Result>) => Promise<Result>

/**
 * Caps the hashes in flight, since they share Bun's thread pool with WebCrypto, so that a flood of sign-ins
 * can't starve the verification of tokens (PWD-07).
 *
 * @throws RangeError for a `concurrency` below 1, under which nothing would ever run. The queue throws Failure
 * `overloaded`, before the task begins, when too many wait already.
 */
export const createHashQueue = ({ concurrency, queueLimit }: HashQueueOptions): HashQueue => {
  if (!(concurrency >= 1)) throw new RangeError('concurrency must be 1 or more')
  const waiting: (() => void)[] = []
  let running = 0
  return async task => {
    if (running < concurrency) running += 1
    else if (waiting.length < queueLimit) {
      // Whoever finishes hands its place over, so `running` stays as it is.
      await new Promise<void>(resolve => waiting.push(resolve))
    } else {
      throw new Failure<UserErrorCode>('overloaded', {
        detail: 'Too many passwords are being checked just now.',
        retryAfterSeconds: 1,
      })
    }
    try {
      return await task()
    } finally {
      const next = waiting.shift()
      if (next) next()
      else running -= 1
    }
  }
}

import { Failure } from '../lib/failure.ts'
import type { ChangeLog } from './change-log.ts'

/** Requests that may wait at the same time: each is a connection, and all of them look when something happens. */
const defaultLimit = 512

export type PollOptions<Answer> = {
  readonly seconds: number
  /** Of the request: nobody waits for somebody who is gone. */
  readonly signal: AbortSignal
  /** Looks for an answer. */
  readonly ask: () => Promise<Answer>
  /** Whether an answer is worth to be given before the time is up. */
  readonly isAnswer: (answer: Answer) => boolean
}

export type Polls = {
  /**
   * Asks until there is an answer, the time is up, the caller is gone or the service is on its way out; what was asked
   * last is the answer then.
   *
   * @throws Failure `unavailable` where too many wait.
   */
  wait<Answer>(options: PollOptions<Answer>): Promise<Answer>
  /** Lets nobody wait any longer, now and from now on. */
  end(): void
}

/** Requests that wait for something to happen. */
export const createPolls = ({
  changes,
  limit = defaultLimit,
}: {
  changes: Pick<ChangeLog, 'watch'>
  limit?: number
}): Polls => {
  const waiting = new Set<() => void>()
  let isEnding = false

  return {
    wait: async ({ seconds, signal, ask, isAnswer }) => {
      const first = await ask()
      if (isAnswer(first) || seconds === 0 || isEnding || signal.aborted) return first
      if (waiting.size >= limit) throw new Failure('unavailable', { retryAfterSeconds: 1 })

      let isOver = false
      let isTold = false
      let wake = (): void => {}
      const tell = (): void => {
        isTold = true
        wake()
      }
      const end = (): void => {
        isOver = true
        wake()
      }
      // Before it is asked: what another process commits in between would be slept through.
      const unwatch = changes.watch(tell)
      const timer = setTimeout(end, seconds * 1_000)
      signal.addEventListener('abort', end)
      waiting.add(end)
      try {
        for (;;) {
          isTold = false
          const answer = await ask()
          if (isOver || isAnswer(answer)) return answer
          if (isTold) continue
          await new Promise<void>(resolve => {
            wake = resolve
          })
          if (signal.aborted) return answer
        }
      } finally {
        unwatch()
        clearTimeout(timer)
        signal.removeEventListener('abort', end)
        waiting.delete(end)
      }
    },

    end: () => {
      isEnding = true
      for (const end of waiting) end()
    },
  }
}

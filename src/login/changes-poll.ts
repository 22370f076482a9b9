import { Failure } from '../lib/failure.ts'
import type { ChangeLog } from './change-log.ts'

/** Requests that may wait at the same time: each is a connection, and all of them look when something happens. */
const defaultLimit = 512

/** Of those, a caller may have this many, so that nobody takes the places of all others. */
const defaultLimitEach = 64

export type PollOptions<Answer> = {
  /** Whose place it takes. */
  readonly caller: string
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
   * @throws Failure `unavailable` where too many wait, in all or of this caller.
   */
  wait<Answer>(options: PollOptions<Answer>): Promise<Answer>
  /** Lets nobody wait any longer, now and from now on. */
  end(): void
}

/** Requests that wait for something to happen. */
export const createPolls = ({
  changes,
  limit = defaultLimit,
  limitEach = defaultLimitEach,
}: {
  changes: Pick<ChangeLog, 'watch'>
  limit?: number
  limitEach?: number
}): Polls => {
  /** What ends each wait, and whose it is. */
  const waiting = new Map<() => void, string>()
  let isEnding = false

  const isFull = (caller: string): boolean =>
    waiting.size >= limit ||
    waiting
      .values()
      .filter(each => each === caller)
      .toArray().length >= limitEach

  return {
    wait: async ({ caller, seconds, signal, ask, isAnswer }) => {
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
      const unwatch = seconds === 0 ? () => {} : changes.watch(tell)
      let timer: ReturnType<typeof setTimeout> | undefined
      try {
        let answer = await ask()
        if (isAnswer(answer) || seconds === 0 || isEnding || signal.aborted) return answer
        if (isFull(caller)) throw new Failure('unavailable', { retryAfterSeconds: 1 })
        waiting.set(end, caller)
        timer = setTimeout(end, seconds * 1_000)
        signal.addEventListener('abort', end)
        for (;;) {
          if (!isTold && !isOver) {
            await new Promise<void>(resolve => {
              wake = resolve
            })
          }
          // Nobody is there to be told; or the database is about to be closed, and followers ask again elsewhere.
          if (signal.aborted || isEnding) return answer
          isTold = false
          answer = await ask()
          if (isOver || isAnswer(answer)) return answer
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
      for (const end of waiting.keys()) end()
    },
  }
}

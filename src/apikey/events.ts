import type { FeedLog } from './feed-log.ts'
import type { RefusedOutcome } from './usage-outcomes.ts'

/** What happened to a key or its owner. Times are milliseconds since the epoch; no event holds a secret. */
export type KeyEvent =
  | ({ readonly type: 'api_key.created' } & KeyChange)
  /** `keyId` is the old key; `successorId` the one in its place. */
  | ({ readonly type: 'api_key.rotated'; readonly successorId: string } & KeyChange)
  | ({ readonly type: 'api_key.revoked' } & KeyChange)
  /** Told once a key, so far ahead as the option `expiringSoonSeconds` says. */
  | ({ readonly type: 'api_key.expiring'; readonly expiresAt: number } & KeyName)
  /** The balance fell below a tenth of what a refill makes it, or of what was granted. */
  | ({ readonly type: 'api_key.credits_low'; readonly remaining: number } & KeyName)
  /** Somebody with the right secret was refused; told once a minute for each key and code, as `times`. */
  | {
      readonly type: 'api_key.refused'
      readonly at: number
      readonly keyId: string
      readonly code: RefusedOutcome
      readonly address: string | null
      /** How often that was since it was last told. */
      readonly times: number
    }
  /** The change feed told so; `keys` of the owner were revoked with it. */
  | {
      readonly type: 'owner.deleted'
      readonly at: number
      readonly ownerId: string
      readonly keys: number
    }

type KeyName = {
  readonly at: number
  readonly keyId: string
  readonly ownerId: string
  readonly name: string
}

type KeyChange = KeyName & {
  /** Who did it; null for the service itself. */
  readonly actorId: string | null
}

export type KeyEventType = KeyEvent['type']

/** Told of events after the fact, in the order in which they happened. What it throws or rejects with is logged. */
export type EventListener = (event: KeyEvent) => unknown

export type Events = {
  /** Takes a note, and returns at once: on the path of requests. */
  emit(event: KeyEvent): void
  /** Events that were never told, since too many waited. */
  lost(): number
  /** Waits until everything so far was told, and for listeners that are at work, but no longer than this. */
  drain(milliseconds: number): Promise<void>
}

export type EventsOptions = {
  readonly listener: EventListener
  readonly log: FeedLog
  /** Events that wait at most. */
  readonly maxWaiting?: number
  /** Listeners that are at work at a time: events wait while one takes its time. */
  readonly maxAtWork?: number
}

/** Events that are told in one turn of the event loop. */
const perTurn = 50

/** Tells a listener of events apart from what caused them: it can neither slow a request nor break one. */
export const createEvents = ({
  listener,
  log,
  maxWaiting = 10_000,
  maxAtWork = 50,
}: EventsOptions): Events => {
  const waiting: KeyEvent[] = []
  const atWork = new Set<Promise<unknown>>()
  let isScheduled = false
  let lost = 0

  const failed = (error: unknown, { type }: KeyEvent): void => {
    log.warn({ error, type }, 'whoever listens to events failed with one')
  }

  const tell = (event: KeyEvent): void => {
    try {
      const told = listener(event)
      if (!(told instanceof Promise)) return
      const work = told.catch(error => failed(error, event))
      atWork.add(work)
      void work.then(() => {
        atWork.delete(work)
        schedule()
      })
    } catch (error) {
      failed(error, event)
    }
  }

  const turn = (): void => {
    isScheduled = false
    for (let told = 0; told < perTurn && atWork.size < maxAtWork; told += 1) {
      const event = waiting.shift()
      if (event === undefined) return
      tell(event)
    }
    schedule()
  }

  const schedule = (): void => {
    if (isScheduled || waiting.length === 0 || atWork.size >= maxAtWork) return
    isScheduled = true
    setImmediate(turn)
  }

  return {
    emit: event => {
      if (waiting.length >= maxWaiting) {
        lost += 1
        return
      }
      waiting.push(event)
      schedule()
    },

    lost: () => lost,

    drain: async milliseconds => {
      const until = performance.now() + milliseconds
      while ((waiting.length > 0 || atWork.size > 0) && performance.now() < until) await Bun.sleep(5)
    },
  }
}

import { now } from '../revocation/clock.ts'
import { createWire, type Reply, type Wire } from '../revocation/wire.ts'

/** One use of a key, as bytes of a request, and what it comes to before and after a change: status and code. */
export type Use = {
  readonly what: string
  readonly request: string
  readonly before: string
  readonly after: string
}

/** A service that is watched over connections that are kept. */
export type Watch = {
  ask(request: string): Promise<Reply>
  close(): void
}

export const createWatch = (port: number, connections: number): Watch => {
  const wire: Wire = createWire({ port, connections })
  return {
    ask: request => new Promise(resolve => wire.ask(request, resolve)),
    close: wire.close,
  }
}

/** A request without a body, with a key. */
export const requestWith = (key: string, method: string, path: string): string =>
  `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: ${key}\r\n\r\n`

export const resultOf = ({ status, code }: Pick<Reply, 'status' | 'code'>): string =>
  `${status} ${code}`.trimEnd()

/** What was seen on one service from some time before a change to some time after it. */
export type Seen = {
  readonly use: Use
  readonly replies: readonly Reply[]
  /** When the change was acknowledged, milliseconds since the epoch. */
  readonly acknowledgedAt: number
}

const warmingUses = 3
/** So long a service is watched after a change: longer than the change may take to count. */
const settleMs = 125
/** And this long if it does not count by then, so that it is known how late it was. */
const patienceMs = 2_000

/**
 * Uses a key without pause, from before a change until some time after it, so that the service has it in memory when
 * it changes.
 *
 * @param change resolves with the time from which the change counts: its acknowledgement, unless it says otherwise.
 */
export const watchChange = async (
  watches: readonly Watch[],
  use: Use,
  change: () => Promise<number>,
): Promise<Seen[]> => {
  let until = Number.POSITIVE_INFINITY
  const all = watches.map(({ ask }) => {
    const replies: Reply[] = []
    const warm = Promise.withResolvers<void>()
    const poll = async (): Promise<void> => {
      const isLate = (): boolean => {
        const last = replies.at(-1)
        return last !== undefined && resultOf(last) === use.before && now() < until + patienceMs
      }
      while (now() < until || isLate()) {
        replies.push(await ask(use.request))
        if (replies.length === warmingUses) warm.resolve()
      }
    }
    return { replies, isWarm: warm.promise, polling: poll() }
  })
  await Promise.all(all.map(({ isWarm }) => isWarm))
  try {
    const countsFrom = await change()
    until = countsFrom + settleMs
    await Promise.all(all.map(({ polling }) => polling))
    return all.map(({ replies }) => ({ use, replies, acknowledgedAt: countsFrom }))
  } finally {
    until = Number.NEGATIVE_INFINITY
  }
}

/** How long after its acknowledgement requests were sent that went as if nothing had happened; 0 for none. */
export const lagOf = ({ use, replies, acknowledgedAt }: Seen): number =>
  Math.max(
    0,
    ...replies.filter(reply => resultOf(reply) === use.before).map(({ sentAt }) => sentAt - acknowledgedAt),
  )

/** What should not have been seen: another answer than the two, or the old one after the new one. */
export const strangeIn = ({ use, replies }: Seen): string[] => {
  const results = replies.map(resultOf)
  const others = results.filter(result => result !== use.before && result !== use.after)
  const first = results.indexOf(use.after)
  const isBack = first !== -1 && results.lastIndexOf(use.before) > first
  return [
    ...new Set(others.map(result => `${use.what}: ${result}`)),
    ...(results[0] === use.before ? [] : [`${use.what}: ${results[0]} before the change`]),
    ...(first === -1 ? [`${use.what}: never ${use.after}`] : []),
    ...(isBack ? [`${use.what}: ${use.before} after ${use.after}`] : []),
  ]
}

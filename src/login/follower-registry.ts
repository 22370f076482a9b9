import type { Clock } from '../lib/clock.ts'

/** Who polls the feed, and how far they say that they are. Times are milliseconds since the epoch. */
export type Follower = {
  /** What it calls itself; null for one that gave no name. */
  readonly name: string | null
  readonly clientId: string
  readonly generation: string
  /** The last change that it has applied. */
  readonly sequence: number
  readonly lastPolledAt: number
  readonly isWaiting: boolean
}

export type Followers = {
  /** Notes a poll from a place in the feed, which says that everything up to there is applied; returns its end. */
  note(poll: Pick<Follower, 'name' | 'clientId' | 'generation' | 'sequence'>): () => void
  /** Who was heard last comes first. */
  list(): Follower[]
}

// A client may call itself anything, and as often as it likes.
const defaultLimit = 1_000

/** Kept in memory: after a restart everybody is heard again within a poll. */
export const createFollowers = ({
  clock,
  limit = defaultLimit,
}: {
  clock: Clock
  limit?: number
}): Followers => {
  type Known = Omit<Follower, 'isWaiting'> & { readonly waiting: Set<symbol> }
  // In the order in which they were heard.
  const known = new Map<string, Known>()
  return {
    note: ({ name, clientId, generation, sequence }) => {
      const key = `${clientId} ${name ?? ''}`
      const waiting = known.get(key)?.waiting ?? new Set<symbol>()
      known.delete(key)
      const poll = Symbol('poll')
      waiting.add(poll)
      known.set(key, { name, clientId, generation, sequence, lastPolledAt: clock(), waiting })
      const [oldest] = known.keys()
      if (known.size > limit && oldest !== undefined) known.delete(oldest)
      return () => {
        waiting.delete(poll)
      }
    },
    list: () =>
      [...known.values()].toReversed().map(({ waiting, ...follower }) => ({
        ...follower,
        isWaiting: waiting.size > 0,
      })),
  }
}

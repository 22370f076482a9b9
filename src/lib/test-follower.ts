import type { SubjectState } from './changes-schema.ts'
import { createClientTokens } from './client-token.ts'
import { createFollower, type Follower, type FollowerEvent, type FollowerOptions } from './follower.ts'
import type { FeedPosition, FollowerStore } from './follower-store.ts'
import { clientId, clientSecret, type FeedServer, serveFeed, until } from './test-feed-server.ts'

/** Keeps what it is told in memory, and what it was told when. */
export const createMemoryStore = () => {
  const subjects = new Map<string, { state: SubjectState; sequence: number }>()
  const ended = new Map<string, number>()
  const told: string[] = []
  let position: FeedPosition | null = null
  const take: FollowerStore['apply'] = (facts, next, heardAt) => {
    for (const fact of facts) {
      if (fact.kind === 'ended') ended.set(fact.id, fact.expiresAt)
      if (fact.kind !== 'subject') continue
      if ((subjects.get(fact.id)?.sequence ?? -1) < fact.sequence) subjects.set(fact.id, fact)
    }
    if (next !== null) position = next
    told.push(
      `${facts.length} facts${next === null ? ', no position' : ''}${heardAt === null ? ', not all' : ''}`,
    )
  }
  const store: FollowerStore = {
    name: 'test',
    position: () => position,
    former: () => null,
    apply: take,
    save: async () => {
      told.push('save')
    },
    beginSnapshot: generation => {
      subjects.clear()
      position = null
      told.push(`snapshot of ${generation}`)
      return {
        add: async facts => take(facts, null, null),
        finish: async next => {
          position = next
          told.push(`finished at ${next.cursor}`)
          return { count: 0, ids: [] }
        },
      }
    },
  }
  return {
    store,
    subjects,
    ended,
    told,
    statusOf: (id: string) => subjects.get(id)?.state.status ?? 'unknown',
  }
}

export type FollowerSetUp = {
  readonly server: FeedServer
  readonly known: ReturnType<typeof createMemoryStore>
  readonly events: FollowerEvent[]
  /** Signing keys that were told as revoked. */
  readonly forgotten: string[]
  /** Milliseconds that were to be waited; the clock of the follower skips them. */
  readonly pauses: number[]
  readonly follower: Follower | null
  kinds(): string[]
  follow(options?: Partial<FollowerOptions>): void
  /** Follows until everything that the server knows now was heard. */
  settle(): Promise<void>
  end(): Promise<void>
}

/** A follower with a store in memory, before a `login` over a socket of this machine. */
export const setUpFollower = (): FollowerSetUp => {
  const server = serveFeed()
  const known = createMemoryStore()
  const events: FollowerEvent[] = []
  const forgotten: string[] = []
  const pauses: number[] = []
  let follower: Follower | null = null
  let skipped = 0
  const kinds = (): string[] => events.map(({ kind }) => kind)
  return {
    server,
    known,
    events,
    forgotten,
    pauses,
    kinds,
    get follower() {
      return follower
    },
    follow: (options = {}) => {
      const { url } = server
      follower = createFollower({
        url,
        tokens: createClientTokens({ url, clientId, clientSecret, scope: 'changes:read', clock: Date.now }),
        store: known.store,
        waitSeconds: 5,
        clock: Date.now,
        onEvent: event => events.push(event),
        onSigningKeyRevoked: kid => forgotten.push(kid),
        elapsed: () => performance.now() + skipped,
        sleep: async (milliseconds, signal) => {
          pauses.push(milliseconds)
          skipped += milliseconds
          if (!signal.aborted) await Bun.sleep(Math.min(milliseconds, 5))
        },
        ...options,
      })
      follower.start()
    },
    settle: () => until(() => kinds().includes('began') || kinds().includes('back')),
    end: async () => {
      await follower?.stop()
      await server[Symbol.asyncDispose]()
    },
  }
}

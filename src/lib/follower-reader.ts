import { changeTypes } from './changes-schema.ts'
import type { Clock } from './clock.ts'
import { factOfAnswer, factsOfChange } from './follower-facts.ts'
import { type FeedSource, ResyncNeeded } from './follower-source.ts'
import type { Fact, FeedPosition } from './follower-store.ts'

export type ReadingOptions = {
  /** Seconds that the answer may wait for something to happen. */
  readonly wait: number
  readonly timeoutMilliseconds: number
  readonly signal: AbortSignal
}

/** One page of changes. */
export type Reading = {
  readonly facts: readonly Fact[]
  /** Subjects of changes that are not understood: until they are looked up, the position may not be taken. */
  readonly unknown: readonly string[]
  readonly position: FeedPosition
  /** Whether this was all there is. */
  readonly isCaughtUp: boolean
  /** Milliseconds since the epoch: what `login` acknowledged before it was asked is known once it has answered. */
  readonly askedAt: number
  readonly isEmpty: boolean
  /** Whether there was something, and the position leads to the same again. */
  readonly isStuck: boolean
}

export type FeedReaderOptions = {
  readonly source: FeedSource
  /** Name of this follower; asked each time since another process on the same database may give another. */
  readonly name: () => string
  readonly clock: Clock
  readonly onSigningKeyRevoked: (kid: string) => void
}

const limit = 500
const knownTypes: ReadonlySet<string> = new Set(Object.values(changeTypes))
/** What can be a caller or an owner, so that a change to it which is not understood has to be looked up. */
const subjectId = /^(usr|cli)_[\w-]{1,120}$/
const requestsAtOnce = 8

/** Pages of changes as facts. Nothing of them is kept here. */
export const createFeedReader = ({ source, name, clock, onSigningKeyRevoked }: FeedReaderOptions) => ({
  /** @throws ResyncNeeded where the position leads nowhere. */
  read: async (
    { generation, cursor }: FeedPosition,
    { wait, timeoutMilliseconds, signal }: ReadingOptions,
  ): Promise<Reading> => {
    const askedAt = clock()
    const poll = { after: cursor, limit, wait, follower: name() }
    const page = await source.poll(poll, timeoutMilliseconds, signal)
    if (page.generation !== generation) throw new ResyncNeeded('generation_changed')
    const { items, nextCursor } = page
    const now = clock()
    const facts = items.flatMap(change => factsOfChange(change, now))
    for (const fact of facts) if (fact.kind === 'signingKey') onSigningKeyRevoked(fact.kid)
    const unknown = items.filter(({ type, subjectId: id }) => !knownTypes.has(type) && subjectId.test(id))
    return {
      facts,
      unknown: [...new Set(unknown.map(({ subjectId: id }) => id))],
      position: { generation, cursor: nextCursor },
      isCaughtUp: items.length < limit,
      askedAt,
      isEmpty: items.length === 0,
      isStuck: items.length > 0 && nextCursor === cursor,
    }
  },

  /** Subjects as they are now. @throws ResyncNeeded where `login` does not tell, or is another one. */
  lookUp: async (ids: readonly string[], generation: string, signal: AbortSignal): Promise<Fact[]> => {
    const facts: Fact[] = []
    for (let from = 0; from < ids.length; from += requestsAtOnce) {
      const asked = ids.slice(from, from + requestsAtOnce)
      const answers = await Promise.all(asked.map(id => source.subject(id, signal)))
      for (const [index, answer] of answers.entries()) {
        if (answer.generation !== generation) throw new ResyncNeeded('generation_changed')
        if (answer.id !== asked[index]) throw new Error('The answer is about another subject')
        facts.push(factOfAnswer(answer))
      }
    }
    return facts
  },
})

export type FeedReader = ReturnType<typeof createFeedReader>

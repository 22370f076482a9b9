import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import {
  Change,
  ChangesPage,
  changeTypes,
  EndedItem,
  longestTokenSeconds,
  SnapshotPage,
  SubjectAnswer,
  SubjectItem,
  SubjectState,
} from './changes-schema.ts'
import type { Fact } from './follower-store.ts'
import { clockLeewaySeconds } from './jwt/verifier.ts'

/*
 * The change feed as a follower takes it, which is wider than what a `login` of this release promises: a later one may
 * know kinds of things and states of subjects that nobody here does, and must not be refused for it.
 */
const FollowedState = Type.Object({
  ...SubjectState.properties,
  status: Type.String({ minLength: 1, maxLength: 40 }),
})
type FollowedState = Static<typeof FollowedState>

const FollowedChange = Type.Object({
  ...Change.properties,
  state: Type.Union([FollowedState, Type.Null()]),
})
export type FollowedChange = Static<typeof FollowedChange>

export const FollowedChanges = Type.Object({
  ...ChangesPage.properties,
  items: Type.Array(FollowedChange, { maxItems: 1_000 }),
})
export type FollowedChanges = Static<typeof FollowedChanges>

const Kind = Type.Object({ kind: Type.String({ minLength: 1, maxLength: 128 }) })
const FollowedSubject = Type.Object({ ...SubjectItem.properties, state: FollowedState })

export const FollowedSnapshot = Type.Object({
  ...SnapshotPage.properties,
  items: Type.Array(Kind, { maxItems: 1_000 }),
})
export type FollowedSnapshot = Static<typeof FollowedSnapshot>

export const FollowedAnswer = Type.Object({ ...SubjectAnswer.properties, state: FollowedState })
export type FollowedAnswer = Static<typeof FollowedAnswer>

/** A status of no meaning here is surely not `active`, and may be lifted later: so it is no deletion either. */
const stateOf = (state: FollowedState): SubjectState => {
  const { status } = state
  return { ...state, status: status === 'active' || status === 'deleted' ? status : 'disabled' }
}

const timeOf = (text: string): number => {
  const time = Date.parse(text)
  if (Number.isNaN(time)) throw new Error('The answer has a time that is none')
  return time
}

/**
 * Everything that a change carries counts, of whatever type it is.
 *
 * @param now milliseconds since the epoch. What ends now may have tokens that live as long as any from here on, for this
 *   clock, whatever the clock of `login` says.
 */
export const factsOfChange = (change: FollowedChange, now: number): Fact[] => {
  const { type, subjectId: id, state, sessionId, tokenId, sequence } = change
  const facts: Fact[] = []
  if (state !== null) facts.push({ kind: 'subject', id, state: stateOf(state), sequence })
  if (sessionId !== null || tokenId !== null) {
    const longest = longestTokenSeconds * 1_000
    const told = change.expiresAt === null ? timeOf(change.at) + longest : timeOf(change.expiresAt)
    const expiresAt = Math.max(told, now + longest + clockLeewaySeconds * 1_000)
    for (const ended of [sessionId, tokenId]) {
      if (ended !== null) facts.push({ kind: 'ended', id: ended, expiresAt })
    }
  }
  if (type === changeTypes.signingKeyRevoked) facts.push({ kind: 'signingKey', kid: id })
  return facts
}

export const factOfAnswer = ({ id, state, sequence }: FollowedAnswer): Fact => ({
  kind: 'subject',
  id,
  state: stateOf(state),
  sequence,
})

/** @throws Error for an item of a known kind that is not of its form. Those of other kinds are left out. */
export const factsOfSnapshot = ({ items, sequence }: FollowedSnapshot): Fact[] => {
  const facts: Fact[] = []
  for (const item of items) {
    if (Value.Check(FollowedSubject, item)) {
      facts.push({ kind: 'subject', id: item.id, state: stateOf(item.state), sequence })
    } else if (Value.Check(EndedItem, item)) {
      facts.push({ kind: 'ended', id: item.id, expiresAt: timeOf(item.expiresAt) })
    } else if (['subject', 'session', 'token'].includes(item.kind)) {
      throw new Error(`The snapshot has a ${item.kind} that is none`)
    }
  }
  return facts
}

import type { SubjectState } from './changes-schema.ts'

/** One thing that the feed told, whatever kind of page it stood on. */
export type Fact =
  /** How a subject is since a change of this number. An older fact than the one that is known changes nothing. */
  | {
      readonly kind: 'subject'
      readonly id: string
      readonly state: SubjectState
      readonly sequence: number
    }
  /** A session or token that ended, remembered until `expiresAt` (milliseconds since the epoch). */
  | { readonly kind: 'ended'; readonly id: string; readonly expiresAt: number }
  /** A signing key whose tokens are no good any more. */
  | { readonly kind: 'signingKey'; readonly kid: string }

/** Where to read on, and in which history. */
export type FeedPosition = { readonly generation: string; readonly cursor: string }

/** What a snapshot gave back to subjects that had lost it. */
export type Restored = { readonly count: number; readonly ids: readonly string[] }

/** Another process on the same database was first: what it has was taken over, and there is nothing left to do. */
export class Superseded extends Error {
  override readonly name = 'Superseded'
}

/** A snapshot that is being taken over, page by page. */
export type SnapshotRun = {
  /**
   * Facts of pages, and of changes since the snapshot began: each has its own number, so their order is of no matter.
   * They count from this call on, before it is written; calls may overlap.
   *
   * @throws Superseded, or what the database has against it.
   */
  add(facts: readonly Fact[]): Promise<void>
  /**
   * What no page had is gone; from here on the feed is followed from this position.
   *
   * @param base the change up to which the first page knew everything.
   * @param heardAt the time (milliseconds since the epoch) up to which everything is known.
   * @throws Superseded, or what the database has against it.
   */
  finish(position: FeedPosition, base: number, heardAt: number): Promise<Restored>
}

/** Where a follower keeps what it has heard. */
export type FollowerStore = {
  /** Names this follower to whoever it follows. */
  readonly name: string
  /** Null until a snapshot is complete. */
  position(): FeedPosition | null
  /**
   * A position that is known and of no use any more, since a snapshot was begun after it and not finished; null
   * otherwise. What `login` says to it may tell `login` itself that it lost a part of its history.
   */
  former(): FeedPosition | null
  /**
   * Takes facts in, so that they count at once. They and the position are written by the next {@link save}.
   *
   * @param position null where not everything before the next page could be taken in.
   * @param heardAt the time (milliseconds since the epoch) up to which everything is known, null where more is waiting.
   */
  apply(facts: readonly Fact[], position: FeedPosition | null, heardAt: number | null): void
  /** Writes what is not yet written, one call at a time. Nothing is lost when it fails, and the next call tries again. */
  save(): Promise<void>
  beginSnapshot(generation: string): SnapshotRun
}

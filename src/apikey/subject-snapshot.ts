import type { FeedPosition, SnapshotRun } from '../lib/follower-store.ts'
import type { SubjectIntake } from './subject-intake.ts'
import type { SubjectReader } from './subject-reader.ts'

export type SnapshotRunOptions = {
  readonly intake: SubjectIntake
  readonly reader: SubjectReader
  /** What the snapshot says overrides whatever an earlier epoch left. */
  readonly epoch: number
  /** Whether who is missing is gone for good, and their keys with them. */
  readonly revokesKeys: boolean
  /** Writes what was taken in. @throws Superseded, or what the database has against it. */
  write(): Promise<void>
  /** From here on the feed is followed from this position. @throws Superseded, or what the database has against it. */
  complete(position: FeedPosition, heardAt: number): Promise<void>
}

/** Ids that are told by name of those who were given something back. */
const maxRestoredIds = 20

/** A snapshot as the store of a service takes it over: what a page says counts at once, before the next one is there. */
export const createSnapshotRun = ({
  intake,
  reader,
  epoch,
  revokesKeys,
  write,
  complete,
}: SnapshotRunOptions): SnapshotRun => {
  let count = 0
  const ids: string[] = []

  return {
    add: async facts => {
      for (const fact of facts) {
        if (intake.take(fact, epoch, true) === null || fact.kind !== 'subject') continue
        count += 1
        if (ids.length < maxRestoredIds) ids.push(fact.id)
      }
      await write()
    },

    finish: async (position, base, heardAt) => {
      // Another process may have written otherwise of some who are gone.
      for (const subject of reader.unseen(epoch)) intake.see(subject)
      for (const { id, status, epoch: seen } of intake.all()) {
        if (seen >= epoch || status === 'deleted') continue
        intake.remove(id, { epoch, sequence: base }, revokesKeys)
      }
      await write()
      await complete(position, heardAt)
      return { count, ids }
    },
  }
}

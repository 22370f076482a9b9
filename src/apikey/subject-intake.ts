import type { Clock } from '../lib/clock.ts'
import type { Fact } from '../lib/follower-store.ts'
import { clockLeewaySeconds } from '../lib/jwt/verifier.ts'
import type { UnsavedSubject } from './subject-rows.ts'
import { revokedKeyId, type Subjects } from './subjects.ts'
import {
  type ChangeListener,
  createSubjectMemory,
  isNewer,
  isSameState,
  type Lists,
  type Subject,
} from './subjects-memory.ts'

/** A part of what is not yet written, small enough for one transaction. */
export type UnsavedBatch = {
  readonly subjects: readonly UnsavedSubject[]
  readonly ended: readonly { readonly id: string; readonly expiresAt: number }[]
  /** Whether there is nothing else. */
  readonly isWhole: boolean
}

/** What the database of the service has, written by an earlier process or another one. */
export type Stored = {
  readonly subjects: Iterable<Subject>
  readonly ended: Iterable<{ readonly id: string; readonly expiresAt: number }>
  /** Whether numbers of changes there can be held against those that are known here. */
  readonly isSameHistory: boolean
  /** The last snapshot that was completed, 0 for none. */
  readonly completeEpoch: number
}

/** What the feed told, and which of it is still to be written. */
export type SubjectIntake = Subjects & {
  isKeyRevoked(kid: string): boolean
  all(): Iterable<Subject>
  /**
   * Takes a fact in, unless what is known is newer.
   *
   * @returns the status that a subject had, where a snapshot makes it active again.
   */
  take(fact: Fact, epoch: number, isSnapshot: boolean): UnsavedSubject['restoredFrom']
  /** A snapshot of this epoch, which knows of everything up to the change `sequence`, did not have this subject. */
  remove(id: string, at: Pick<Subject, 'epoch' | 'sequence'>, revokesKeys: boolean): void
  /** Sees what another process has written of a subject. */
  see(subject: Subject): void
  /** Takes over all that is stored; what is known here and newer stays. @returns the last epoch of anything stored. */
  adopt(stored: Stored): number
  readonly isWritten: boolean
  batch(size: number): UnsavedBatch
  /** A batch was written; what came meanwhile is not. */
  written(batch: UnsavedBatch): void
  /** Before this time (milliseconds since the epoch) no token of what ended is good by any clock. */
  forgottenBefore(): number
  forget(before: number): void
}

/** Signing keys are remembered with the sessions that ended, and for good: a thief can sign any times. */
const forGood = 8_640_000_000_000_000

export type SubjectIntakeOptions = {
  readonly clock: Clock
  readonly listOf: Lists
  readonly onChange: ChangeListener
}

/**
 * Takes in what the feed tells: it counts at once, and is kept for writing. Each snapshot is an epoch: what it says
 * overrides whatever an earlier one left, and within an epoch the number of the change decides.
 */
export const createSubjectIntake = ({ clock, listOf, onChange }: SubjectIntakeOptions): SubjectIntake => {
  const memory = createSubjectMemory(onChange)
  const { subjects, ended, find, isEnded } = memory
  const unsaved = new Map<string, UnsavedSubject>()
  const unsavedEnded = new Set<string>()
  const share = (list: readonly string[]): string[] => listOf(JSON.stringify(list), () => [...list])
  const gone = ({ id, sequence, epoch, changedAt }: Subject): Subject => {
    return { id, status: 'deleted', roles: share([]), scopes: share([]), sequence, epoch, changedAt }
  }

  const put = (
    subject: Omit<Subject, 'changedAt'>,
    { revokesKeys, restoredFrom }: Pick<UnsavedSubject, 'revokesKeys' | 'restoredFrom'>,
  ): void => {
    const before = subjects.get(subject.id)
    if (!isNewer(before, subject)) return
    const changedAt = before !== undefined && isSameState(before, subject) ? before.changedAt : clock()
    const made: Subject = { ...subject, changedAt }
    memory.set(made)
    // A restoration that is not written yet is told of, whatever comes after it.
    const restored = restoredFrom ?? unsaved.get(subject.id)?.restoredFrom ?? null
    unsaved.set(subject.id, { ...made, revokesKeys, restoredFrom: restored })
  }

  const forgottenBefore = (): number => clock() - clockLeewaySeconds * 1_000

  const end = (id: string, expiresAt: number): void => {
    const isKnown = (ended.get(id) ?? Number.NEGATIVE_INFINITY) >= expiresAt
    if (isKnown || expiresAt < forgottenBefore()) return
    memory.end(id, expiresAt)
    unsavedEnded.add(id)
  }

  const adoptSubject = (row: Subject, isSameHistory: boolean, completeEpoch: number): void => {
    const { id, sequence, epoch } = row
    const before = subjects.get(id)
    if (epoch < completeEpoch) {
      // The snapshot did not have it, and another process wrote it while that ended: what came after is told again.
      memory.set(gone(row))
      unsaved.delete(id)
    } else if (isSameHistory && before !== undefined && before.sequence > sequence) {
      // Told since, in the numbers of the same history; from here on it belongs to the epoch of the other process.
      const subject = { ...before, epoch }
      memory.set(subject)
      if (unsaved.has(id))
        unsaved.set(id, { ...subject, revokesKeys: subject.status === 'deleted', restoredFrom: null })
    } else {
      unsaved.delete(id)
      memory.set(row)
    }
  }

  return {
    find,
    isEnded,
    isKeyRevoked: kid => ended.has(revokedKeyId(kid)),
    all: () => subjects.values(),

    take: (fact, epoch, isSnapshot) => {
      if (fact.kind !== 'subject') {
        if (fact.kind === 'ended') end(fact.id, fact.expiresAt)
        else end(revokedKeyId(fact.kid), forGood)
        return null
      }
      const { id, sequence } = fact
      const { status, roles, scopes, tokensSince } = fact.state
      const before = subjects.get(id)
      // What this snapshot itself has told already is changed by what happened since, or was newer than this page.
      const isOverridden = isSnapshot && before !== undefined && before.epoch < epoch
      const restoredFrom =
        isOverridden && status === 'active' && before.status !== 'active' ? before.status : null
      put(
        {
          id,
          status,
          roles: share(roles),
          scopes: share(scopes),
          ...(tokensSince === undefined ? {} : { tokensSince }),
          sequence,
          epoch,
        },
        { revokesKeys: status === 'deleted', restoredFrom },
      )
      return restoredFrom
    },

    remove: (id, { epoch, sequence }, revokesKeys) =>
      put(
        { id, status: 'deleted', roles: share([]), scopes: share([]), sequence, epoch },
        { revokesKeys, restoredFrom: null },
      ),

    see: memory.set,

    adopt: stored => {
      // Read to the end before anything is forgotten: of nobody that is known may a read that fails make a stranger, who
      // is taken at the word of a token.
      const rows = stored.isSameHistory ? stored.subjects : [...stored.subjects]
      if (!stored.isSameHistory) {
        // What was told here and not written would otherwise pass for written.
        unsaved.clear()
        memory.clearSubjects()
      }
      const missing = new Set(subjects.keys())
      let lastEpoch = 0
      for (const row of rows) {
        lastEpoch = Math.max(lastEpoch, row.epoch)
        missing.delete(row.id)
        adoptSubject(row, stored.isSameHistory, stored.completeEpoch)
      }
      for (const id of missing) {
        // Gone before the snapshot of the other process, or made after what it has read, which will be told again.
        const before = subjects.get(id)
        if (before !== undefined) memory.set({ ...gone(before), epoch: 0 })
        unsaved.delete(id)
      }
      for (const { id, expiresAt } of stored.ended) {
        memory.end(id, Math.max(expiresAt, ended.get(id) ?? expiresAt))
      }
      return lastEpoch
    },

    get isWritten() {
      return unsaved.size === 0 && unsavedEnded.size === 0
    },

    batch: size => {
      const some = [...unsaved.values().take(size)]
      const someEnded = [...unsavedEnded.values().take(size)].map(id => ({
        id,
        expiresAt: ended.get(id) ?? clock(),
      }))
      return {
        subjects: some,
        ended: someEnded,
        isWhole: some.length === unsaved.size && someEnded.length === unsavedEnded.size,
      }
    },

    written: batch => {
      for (const subject of batch.subjects) {
        if (unsaved.get(subject.id) === subject) unsaved.delete(subject.id)
      }
      for (const { id, expiresAt } of batch.ended) {
        if ((ended.get(id) ?? expiresAt) === expiresAt) unsavedEnded.delete(id)
      }
    },

    forgottenBefore,
    forget: before => {
      for (const [id, expiresAt] of ended) {
        if (expiresAt >= before) continue
        memory.forget(id)
        unsavedEnded.delete(id)
      }
    },
  }
}

import type { Database } from 'bun:sqlite'
import type { Clock } from '../lib/clock.ts'
import { type FeedPosition, type FollowerStore, Superseded } from '../lib/follower-store.ts'
import type { KeyEvent } from './events.ts'
import type { Staleness } from './staleness.ts'
import { createSubjectIntake } from './subject-intake.ts'
import { createSubjectReader } from './subject-reader.ts'
import { createSubjectRows } from './subject-rows.ts'
import { createSnapshotRun } from './subject-snapshot.ts'
import type { Subjects } from './subjects.ts'
import { type ChangeListener, createLists } from './subjects-memory.ts'

export type SubjectStore = FollowerStore &
  Subjects & {
    /** Whether a snapshot was ever complete: before that nobody can be judged. */
    isComplete(): boolean
    /** Whether a signing key was revoked, however that came to be known here. */
    isKeyRevoked(kid: string): boolean
  }

export type SubjectStoreOptions = {
  readonly database: Database
  readonly clock: Clock
  readonly staleness: Staleness
  /** Begins the name by which `login` lists this follower. */
  readonly service: string
  /** How often it is written that `login` was heard, where nothing else is to be written. */
  readonly heardMilliseconds: number
  readonly onChange?: ChangeListener
  /** Told of keys that were revoked along with their owner. */
  readonly emit?: ((event: KeyEvent) => void) | undefined
}

/** Rows in one transaction. */
const batchSize = 500
const pruneMilliseconds = 10_000
/** Two processes that begin a snapshot at once must not take the same epoch, so each leaves out some by chance. */
const epochSpread = 1_000_000

const followerName = (service: string): string =>
  `${service.replaceAll(/[^\w.-]/g, '-').slice(0, 40)}-${crypto.randomUUID().slice(0, 8)}`

/**
 * What the feed tells, in memory and in the service's own database. Everything counts from the moment it is applied and
 * is written after; the position is written with the last of what lies before it, so that a crash can only have
 * something told again.
 *
 * The row of the position has the last epoch (see {@link createSubjectIntake}) of which the snapshot is complete. Two
 * processes on one database know by it that the other one has completed a snapshot, and then take over all that it has.
 */
export const createSubjectStore = ({
  database,
  clock,
  staleness,
  service,
  heardMilliseconds,
  onChange = () => {},
  emit,
}: SubjectStoreOptions): SubjectStore => {
  const rows = createSubjectRows({ database, clock, emit })
  const listOf = createLists()
  const reader = createSubjectReader(database, listOf)
  const intake = createSubjectIntake({ clock, listOf, onChange })

  let name = followerName(service)
  /** The snapshot that everything here follows on; null until one is complete. */
  let base: { readonly generation: string; readonly epoch: number } | null = null
  let position: FeedPosition | null = null
  let former: FeedPosition | null = null
  let lastEpoch = 0
  /** The epoch in the row of the position, as this process knows it. */
  let storedEpoch = 0
  let heardAt: number | null = null
  let storedHeardAt = Number.NEGATIVE_INFINITY
  let isPositionStored = true
  let prunedAt = Number.NEGATIVE_INFINITY
  let saving: Promise<void> | null = null

  /** Everything that the database has, in one read. */
  const load = database.transaction((): void => {
    const found = rows.position()
    const seen = intake.adopt({
      subjects: reader.all(),
      ended: reader.ended(),
      isSameHistory: base !== null && found?.generation === base.generation,
      completeEpoch: found?.epoch ?? 0,
    })
    lastEpoch = Math.max(lastEpoch, seen)
    if (found === null) return
    name = found.follower
    storedEpoch = found.epoch
    lastEpoch = Math.max(lastEpoch, found.epoch)
    if (found.generation === null || found.cursor === null) return
    base = { generation: found.generation, epoch: found.epoch }
    const stored = { generation: found.generation, cursor: found.cursor }
    // Rows of a later epoch are left of a snapshot that was cut short: only another one can tell what it had not reached.
    const isCutShort = lastEpoch > found.epoch
    position = isCutShort ? null : stored
    former = isCutShort ? stored : null
    isPositionStored = true
    staleness.restore(found.heardAt)
  })
  load()

  const isHeardStored = (): boolean =>
    position === null || heardAt === null || heardAt - storedHeardAt < heardMilliseconds
  const isStored = (): boolean =>
    intake.isWritten && (isPositionStored || position === null) && isHeardStored()

  const saveBatch = async (): Promise<void> => {
    const batch = intake.batch(batchSize)
    const now = clock()
    const pruneBefore = now - prunedAt >= pruneMilliseconds ? intake.forgottenBefore() : null
    const reached =
      batch.isWhole && position !== null && base !== null ? { position, heardAt, epoch: base.epoch } : null
    const isWritten = await rows.write(
      {
        ...batch,
        position:
          reached === null
            ? null
            : { follower: name, ...reached.position, epoch: reached.epoch, heardAt: reached.heardAt },
        pruneBefore,
      },
      storedEpoch,
    )
    if (!isWritten) return load()
    intake.written(batch)
    if (pruneBefore !== null) {
      prunedAt = now
      intake.forget(pruneBefore)
    }
    if (reached === null) return
    storedEpoch = reached.epoch
    storedHeardAt = reached.heardAt ?? storedHeardAt
    isPositionStored = position === reached.position
  }

  const saveAll = async (): Promise<void> => {
    while (!isStored()) {
      await saveBatch()
      // Requests come between two batches.
      await Bun.sleep(0)
    }
  }

  const save = (): Promise<void> => {
    saving ??= saveAll().finally(() => {
      saving = null
    })
    return saving
  }

  const saveAs = async (epoch: number): Promise<void> => {
    await save()
    if (storedEpoch !== epoch) throw new Superseded()
  }

  return {
    get name() {
      return name
    },
    find: intake.find,
    isEnded: intake.isEnded,
    isKeyRevoked: intake.isKeyRevoked,
    isComplete: () => base !== null,
    position: () => position,
    former: () => former,

    apply: (facts, next, at) => {
      const epoch = base?.epoch ?? lastEpoch
      for (const fact of facts) intake.take(fact, epoch, false)
      if (next !== null && next.cursor !== position?.cursor) {
        position = next
        isPositionStored = false
      }
      if (at === null) return
      heardAt = at
      staleness.heard(at)
    },

    save,

    beginSnapshot: generation => {
      const startedFrom = storedEpoch
      // Beyond whatever another process has begun meanwhile, on another history perhaps.
      const epoch = Math.max(lastEpoch, reader.lastEpoch()) + 1 + Math.floor(Math.random() * epochSpread)
      lastEpoch = epoch
      // Changes that follow the old position would be older than what is told now; if this is cut short, another one has to.
      former = position ?? former
      position = null
      return createSnapshotRun({
        intake,
        reader,
        epoch,
        // What is gone from another history may have been made after it was saved, and come back with a later copy.
        revokesKeys: base?.generation === generation,
        write: () => saveAs(startedFrom),
        complete: async (reached, at) => {
          base = { generation: reached.generation, epoch }
          position = reached
          former = null
          isPositionStored = false
          heardAt = at
          staleness.heard(at)
          await saveAs(epoch)
        },
      })
    },
  }
}

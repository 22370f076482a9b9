import type { Database } from 'bun:sqlite'
import type { Clock } from '../lib/clock.ts'
import {
  type Fact,
  type FeedPosition,
  type FollowerStore,
  type SnapshotRun,
  Superseded,
} from '../lib/follower-store.ts'
import { clockLeewaySeconds } from '../lib/jwt/verifier.ts'
import type { Staleness } from './staleness.ts'
import { createSubjectReader } from './subject-reader.ts'
import { createSubjectRows, type UnsavedSubject } from './subject-rows.ts'
import type { Subjects } from './subjects.ts'
import { createLists, createSubjectMemory, isNewer, type Subject } from './subjects-memory.ts'

export type SubjectStore = FollowerStore &
  Subjects & {
    /** Whether a snapshot was ever complete: before that nobody can be judged. */
    isComplete(): boolean
    /** Ids of signing keys that were revoked. */
    revokedKeys(): string[]
  }

export type SubjectStoreOptions = {
  readonly database: Database
  readonly clock: Clock
  readonly staleness: Staleness
  /** Begins the name by which `login` lists this follower. */
  readonly service: string
  /** How often it is written that `login` was heard, where nothing else is to be written. */
  readonly heardMilliseconds: number
}

/** Rows in one transaction. */
const batchSize = 500
const maxRestoredIds = 20
const pruneMilliseconds = 10_000
/** Signing keys are remembered with the sessions that ended, and for good: a thief can sign any times. */
const keyMark = 'kid:'
const forGood = 8_640_000_000_000_000

const followerName = (service: string): string =>
  `${service.replaceAll(/[^\w.-]/g, '-').slice(0, 40)}-${crypto.randomUUID().slice(0, 8)}`

/**
 * What the feed tells, in memory and in the service's own database. Everything counts from the moment it is applied and
 * is written after; the position is written with the last of what lies before it, so that a crash can only have
 * something told again.
 *
 * Each snapshot is an epoch: what it says overrides whatever an earlier one left, and within an epoch the number of the
 * change decides. The row of the position has the last epoch that is complete.
 */
export const createSubjectStore = ({
  database,
  clock,
  staleness,
  service,
  heardMilliseconds,
}: SubjectStoreOptions): SubjectStore => {
  const rows = createSubjectRows({ database, clock })
  const memory = createSubjectMemory()
  const listOf = createLists()
  const reader = createSubjectReader(database, listOf)
  const share = (list: readonly string[]): string[] => listOf(JSON.stringify(list), () => [...list])

  let name = followerName(service)
  let known: { readonly generation: string; readonly epoch: number } | null = null
  let position: FeedPosition | null = null
  let lastEpoch = 0
  /** The epoch in the row of the position, as this process knows it. */
  let savedEpoch = 0
  let heardAt: number | null = null
  let savedHeardAt = Number.NEGATIVE_INFINITY
  let isPositionSaved = true
  let prunedAt = Number.NEGATIVE_INFINITY
  const unsaved = new Map<string, UnsavedSubject>()
  const unsavedEnded = new Set<string>()
  let saving: Promise<void> | null = null

  /** Everything that the database has, in one read; what is known here and newer stays. */
  const load = database.transaction((): void => {
    const found = rows.position()
    const isSameHistory = known !== null && found?.generation === known.generation
    if (!isSameHistory) {
      // What was told here and not written would otherwise pass for written.
      unsaved.clear()
      memory.subjects.clear()
    }
    const missing = new Set(memory.subjects.keys())
    for (const row of reader.all()) {
      const { id, sequence, epoch } = row
      lastEpoch = Math.max(lastEpoch, epoch)
      const before = memory.subjects.get(id)
      missing.delete(id)
      if (isSameHistory && before !== undefined && before.sequence > sequence) {
        // Told since, in the numbers of the same history; from here on it belongs to the epoch of the other process.
        const subject = { ...before, epoch }
        memory.subjects.set(id, subject)
        if (unsaved.has(id))
          unsaved.set(id, { ...subject, revokesKeys: subject.status === 'deleted', restoredFrom: null })
        continue
      }
      unsaved.delete(id)
      memory.subjects.set(id, row)
    }
    for (const id of missing) {
      // Gone before the snapshot of the other process, or made after what it has read, which will be told again.
      const gone = { status: 'deleted', roles: share([]), scopes: share([]), epoch: 0 } as const
      const before = memory.subjects.get(id)
      if (before !== undefined) memory.subjects.set(id, { ...before, ...gone })
      unsaved.delete(id)
    }
    for (const { id, expiresAt } of reader.ended()) memory.ended.set(id, expiresAt)
    if (found === null) return
    name = found.follower
    savedEpoch = found.epoch
    lastEpoch = Math.max(lastEpoch, found.epoch)
    if (found.generation === null || found.cursor === null) return
    known = { generation: found.generation, epoch: found.epoch }
    // Rows of a later epoch are left of a snapshot that was cut short: only another one can tell what it had not reached.
    position = lastEpoch > found.epoch ? null : { generation: found.generation, cursor: found.cursor }
    isPositionSaved = true
    staleness.restore(found.heardAt)
  })
  load()

  const put = (
    subject: Omit<Subject, 'changedAt'>,
    { revokesKeys, restoredFrom }: Pick<UnsavedSubject, 'revokesKeys' | 'restoredFrom'>,
  ): void => {
    const before = memory.subjects.get(subject.id)
    if (!isNewer(before, subject)) return
    const isSame =
      before?.status === subject.status && before.roles === subject.roles && before.scopes === subject.scopes
    const made: Subject = { ...subject, changedAt: isSame ? before.changedAt : clock() }
    memory.subjects.set(subject.id, made)
    unsaved.set(subject.id, { ...made, revokesKeys, restoredFrom })
  }

  /** Until then tokens may have expired for `login` and not yet for us. */
  const forgottenBefore = (): number => clock() - clockLeewaySeconds * 1_000

  const end = (id: string, expiresAt: number): void => {
    const isKnown = (memory.ended.get(id) ?? Number.NEGATIVE_INFINITY) >= expiresAt
    if (isKnown || expiresAt < forgottenBefore()) return
    memory.ended.set(id, expiresAt)
    unsavedEnded.add(id)
  }

  /** @returns the status that a subject had, where a snapshot makes it active again. */
  const take = (fact: Fact, epoch: number, isSnapshot: boolean): UnsavedSubject['restoredFrom'] => {
    if (fact.kind !== 'subject') {
      if (fact.kind === 'ended') end(fact.id, fact.expiresAt)
      else end(`${keyMark}${fact.kid}`, forGood)
      return null
    }
    const { id, sequence } = fact
    const { status, roles, scopes } = fact.state
    const before = memory.subjects.get(id)?.status ?? 'active'
    const restoredFrom = isSnapshot && status === 'active' && before !== 'active' ? before : null
    put(
      { id, status, roles: share(roles), scopes: share(scopes), sequence, epoch },
      { revokesKeys: status === 'deleted', restoredFrom },
    )
    return restoredFrom
  }

  const isHeardSaved = (): boolean =>
    position === null || heardAt === null || heardAt - savedHeardAt < heardMilliseconds
  const isSaved = (): boolean =>
    unsaved.size === 0 && unsavedEnded.size === 0 && (isPositionSaved || position === null) && isHeardSaved()

  const pruneMemory = (before: number): void => {
    for (const [id, expiresAt] of memory.ended) {
      if (expiresAt >= before) continue
      memory.ended.delete(id)
      unsavedEnded.delete(id)
    }
  }

  const saveBatch = async (): Promise<void> => {
    const subjects = [...unsaved.values().take(batchSize)]
    const ended = [...unsavedEnded.values().take(batchSize)].map(id => ({
      id,
      expiresAt: memory.ended.get(id) ?? clock(),
    }))
    const isWhole = subjects.length === unsaved.size && ended.length === unsavedEnded.size
    const saved = { position, heardAt, known }
    const now = clock()
    const pruneBefore = now - prunedAt >= pruneMilliseconds ? forgottenBefore() : null
    const isWritten = await rows.write(
      {
        subjects,
        ended,
        position:
          isWhole && position !== null && known !== null
            ? { follower: name, ...position, epoch: known.epoch, heardAt }
            : null,
        pruneBefore,
      },
      savedEpoch,
    )
    if (!isWritten) return load()
    for (const subject of subjects) if (unsaved.get(subject.id) === subject) unsaved.delete(subject.id)
    for (const { id, expiresAt } of ended)
      if ((memory.ended.get(id) ?? expiresAt) === expiresAt) unsavedEnded.delete(id)
    if (pruneBefore !== null) {
      prunedAt = now
      pruneMemory(pruneBefore)
    }
    if (!isWhole || saved.position === null || saved.known === null) return
    savedEpoch = saved.known.epoch
    savedHeardAt = saved.heardAt ?? savedHeardAt
    isPositionSaved = position === saved.position
  }

  const saveAll = async (): Promise<void> => {
    while (!isSaved()) {
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

  const beginSnapshot = (generation: string): SnapshotRun => {
    const startedFrom = savedEpoch
    const isSameHistory = known?.generation === generation
    // Beyond whatever another process has begun meanwhile, on another history perhaps.
    lastEpoch = Math.max(lastEpoch, reader.lastEpoch()) + 1
    const epoch = lastEpoch
    // Changes that follow the old position would be older than what is told now; if this is cut short, another one has to.
    position = null
    // What is gone from another history may have been made after it was saved, and come back with a later copy.
    const revokesKeys = isSameHistory
    let count = 0
    const ids: string[] = []

    const write = async (): Promise<void> => {
      await save()
      if (savedEpoch !== startedFrom) throw new Superseded()
    }

    return {
      add: async facts => {
        for (const fact of facts) {
          if (take(fact, epoch, true) === null || fact.kind !== 'subject') continue
          count += 1
          if (ids.length < maxRestoredIds) ids.push(fact.id)
        }
        await write()
      },
      finish: async (reached, base, at) => {
        // Another process may have written otherwise of some who are gone.
        for (const row of reader.unseen(epoch)) memory.subjects.set(row.id, row)
        for (const { id, status, epoch: seen } of memory.subjects.values()) {
          if (seen >= epoch || status === 'deleted') continue
          const none = share([])
          put(
            { id, status: 'deleted', roles: none, scopes: none, sequence: base, epoch },
            { revokesKeys, restoredFrom: null },
          )
        }
        await write()
        known = { generation: reached.generation, epoch }
        position = reached
        isPositionSaved = false
        heardAt = at
        staleness.heard(at)
        await save()
        if (savedEpoch !== epoch) throw new Superseded()
        return { count, ids }
      },
    }
  }

  return {
    get name() {
      return name
    },
    find: memory.find,
    isEnded: memory.isEnded,
    isComplete: () => known !== null,
    revokedKeys: () =>
      [...memory.ended.keys()].filter(id => id.startsWith(keyMark)).map(id => id.slice(keyMark.length)),
    position: () => position,
    apply: (facts, next, at) => {
      const epoch = known?.epoch ?? lastEpoch
      for (const fact of facts) take(fact, epoch, false)
      if (next !== null && next.cursor !== position?.cursor) {
        position = next
        isPositionSaved = false
      }
      if (at === null) return
      heardAt = at
      staleness.heard(at)
    },
    save,
    beginSnapshot,
  }
}

import type { Database } from 'bun:sqlite'
import type { SubjectState } from '../lib/changes-schema.ts'
import type { Fact } from '../lib/follower-store.ts'
import { createStaleness, type Staleness } from './staleness.ts'
import { createSubjectStore, type SubjectStore } from './subject-store.ts'
import { openKeyDatabase } from './test-store.ts'

export const active: SubjectState = { status: 'active', roles: ['user'], scopes: [] }
export const disabled: SubjectState = { ...active, status: 'disabled' }
export const deleted: SubjectState = { status: 'deleted', roles: [], scopes: [] }
export const subject = (id: string, state: SubjectState, sequence: number): Fact => ({
  kind: 'subject',
  id,
  state,
  sequence,
})
export const at = (cursor: string, generation = 'g1') => ({ generation, cursor })

export type AuditRow = {
  readonly action: string
  readonly subject_id: string
  readonly detail: string
  readonly actor_id: string | null
}

/** A database, a clock in the hand of the test, and processes that start on them. */
export const createSubjectStage = () => {
  const database: Database = openKeyDatabase()
  const time = { now: 1_800_000_000_000 }
  const clock = (): number => time.now
  let staleness: Staleness = createStaleness({ maxStalenessSeconds: 30, clock, monotonic: () => 0 })
  return {
    database,
    time,
    clock,
    /** A process that starts on the database. */
    open: (): SubjectStore => {
      staleness = createStaleness({ maxStalenessSeconds: 30, clock, monotonic: () => 0 })
      return createSubjectStore({ database, clock, staleness, service: 'notes', heardMilliseconds: 10_000 })
    },
    /** How long ago login was heard, for the process that was started last. */
    lagSeconds: () => staleness.lagSeconds(),
    ended: (id: string, seconds: number): Fact => ({
      kind: 'ended',
      id,
      expiresAt: time.now + seconds * 1_000,
    }),
    /** A whole snapshot in one page. */
    snapshot: async (store: SubjectStore, facts: readonly Fact[], generation = 'g1') => {
      const run = store.beginSnapshot(generation)
      await run.add(facts)
      return run.finish(at('c0', generation), 0, time.now)
    },
    heardAt: () =>
      database.query<{ heard_at: number }, []>('SELECT heard_at FROM feed_position').get()?.heard_at,
    audit: (): AuditRow[] =>
      database
        .query<AuditRow, []>(
          'SELECT action, subject_id, detail, actor_id FROM api_key_audit ORDER BY sequence',
        )
        .all()
        .filter(({ action }) => action !== 'api_key.created'),
    /** Makes the database refuse to write this subject, until it is allowed again. */
    refuse: (id: string): void => {
      database.run(
        `CREATE TRIGGER refuse BEFORE INSERT ON subjects WHEN NEW.id = '${id}' BEGIN SELECT RAISE(ABORT, 'refused'); END`,
      )
    },
    allow: (): void => {
      database.run('DROP TRIGGER refuse')
    },
  }
}

export const statuses = (store: SubjectStore, ...ids: string[]): string[] =>
  ids.map(id => store.find(id)?.status ?? 'unknown')

import type { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { createExplainRows } from './explain-rows.ts'
import { openKeyDatabase } from './test-store.ts'
import { active, createSubjectStage, disabled, statuses, subject } from './test-subjects.ts'

describe('the owner of a key', () => {
  let stage: ReturnType<typeof createSubjectStage>
  beforeEach(() => {
    stage = createSubjectStage()
  })
  afterEach(() => stage.database.close())

  test('is told as the service takes them: whom the last complete snapshot did not have is gone', async () => {
    await stage.snapshot(stage.open(), [subject('usr_ann', active, 0), subject('usr_bob', disabled, 0)])
    stage.database.run("UPDATE subjects SET epoch = 0 WHERE id = 'usr_ann'")
    const rows = createExplainRows(stage.database)
    expect(['usr_ann', 'usr_bob'].map(id => rows.owner(id)?.status)).toEqual(['deleted', 'disabled'])
    expect(rows.owner('usr_ann')).toMatchObject({ roles: [], scopes: [] })
    expect(statuses(stage.open(), 'usr_ann', 'usr_bob')).toEqual(['deleted', 'disabled'])
    expect(rows.owner('usr_eve')).toBeNull()
  })
})

describe('the audit trail of one key', () => {
  let database: Database
  beforeEach(() => {
    database = openKeyDatabase()
  })
  afterEach(() => database.close())

  test('is found without a look at all the others, and is in order', () => {
    const plan = database
      .query<{ detail: string }, []>(
        `EXPLAIN QUERY PLAN SELECT at, detail FROM api_key_audit
         WHERE subject_id = 'key_1' AND action = 'api_key.changed' ORDER BY at DESC, sequence DESC LIMIT 1000`,
      )
      .all()
    expect(plan.map(({ detail }) => detail)).toEqual([
      'SEARCH api_key_audit USING INDEX api_key_audit_by_subject (subject_id=?)',
    ])
  })
})

import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import type { SubjectState } from '../lib/changes-schema.ts'
import { Superseded } from '../lib/follower-store.ts'
import { createSqliteKeyStore } from './store.ts'
import { newKey } from './test-store.ts'
import { active, at, createSubjectStage, deleted, disabled, statuses, subject } from './test-subjects.ts'

let stage: ReturnType<typeof createSubjectStage>
beforeEach(() => {
  stage = createSubjectStage()
})
afterEach(() => stage.database.close())

describe('a resync', () => {
  test('overrides what was known, whatever its number; who is not in it is gone', async () => {
    const store = stage.open()
    await stage.snapshot(store, [
      subject('usr_ann', active, 0),
      subject('usr_bob', active, 0),
      subject('usr_eve', active, 0),
    ])
    store.apply([subject('usr_ann', disabled, 90)], at('c90'), stage.time.now)
    await stage.snapshot(store, [subject('usr_ann', active, 7), subject('usr_bob', disabled, 7)], 'g2')
    const expected = ['active', 'disabled', 'deleted']
    expect(statuses(store, 'usr_ann', 'usr_bob', 'usr_eve')).toEqual(expected)
    expect(statuses(stage.open(), 'usr_ann', 'usr_bob', 'usr_eve')).toEqual(expected)
    store.apply([subject('usr_eve', active, 8)], at('c8', 'g2'), stage.time.now)
    expect(statuses(store, 'usr_eve')).toEqual(['active'])
  })

  test('of another process that can not be read leaves everybody as they were', async () => {
    const store = stage.open()
    const people = [subject('usr_ann', disabled, 0), subject('usr_bob', disabled, 0)]
    await stage.snapshot(store, people)
    await stage.snapshot(stage.open(), people, 'g2')
    stage.database.run("UPDATE subjects SET roles = 'torn' WHERE id = 'usr_ann'")
    store.apply([subject('usr_eve', active, 1)], at('c1'), stage.time.now)
    await expect(store.save()).rejects.toThrow(SyntaxError)
    expect(statuses(store, 'usr_ann', 'usr_bob')).toEqual(['disabled', 'disabled'])
  })

  test('while it is under way everybody is judged by what was known, and staleness counts on', async () => {
    const store = stage.open()
    await stage.snapshot(store, [subject('usr_ann', disabled, 0), subject('usr_bob', active, 0)])
    stage.time.now += 20_000
    const run = store.beginSnapshot('g2')
    await run.add([subject('usr_bob', active, 1)])
    expect([store.isComplete(), ...statuses(store, 'usr_ann', 'usr_bob'), stage.lagSeconds()]).toEqual([
      true,
      'disabled',
      'active',
      20,
    ])
    await run.finish(at('c1', 'g2'), 1, stage.time.now)
    expect([...statuses(store, 'usr_ann'), stage.lagSeconds()]).toEqual(['deleted', 0])
  })

  test('that is cut short is taken up by another one: what it had written can not be followed on', async () => {
    const store = stage.open()
    await stage.snapshot(store, [subject('usr_ann', active, 0)])
    await store.beginSnapshot('g2').add([subject('usr_ann', disabled, 1)])
    expect(store.position()).toBeNull()
    const again = stage.open()
    expect([again.isComplete(), again.position(), ...statuses(again, 'usr_ann')]).toEqual([
      true,
      null,
      'disabled',
    ])
    await stage.snapshot(again, [subject('usr_ann', active, 0)], 'g3')
    expect([stage.open().position(), ...statuses(stage.open(), 'usr_ann')]).toEqual([
      at('c0', 'g3'),
      'active',
    ])
  })

  test('that is cut short leaves the position before it to show to login, and to nothing else', async () => {
    const store = stage.open()
    expect(store.former()).toBeNull()
    await stage.snapshot(store, [subject('usr_ann', active, 0)])
    expect(store.former()).toBeNull()
    await store.beginSnapshot('g2').add([subject('usr_ann', disabled, 1)])
    const again = stage.open()
    for (const one of [store, again]) expect([one.position(), one.former()]).toEqual([null, at('c0')])
    await again.beginSnapshot('g2').add([subject('usr_ann', disabled, 1)])
    expect([again.position(), again.former()]).toEqual([null, at('c0')])
    await stage.snapshot(again, [], 'g3')
    expect([again.former(), stage.open().former()]).toEqual([null, null])
  })

  test('tells who is active again that was not, and writes an audit row for each', async () => {
    const store = stage.open()
    await stage.snapshot(store, [
      subject('usr_ann', disabled, 0),
      subject('usr_bob', active, 0),
      subject('usr_eve', deleted, 0),
    ])
    const restored = await stage.snapshot(
      store,
      [
        subject('usr_ann', active, 0),
        subject('usr_bob', active, 0),
        subject('usr_eve', active, 0),
        subject('usr_new', active, 0),
      ],
      'g2',
    )
    expect(restored).toEqual({ count: 2, ids: ['usr_ann', 'usr_eve'] })
    expect(
      stage.audit().map(({ action, subject_id, detail, actor_id }) => [action, subject_id, detail, actor_id]),
    ).toEqual([
      ['subject.restored', 'usr_ann', '{"from":"disabled"}', null],
      ['subject.restored', 'usr_eve', '{"from":"deleted"}', null],
    ])
  })

  test('tells of nobody whom the snapshot had inactive and a change has enabled, or the other way round', async () => {
    const store = stage.open()
    await stage.snapshot(store, [subject('usr_ann', active, 0), subject('usr_bob', active, 0)])
    const run = store.beginSnapshot('g2')
    await run.add([subject('usr_ann', disabled, 5)])
    await run.add([subject('usr_ann', active, 6), subject('usr_bob', disabled, 7)])
    await run.add([subject('usr_bob', active, 5)])
    expect(await run.finish(at('c7', 'g2'), 5, stage.time.now)).toEqual({ count: 0, ids: [] })
    expect(statuses(store, 'usr_ann', 'usr_bob')).toEqual(['active', 'disabled'])
    expect(stage.audit()).toEqual([])
  })

  test('names twenty of many, and counts them all', async () => {
    const store = stage.open()
    const many = (state: SubjectState) =>
      Array.from({ length: 30 }, (_, index) => subject(`usr_${index}`, state, 0))
    await stage.snapshot(store, many(disabled))
    const { count, ids } = await stage.snapshot(store, many(active), 'g2')
    expect([count, ids.length]).toEqual([30, 20])
  })
})

describe('the keys of an owner', () => {
  const setUp = async () => {
    const keys = createSqliteKeyStore({ database: stage.database, clock: stage.clock })
    const context = { actorId: null, requestId: null, address: null }
    const [one, other] = [newKey('usr_ann'), newKey('usr_bob')]
    await keys.insert(one, 10, context)
    await keys.insert(other, 10, context)
    const store = stage.open()
    await stage.snapshot(store, [subject('usr_ann', active, 0), subject('usr_bob', active, 0)])
    const revokedAt = async ({ id }: { id: string }) => (await keys.findCredential(id))?.key.revokedAt
    return { store, one, other, revokedAt }
  }

  test('who was deleted are revoked with that, audited, and nobody else’s', async () => {
    const { store, one, other, revokedAt } = await setUp()
    store.apply([subject('usr_ann', deleted, 1), subject('usr_bob', disabled, 2)], at('c2'), stage.time.now)
    await store.save()
    expect([await revokedAt(one), await revokedAt(other)]).toEqual([stage.time.now, null])
    expect(stage.audit()).toEqual([
      {
        action: 'api_key.revoked',
        subject_id: one.id,
        actor_id: null,
        detail: JSON.stringify({ name: 'test', ownerId: 'usr_ann', reason: 'owner_deleted' }),
      },
    ])
  })

  test('who was deleted are revoked together with the row, or neither is', async () => {
    const { store, one, revokedAt } = await setUp()
    stage.refuse('usr_bob')
    store.apply([subject('usr_ann', deleted, 1), subject('usr_bob', disabled, 2)], at('c2'), stage.time.now)
    await expect(store.save()).rejects.toThrow()
    expect([await revokedAt(one), ...statuses(stage.open(), 'usr_ann')]).toEqual([null, 'active'])
  })

  test('who is gone from a snapshot of the same history are revoked', async () => {
    const { store, one, revokedAt } = await setUp()
    await stage.snapshot(store, [subject('usr_bob', active, 0)])
    expect(await revokedAt(one)).toBe(stage.time.now)
  })

  test.each([
    ['the same history are revoked', 'g1', stage => stage.time.now],
    ['another history are not revoked', 'g2', () => null],
  ] satisfies [string, string, (of: typeof stage) => number | null][])(
    'who is gone, after a snapshot that was cut short, from one of %s',
    async (_, generation, expected) => {
      const { store, one, other, revokedAt } = await setUp()
      await store.beginSnapshot(generation).add([subject('usr_bob', active, 1)])
      await stage.snapshot(stage.open(), [subject('usr_bob', active, 1)], generation)
      expect([await revokedAt(one), await revokedAt(other)]).toEqual([expected(stage), null])
      expect(statuses(stage.open(), 'usr_ann', 'usr_bob')).toEqual(['deleted', 'active'])
    },
  )

  test('who is gone from another history are refused, and may come back', async () => {
    const { store, one, revokedAt } = await setUp()
    await stage.snapshot(store, [subject('usr_bob', active, 0)], 'g2')
    expect([...statuses(store, 'usr_ann'), await revokedAt(one)]).toEqual(['deleted', null])
    await stage.snapshot(store, [subject('usr_ann', active, 0), subject('usr_bob', active, 0)], 'g3')
    expect([...statuses(store, 'usr_ann'), await revokedAt(one)]).toEqual(['active', null])
  })
})

describe('two processes on one database', () => {
  test('neither takes back what the other has written', async () => {
    const one = stage.open()
    await stage.snapshot(one, [subject('usr_ann', active, 0)])
    const two = stage.open()
    one.apply([subject('usr_ann', disabled, 1)], at('c1'), stage.time.now)
    one.apply([subject('usr_ann', active, 2)], at('c2'), stage.time.now)
    await one.save()
    two.apply([subject('usr_ann', disabled, 1), subject('usr_bob', disabled, 2)], at('c1'), stage.time.now)
    await two.save()
    expect(statuses(stage.open(), 'usr_ann', 'usr_bob')).toEqual(['active', 'disabled'])
  })

  test('after a resync of the one the other takes it over, and keeps what it knows beyond it', async () => {
    const one = stage.open()
    await stage.snapshot(one, [subject('usr_ann', active, 0), subject('usr_bob', active, 0)])
    const two = stage.open()
    await stage.snapshot(one, [subject('usr_ann', active, 3)])
    two.apply([subject('usr_ann', disabled, 4)], at('c4'), stage.time.now)
    await two.save()
    expect(statuses(two, 'usr_ann', 'usr_bob')).toEqual(['disabled', 'deleted'])
    expect(two.position()).toEqual(at('c0'))
    expect(statuses(stage.open(), 'usr_ann', 'usr_bob')).toEqual(['disabled', 'deleted'])
  })

  test('who is gone with the resync of the one is gone for the other, though it heard of them later', async () => {
    const one = stage.open()
    await stage.snapshot(one, [])
    const two = stage.open()
    await stage.snapshot(one, [])
    two.apply([subject('usr_ann', active, 1)], at('c1'), stage.time.now)
    await two.save()
    expect([...statuses(two, 'usr_ann'), two.position()]).toEqual(['deleted', at('c0')])
    two.apply([subject('usr_ann', active, 1)], at('c1'), stage.time.now)
    expect(statuses(two, 'usr_ann')).toEqual(['active'])
  })

  test('who is gone from a snapshot is gone from the database too, if the other process alone has heard of them', async () => {
    const one = stage.open()
    await stage.snapshot(one, [])
    const two = stage.open()
    one.apply([subject('usr_ann', active, 1)], at('c1'), stage.time.now)
    await one.save()
    await stage.snapshot(two, [], 'g2')
    expect(statuses(stage.open(), 'usr_ann')).toEqual(['deleted'])
  })

  test('a snapshot that another one has overtaken is given up', async () => {
    const one = stage.open()
    const two = stage.open()
    const run = two.beginSnapshot('g1')
    await run.add([subject('usr_ann', active, 0)])
    await stage.snapshot(one, [subject('usr_ann', disabled, 1)])
    await expect(run.add([subject('usr_bob', active, 1)])).rejects.toThrow(Superseded)
    expect([two.isComplete(), ...statuses(two, 'usr_ann')]).toEqual([true, 'disabled'])
  })

  test('a row that one wrote while the snapshot of the other ended does not bring back who is gone', async () => {
    const one = stage.open()
    await stage.snapshot(one, [subject('usr_eve', active, 0), subject('usr_kim', active, 0)])
    const two = stage.open()
    const rowOf = "SELECT id, epoch, sequence FROM subjects WHERE id IN ('usr_eve', 'usr_kim')"
    const before = stage.database.query<{ id: string; epoch: number; sequence: number }, []>(rowOf).all()
    two.apply([subject('usr_kim', active, 5)], at('c5'), stage.time.now)
    await stage.snapshot(one, [])
    // As if they had been written after the last look of `one` at what it has not seen.
    for (const { id, epoch, sequence } of before) {
      stage.database.run("UPDATE subjects SET status = 'active', epoch = ?, sequence = ? WHERE id = ?", [
        epoch,
        sequence,
        id,
      ])
    }
    await two.save()
    const gone = ['deleted', 'deleted']
    expect(statuses(stage.open(), 'usr_eve', 'usr_kim')).toEqual(gone)
    expect(statuses(two, 'usr_eve', 'usr_kim')).toEqual(gone)
    two.apply([subject('usr_kim', active, 5)], at('c5'), stage.time.now)
    await two.save()
    expect(statuses(stage.open(), 'usr_eve', 'usr_kim')).toEqual(['deleted', 'active'])
  })

  test('two snapshots that are begun at once do not mix', async () => {
    const one = stage.open()
    const two = stage.open()
    const [first, second] = [one.beginSnapshot('g1'), two.beginSnapshot('g1')]
    await second.add([subject('usr_eve', active, 10)])
    await first.add([subject('usr_ann', active, 11)])
    await first.finish(at('c11'), 11, stage.time.now)
    const again = stage.open()
    // Either it is known that she is gone, or that everything has to be read anew.
    expect(again.position() === null || again.find('usr_eve')?.status !== 'active').toBe(true)
  })

  test('signing keys that the one knows to be revoked count for the other once it takes over', async () => {
    const one = stage.open()
    await stage.snapshot(one, [])
    const two = stage.open()
    await stage.snapshot(one, [])
    one.apply([{ kind: 'signingKey', kid: 'key_1' }, stage.ended('ses_1', 60)], at('c1'), stage.time.now)
    await one.save()
    expect([two.isKeyRevoked('key_1'), two.isEnded('ses_1')]).toEqual([false, false])
    two.apply([subject('usr_ann', active, 1)], at('c1'), stage.time.now)
    await two.save()
    expect([two.isKeyRevoked('key_1'), two.isEnded('ses_1')]).toEqual([true, true])
  })
})

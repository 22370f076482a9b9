import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { active, at, createSubjectStage, disabled, statuses, subject } from './test-subjects.ts'

let stage: ReturnType<typeof createSubjectStage>
beforeEach(() => {
  stage = createSubjectStage()
})
afterEach(() => stage.database.close())

describe('a first start', () => {
  test('nobody can be judged until a snapshot is complete, also after a restart half way', async () => {
    const store = stage.open()
    expect([store.isComplete(), store.position()]).toEqual([false, null])
    const run = store.beginSnapshot('g1')
    await run.add([subject('usr_ann', active, 3)])
    expect([store.isComplete(), store.position()]).toEqual([false, null])
    expect([stage.open().isComplete(), stage.open().position()]).toEqual([false, null])
    await run.finish(at('c3'), 3, stage.time.now)
    expect([store.isComplete(), store.position()]).toEqual([true, at('c3')])
    const again = stage.open()
    expect([again.isComplete(), again.position(), ...statuses(again, 'usr_ann')]).toEqual([
      true,
      at('c3'),
      'active',
    ])
  })

  test('the name stays the same over restarts', async () => {
    const store = stage.open()
    expect(store.name).toMatch(/^notes-[0-9a-f]{8}$/)
    await stage.snapshot(store, [])
    expect(stage.open().name).toBe(store.name)
  })
})

describe('what is applied', () => {
  test('counts at once, before it is written, and is written together with the position', async () => {
    const store = stage.open()
    await stage.snapshot(store, [subject('usr_ann', active, 0)])
    store.apply([subject('usr_ann', disabled, 1), stage.ended('ses_1', 60)], at('c1'), stage.time.now)
    expect([...statuses(store, 'usr_ann'), store.isEnded('ses_1'), store.isEnded('ses_2')]).toEqual([
      'disabled',
      true,
      false,
    ])
    expect(statuses(stage.open(), 'usr_ann')).toEqual(['active'])
    await store.save()
    const again = stage.open()
    expect([...statuses(again, 'usr_ann'), again.isEnded('ses_1'), again.position()]).toEqual([
      'disabled',
      true,
      at('c1'),
    ])
  })

  test('an older fact changes nothing, in memory or in the database', async () => {
    const store = stage.open()
    await stage.snapshot(store, [])
    store.apply([subject('usr_ann', disabled, 5), subject('usr_ann', active, 4)], at('c5'), stage.time.now)
    store.apply([subject('usr_ann', active, 5), subject('usr_ann', active, 1)], at('c5'), stage.time.now)
    await store.save()
    expect([...statuses(store, 'usr_ann'), ...statuses(stage.open(), 'usr_ann')]).toEqual([
      'disabled',
      'disabled',
    ])
  })

  test('a batch that breaks off half way is not written at all, counts nevertheless, and is written later', async () => {
    const store = stage.open()
    await stage.snapshot(store, [])
    stage.refuse('usr_bad')
    store.apply(
      [subject('usr_ann', disabled, 1), subject('usr_bad', disabled, 2), stage.ended('ses_1', 60)],
      at('c2'),
      stage.time.now,
    )
    await expect(store.save()).rejects.toThrow('refused')
    expect(statuses(store, 'usr_ann', 'usr_bad')).toEqual(['disabled', 'disabled'])
    const crashed = stage.open()
    expect([...statuses(crashed, 'usr_ann', 'usr_bad'), crashed.isEnded('ses_1')]).toEqual([
      'unknown',
      'unknown',
      false,
    ])
    expect(crashed.position()).toEqual(at('c0'))
    stage.allow()
    store.apply([subject('usr_bob', disabled, 3)], at('c3'), stage.time.now)
    await store.save()
    const again = stage.open()
    expect(statuses(again, 'usr_ann', 'usr_bad', 'usr_bob')).toEqual(['disabled', 'disabled', 'disabled'])
    expect([again.isEnded('ses_1'), again.position()]).toEqual([true, at('c3')])
  })

  test('without a position it counts, and the position stays where it was', async () => {
    const store = stage.open()
    await stage.snapshot(store, [])
    store.apply([subject('usr_ann', disabled, 1)], null, null)
    await store.save()
    expect([store.position(), ...statuses(stage.open(), 'usr_ann')]).toEqual([at('c0'), 'disabled'])
  })

  test('more than a transaction holds is written in several, the position with the last', async () => {
    const store = stage.open()
    await stage.snapshot(store, [])
    const facts = Array.from({ length: 2_500 }, (_, index) => subject(`usr_${index}`, disabled, index + 1))
    store.apply(facts, at('c2500'), stage.time.now)
    const saving = store.save()
    await Bun.sleep(0)
    expect(stage.open().position()).toEqual(at('c0'))
    await saving
    expect([stage.open().position(), ...statuses(stage.open(), 'usr_2499')]).toEqual([
      at('c2500'),
      'disabled',
    ])
  })

  test('when login was heard is written with each batch, and else now and then', async () => {
    const store = stage.open()
    await stage.snapshot(store, [])
    stage.time.now += 9_000
    store.apply([], at('c0'), stage.time.now)
    await store.save()
    expect(stage.heardAt()).toBe(stage.time.now - 9_000)
    stage.time.now += 2_000
    store.apply([], at('c0'), stage.time.now)
    await store.save()
    expect(stage.heardAt()).toBe(stage.time.now)
    stage.time.now += 1_000
    store.apply([subject('usr_ann', active, 1)], at('c1'), stage.time.now)
    await store.save()
    expect(stage.heardAt()).toBe(stage.time.now)
    stage.open()
    expect(stage.lagSeconds()).toBe(0)
  })
})

describe('sessions and tokens that ended', () => {
  test('are forgotten when the last token has expired by our clock too, leeway included', async () => {
    const store = stage.open()
    await stage.snapshot(store, [stage.ended('ses_1', 60)])
    const pass = async (seconds: number): Promise<void> => {
      stage.time.now += seconds * 1_000
      store.apply([], at('c0'), stage.time.now)
      await store.save()
    }
    await pass(64)
    expect([store.isEnded('ses_1'), stage.open().isEnded('ses_1')]).toEqual([true, true])
    await pass(11)
    expect([store.isEnded('ses_1'), stage.open().isEnded('ses_1')]).toEqual([false, false])
  })

  test('the later of two ends counts, in whatever order they come', async () => {
    const store = stage.open()
    await stage.snapshot(store, [stage.ended('ses_1', 600)])
    store.apply([stage.ended('ses_1', 60)], at('c1'), stage.time.now)
    await store.save()
    stage.time.now += 120_000
    store.apply([], at('c1'), stage.time.now)
    await store.save()
    expect([store.isEnded('ses_1'), stage.open().isEnded('ses_1')]).toEqual([true, true])
  })

  test('that are over when they are heard of are not kept, and do not hold up what is', async () => {
    const store = stage.open()
    await stage.snapshot(store, [stage.ended('ses_1', -60), stage.ended('ses_2', 60)])
    expect([store.isEnded('ses_1'), store.isEnded('ses_2')]).toEqual([false, true])
  })

  test('survive a resync that does not know of them', async () => {
    const store = stage.open()
    await stage.snapshot(store, [stage.ended('ses_1', 60)])
    await stage.snapshot(store, [], 'g2')
    expect([store.isEnded('ses_1'), stage.open().isEnded('ses_1')]).toEqual([true, true])
  })

  test('signing keys that were revoked are remembered for good', async () => {
    const store = stage.open()
    await stage.snapshot(store, [])
    store.apply([{ kind: 'signingKey', kid: 'key_1' }], at('c1'), stage.time.now)
    await store.save()
    stage.time.now += 400 * 86_400_000
    store.apply([], at('c1'), stage.time.now)
    await store.save()
    expect([stage.open().isKeyRevoked('key_1'), stage.open().isKeyRevoked('key_2')]).toEqual([true, false])
    expect([store.isKeyRevoked('key_1'), store.isEnded('key_1')]).toEqual([true, false])
  })
})

test('since when tokens are good is known as the feed told it last, also after a restart', async () => {
  const store = stage.open()
  const since = (tokensSince: number, sequence: number) =>
    subject('cli_ci', { ...active, tokensSince }, sequence)
  await stage.snapshot(store, [since(1_700_000_000, 0), subject('cli_other', active, 0)])
  const known = (of: typeof store) => [of.find('cli_ci')?.tokensSince, of.find('cli_other')?.tokensSince]
  expect([...known(store), ...known(stage.open())]).toEqual([
    1_700_000_000,
    undefined,
    1_700_000_000,
    undefined,
  ])
  store.apply([since(1_700_000_100, 1)], at('c1'), stage.time.now)
  await store.save()
  expect([...known(store), ...known(stage.open())]).toEqual([
    1_700_000_100,
    undefined,
    1_700_000_100,
    undefined,
  ])
  store.apply([subject('cli_ci', active, 2)], at('c2'), stage.time.now)
  await store.save()
  expect([known(store)[0], known(stage.open())[0]]).toEqual([undefined, undefined])
})

test('lists of roles are shared between the subjects that have them', async () => {
  const store = stage.open()
  await stage.snapshot(store, [
    subject('usr_ann', { ...active, roles: ['user'] }, 0),
    subject('usr_bob', active, 0),
  ])
  const again = stage.open()
  expect(store.find('usr_ann')?.roles).toBe(store.find('usr_bob')?.roles)
  expect(again.find('usr_ann')?.roles).toBe(again.find('usr_bob')?.roles)
})

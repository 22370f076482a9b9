import { describe, expect, test } from 'bun:test'
import { createEvents, type KeyEvent } from './events.ts'
import { createRefusedEvents } from './refused-events.ts'

const event = (keys: number): KeyEvent => ({ type: 'owner.deleted', at: 0, ownerId: 'usr_ann', keys })
const numberOf = (told: KeyEvent): number => (told.type === 'owner.deleted' ? told.keys : -1)

const listen = (
  listener: (event: KeyEvent) => unknown,
  limits: { maxWaiting?: number; maxAtWork?: number } = {},
) => {
  const warnings: object[] = []
  const log = { info: () => {}, warn: (details: object) => warnings.push(details) }
  return { warnings, events: createEvents({ listener, log, ...limits }) }
}

describe('events', () => {
  test('are told in their order, and never within the step that causes them', async () => {
    const told: number[] = []
    const { events } = listen(one => told.push(numberOf(one)))
    for (let count = 0; count < 500; count += 1) events.emit(event(count))
    expect(told).toEqual([])
    await Promise.resolve()
    expect(told).toEqual([])
    await events.drain(1_000)
    expect(told).toEqual(Array.from({ length: 500 }, (_, index) => index))
  })

  test('a listener that throws or rejects is logged, and hears the next one', async () => {
    const told: number[] = []
    const { events, warnings } = listen(one => {
      told.push(numberOf(one))
      if (numberOf(one) === 1) throw new Error('thrown')
      return numberOf(one) === 2 ? Promise.reject(new Error('rejected')) : undefined
    })
    for (const count of [0, 1, 2, 3]) events.emit(event(count))
    await events.drain(1_000)
    expect(told).toEqual([0, 1, 2, 3])
    expect(warnings).toHaveLength(2)
  })

  test('a listener that never ends has so many at work and so many waiting; the others are counted as lost', async () => {
    let told = 0
    const { events } = listen(
      () => {
        told += 1
        return new Promise(() => {})
      },
      { maxWaiting: 5, maxAtWork: 3 },
    )
    for (let count = 0; count < 20; count += 1) events.emit(event(count))
    await events.drain(50)
    expect(told).toBe(3)
    // Five waited before the first turn; three of those are at work now.
    expect(events.lost()).toBe(15)
    for (let count = 0; count < 4; count += 1) events.emit(event(count))
    expect(events.lost()).toBe(16)
  })

  test('waiting events are told as soon as a listener is done with one', async () => {
    const told: number[] = []
    const ends: (() => void)[] = []
    const { events } = listen(
      one => {
        told.push(numberOf(one))
        return new Promise<void>(resolve => ends.push(resolve))
      },
      { maxAtWork: 1 },
    )
    for (const count of [0, 1, 2]) events.emit(event(count))
    await events.drain(30)
    expect(told).toEqual([0])
    ends[0]?.()
    await events.drain(30)
    expect(told).toEqual([0, 1])
  })
})

describe('refusals as events', () => {
  const setUp = () => {
    const told: KeyEvent[] = []
    let now = 1_000
    const refused = createRefusedEvents({ clock: () => now, emit: one => told.push(one) })
    return {
      told,
      refused,
      pass: (milliseconds: number) => {
        now += milliseconds
      },
    }
  }

  test('a flood is told once a minute for each key and code, with how many there were', () => {
    const { told, refused, pass } = setUp()
    for (let count = 0; count < 100; count += 1) refused('key_a', 'api_key_expired', '192.0.2.1')
    refused('key_a', 'api_key_disabled', null)
    refused('key_b', 'api_key_expired', null)
    expect(told).toHaveLength(3)
    pass(60_000)
    refused('key_a', 'api_key_expired', '192.0.2.2')
    expect(told.at(-1)).toEqual({
      type: 'api_key.refused',
      at: 61_000,
      keyId: 'key_a',
      code: 'api_key_expired',
      address: '192.0.2.2',
      times: 100,
    })
  })

  test('a clock that is put back keeps nothing from being told', () => {
    const { told, refused, pass } = setUp()
    refused('key_a', 'api_key_expired', null)
    pass(-500)
    refused('key_a', 'api_key_expired', null)
    expect(told).toHaveLength(2)
  })
})

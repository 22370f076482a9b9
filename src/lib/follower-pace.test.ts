import { describe, expect, test } from 'bun:test'
import { createPace, createTelling } from './follower-pace.ts'

const empty = { isEmpty: true, isStuck: false }
const full = { isEmpty: false, isStuck: false }
const stuck = { isEmpty: false, isStuck: true }

const paces = (answers: [{ isEmpty: boolean; isStuck: boolean }, number, number][]): number[] => {
  const pace = createPace(() => 0)
  return answers.map(answer => pace.afterAnswer(...answer))
}

describe('after an answer', () => {
  test('nothing is waited where it had something, waited as long as it might, or was not to wait', () => {
    expect(
      paces([
        [full, 2_000, 1],
        [empty, 2_000, 1_990],
        [empty, 2_000, 1_000],
        [empty, 0, 1],
      ]),
    ).toEqual([0, 0, 0, 0])
  })

  test('that is empty too early a pause grows from a tenth of a second to a second', () => {
    expect(paces(Array.from({ length: 6 }, () => [empty, 2_000, 1]))).toEqual([
      100, 200, 400, 800, 1_000, 1_000,
    ])
  })

  test('that leads to itself there is a pause, whether or not it was to wait', () => {
    expect(
      paces([
        [stuck, 0, 1],
        [stuck, 2_000, 1],
        [full, 2_000, 1],
        [stuck, 0, 1],
      ]),
    ).toEqual([100, 200, 0, 100])
  })
})

test('a second snapshot within 10 s waits, a third waits longer, and one after 10 s of quiet does not', () => {
  let now = 0
  const pace = createPace(() => now)
  const waits: number[] = []
  for (const at of [0, 9_999, 10_500, 11_000, 21_000, 21_001]) {
    now = at
    waits.push(pace.beforeResync())
    pace.resyncBegan()
  }
  expect(waits).toEqual([0, 100, 200, 400, 0, 100])
})

test('a snapshot that could not even begin makes the next one wait no longer', () => {
  const pace = createPace(() => 0)
  expect([pace.beforeResync(), pace.beforeResync(), pace.beforeResync()]).toEqual([0, 0, 0])
})

test('a thing is told once a minute with how often it came, and each of its own', () => {
  let now = 0
  const telling = createTelling<'one' | 'two'>(() => now)
  expect([telling.countOf('one'), telling.countOf('one'), telling.countOf('two')]).toEqual([1, null, 1])
  now = 59_999
  expect(telling.countOf('one')).toBeNull()
  now = 60_000
  expect([telling.countOf('one'), telling.countOf('two')]).toEqual([3, 1])
})

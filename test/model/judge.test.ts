import { describe, expect, test } from 'bun:test'
import { judge, knownUntil, openWindow, type Segment, type Window } from './timeline.ts'

/** The judge of the model test, which would be worth nothing if it let everything pass. */

const always = openWindow(0)
const until = (to: number): Window => ({ ...always, to, latest: to + 10 })
const maxStaleness = 3_000

/** Good from 1 s on, revoked by a request sent at 20 s and acknowledged at 20.1 s. */
const revoked: Segment[] = [
  { from: 1_000, local: 'good', remote: 'good' },
  { from: 20_000, local: 'good', remote: 'either' },
  { from: 20_100, local: 'good', remote: 'bad' },
]
const answer = (status: number, sent: number, windows = [always], segments = revoked): string | null =>
  judge({ status, sent, answered: sent + 5 }, segments, windows, maxStaleness)

describe('a credential that was revoked', () => {
  test('may be honoured until the bound is over, and not after it', () => {
    expect(answer(200, 20_050)).toBeNull()
    expect(answer(200, 21_590)).toBeNull()
    expect(answer(200, 21_610)).toContain('later than the bound')
    expect(answer(204, 60_000)).toContain('later than the bound')
  })

  test('may be refused from the moment on at which the revocation was sent, and not before', () => {
    expect(answer(401, 19_990)).toContain('refused though it is good')
    expect(answer(401, 19_999)).toBeNull()
    expect(answer(403, 30_000)).toBeNull()
  })

  test('may be honoured for longer while the wire is cut, by a service that has heard lately, and by no other', () => {
    const cut = [until(20_050)]
    expect(answer(200, 22_000, cut)).toBeNull()
    expect(answer(200, 24_550, cut)).toBeNull()
    expect(answer(200, 24_570, cut)).toContain('had not heard for too long')
  })

  test('may be honoured by a service that came up, and may have heard, while it was asked', () => {
    const back = { ...openWindow(30_010), earliest: 29_000 }
    expect(answer(200, 30_000, [until(20_050)])).toContain('had not heard for too long')
    expect(answer(200, 30_000, [until(20_050), back])).toBeNull()
    expect(answer(200, 28_000, [until(20_050), back])).toContain('had not heard for too long')
  })

  test('is not honoured after the wire was whole for the bound, though it is cut now', () => {
    expect(answer(200, 22_000, [until(21_500)])).toBeNull()
    expect(answer(200, 22_000, [until(21_601)])).toContain('later than the bound')
  })

  test('is not honoured any more once the service has said that it knows', () => {
    const heard = [{ ...openWindow(19_000), heard: [{ at: 20_300, known: 20_200 }] }]
    expect(answer(200, 20_250, heard)).toBeNull()
    expect(answer(200, 20_310, heard)).toContain('later than the bound')
  })

  test('need not be known before there was time to find the way back', () => {
    const back = [until(20_050), openWindow(40_000)]
    expect(answer(200, 42_900, back)).toBeNull()
    expect(answer(200, 43_100, back)).toContain('later than the bound')
  })
})

describe('a credential that is good', () => {
  const good: Segment[] = [{ from: 1_000, local: 'good', remote: 'good' }]

  test('may be refused until the bound is over, as it was not there before, and not after it', () => {
    expect(answer(403, 2_000, [always], good)).toBeNull()
    // Nothing is known for certain until the feed has been up for long enough.
    expect(answer(403, 2_900, [always], good)).toBeNull()
    expect(answer(403, 3_100, [always], good)).toContain('refused though it is good')
  })

  test('may be not judged while the feed is down or on its way up, and not while it is up', () => {
    expect(answer(503, 2_000, [always], good)).toBeNull()
    expect(answer(503, 5_000, [until(4_900)], good)).toBeNull()
    expect(answer(503, 5_000, [always], good)).toContain('not judged')
    expect(answer(0, 5_000, [always], good)).toBeNull()
    expect(answer(500, 5_000, [until(4_900)], good)).toBe('answered with 500')
  })

  test('that the service itself revoked is not honoured for a moment longer', () => {
    const dead: Segment[] = [
      ...good,
      { from: 20_000, local: 'either', remote: 'good' },
      { from: 20_010, local: 'bad', remote: 'good' },
    ]
    expect(answer(200, 20_009, [until(10_000)], dead)).toContain('had not heard')
    expect(answer(200, 20_009, [always], dead)).toBeNull()
    expect(answer(200, 20_011, [always], dead)).toContain('the service itself')
    expect(answer(403, 20_011, [always], dead)).toBeNull()
  })
})

test('a new credential of an owner who lost a right may be honoured until the bound is over', () => {
  const narrow: Segment[] = [{ from: 20_000, local: 'good', remote: 'bad' }]
  expect(answer(200, 21_400, [always], narrow)).toBeNull()
  expect(answer(200, 21_600, [always], narrow)).toContain('later than the bound')
})

test('what is known is what was acknowledged a bound before the end of the last time that was long enough', () => {
  expect(knownUntil([always], 2_999)).toBe(Number.NEGATIVE_INFINITY)
  expect(knownUntil([always], 10_000)).toBe(8_500)
  expect(knownUntil([until(6_000)], 10_000)).toBe(4_500)
  expect(knownUntil([until(6_000), { ...openWindow(9_000), to: 9_500, latest: 9_500 }], 10_000)).toBe(4_500)
})

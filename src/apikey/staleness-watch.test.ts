import { beforeEach, expect, test } from 'bun:test'
import type { StaleMode } from './staleness.ts'
import { createStalenessWatch } from './staleness-watch.ts'

let said: [string, object, string][]
let isStale: boolean
let isJudging: boolean
beforeEach(() => {
  said = []
  isStale = false
  isJudging = true
})

const watchIn = (staleMode: StaleMode) =>
  createStalenessWatch({
    staleness: { isStale: () => isStale, lagSeconds: () => 301.4 },
    isJudging: () => isJudging,
    staleMode,
    maxStalenessSeconds: 300,
    log: {
      info: (details, message) => said.push(['info', details, message]),
      warn: (details, message) => said.push(['warn', details, message]),
    },
  })

test.each<[StaleMode, RegExp]>([
  ['allow', /not heard for longer than allowed: callers are judged by what was known then/],
  ['deny', /not heard for longer than allowed: nobody is judged, every caller is refused with 503/],
])('%s: the limit is told once for each time that it is crossed, and so is the way back', (mode, words) => {
  const watch = watchIn(mode)
  watch()
  expect(said).toEqual([])
  for (const stale of [true, true, false, false, true]) {
    isStale = stale
    watch()
  }
  const warned = [
    'warn',
    { staleMode: mode, maxStalenessSeconds: 300, lagSeconds: 301 },
    expect.stringMatching(words),
  ]
  const back = ['info', { staleMode: mode }, 'what is known of login is current again']
  expect<unknown[]>(said).toEqual([warned, back, warned])
})

test('before anybody is judged there is nothing that could be out of date', () => {
  const watch = watchIn('allow')
  isStale = true
  isJudging = false
  watch()
  expect(said).toEqual([])
  isJudging = true
  watch()
  expect(said).toHaveLength(1)
})

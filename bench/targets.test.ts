import { expect, test } from 'bun:test'
import { judge, targets, writeFigure, writeLimit, writeOutcome } from './targets.ts'
import { measurement, meteringRound, testResults } from './test-results.ts'

const verdictOf = (title: string, results = testResults()) => {
  const verdict = judge(results).find(found => found.title.startsWith(title))
  if (verdict === undefined) throw new Error(`There is no target ${title}`)
  return verdict
}

test('a ratio is the median of those within each round, not one of medians', () => {
  // 50/40 and 42/35; the medians alone would give 46/37.5.
  expect(verdictOf('hot API key, next to the app').value).toBeCloseTo(1.225, 10)
  expect(verdictOf('hot API key, next to bare').value).toBeCloseTo(4, 10)
})

test('a target is reached at its limit and missed beyond, on the side that it asks for', () => {
  const at = (cpu: number) =>
    testResults({ measurements: [measurement('without-auth', 1, 40), measurement('hot-key', 1, cpu)] })
  const title = 'hot API key, next to the app'
  expect([50, 50.1].map(cpu => verdictOf(title, at(cpu)).isReached)).toEqual([true, false])

  const peer = (cpu: number) =>
    testResults({
      measurements: [measurement('hot-key', 1, 10), measurement('better-auth-memory', 1, cpu)],
    })
  const least = 'CPU of Better Auth at its best'
  expect([50, 49.9].map(cpu => verdictOf(least, peer(cpu)).isReached)).toEqual([true, false])
})

test('what was not measured is neither reached nor missed, and says so', () => {
  const nothing = testResults({ measurements: [], metering: [], signIns: [], starts: [] })
  expect(judge(nothing).map(writeOutcome)).toEqual(targets.map(() => 'not measured'))
})

test('a target that was missed says FAIL', () => {
  expect(writeOutcome(verdictOf('hot API key, next to bare'))).toBe('FAIL')
  expect(writeOutcome(verdictOf('hot API key, next to the app'))).toBe('pass')
})

test('starts go by the slower role, sign-ins by the hashes of their own round', () => {
  const results = testResults({
    starts: [
      { role: 'login', kind: 'binary', milliseconds: [90, 120, 95], idleMegabytes: [70] },
      { role: 'service-a', kind: 'binary', milliseconds: [50, 60, 55], idleMegabytes: [60] },
      { role: 'login', kind: 'source', milliseconds: [900], idleMegabytes: [900] },
    ],
    signIns: [
      [40, 38, 80],
      [20, 17, 120],
    ].map(([hashesPerSecond = 0, signInsPerSecond = 0, tokenP99Milliseconds = 0], round) => ({
      round,
      hashesPerSecond,
      signInsPerSecond,
      cpuMillisecondsOfSignIn: 25,
      flood: { signInsPerSecond: 30, shedPerSecond: 100, tokenRequestsPerSecond: 100, tokenP99Milliseconds },
    })),
  })
  expect(verdictOf('binary to first answer', results).value).toBe(95)
  expect(verdictOf('idle memory', results).value).toBe(70)
  expect(verdictOf('sign-ins', results).value).toBeCloseTo(90, 10)
  expect(verdictOf('p99 of requests', results).value).toBe(100)
})

test('beside a metered key it goes by whoever waited longer, hot keys or tokens', () => {
  const metering = [meteringRound(1, 3, 12), meteringRound(2, 20, 4), meteringRound(3, 9, 21)]
  const verdict = verdictOf('p99 of other callers', testResults({ metering }))
  expect([verdict.value, verdict.isReached]).toEqual([20, true])
  expect(
    verdictOf('p99 of other callers', testResults({ metering: [meteringRound(1, 1, 20.1)] })).isReached,
  ).toBe(false)
})

test('figures and limits carry their unit', () => {
  expect([writeFigure(1.256, '×'), writeFigure(99.6, 'ms'), writeFigure(89.4, '%')]).toEqual([
    '1.26×',
    '100 ms',
    '89%',
  ])
  expect(targets.map(writeLimit)).toContain('≤ 1.25×')
  expect(targets.map(writeLimit)).toContain('≥ 90%')
})

import type { Results } from './results.ts'
import { median, type Point, ratios, spread } from './statistics.ts'

/** Something that this project has set out to reach. */
export type Target = {
  readonly title: string
  /** How the figure is written. */
  readonly unit: '×' | '%' | 'ms' | 'MB'
  readonly limit: number
  readonly isLeast: boolean
  /** Null where it was not measured. */
  readonly measure: (results: Results) => number | null
}

export type Verdict = Target & { readonly value: number | null; readonly isReached: boolean | null }

/** CPU time of the server for each request. */
export const cpuPoints = ({ measurements }: Results): Point[] =>
  measurements.map(({ case: name, round, cpuMicroseconds }) => ({
    case: name,
    round,
    value: cpuMicroseconds,
  }))

const next = (name: string, base: string) => (results: Results) =>
  spread(ratios(cpuPoints(results), name, base))?.median ?? null

const most = (title: string, limit: number, unit: Target['unit'], measure: Target['measure']): Target => ({
  title,
  limit,
  unit,
  isLeast: false,
  measure,
})

const beside = (title: string, limit: number, name: string, base: string): Target =>
  most(
    `${title}, next to ${base === 'elysia' ? 'bare Elysia' : 'the app without authentication'}`,
    limit,
    '×',
    next(name, base),
  )

const least = (...args: Parameters<typeof most>): Target => ({ ...most(...args), isLeast: true })

const worst = (values: readonly number[]): number | null => (values.length === 0 ? null : Math.max(...values))

const binaries = ({ starts }: Results) => starts.filter(({ kind }) => kind === 'binary')

export const targets: readonly Target[] = [
  beside('hot API key', 1.25, 'hot-key', 'without-auth'),
  beside('hot API key', 1.5, 'hot-key', 'elysia'),
  beside('hot JWT, HS256', 1.25, 'hot-hs256', 'without-auth'),
  beside('hot JWT, HS256', 1.5, 'hot-hs256', 'elysia'),
  beside('hot JWT, ES256', 1.25, 'hot-es256', 'without-auth'),
  beside('hot JWT, ES256', 1.5, 'hot-es256', 'elysia'),
  beside('keys in rotation, the cache holds them', 1.6, 'rotating', 'without-auth'),
  beside('cold key, every look-up a miss', 5, 'cold', 'without-auth'),
  beside('garbage with a bad checksum', 1.2, 'garbage', 'without-auth'),
  beside('well-formed unknown key', 3, 'unknown', 'without-auth'),
  least(
    'CPU of Better Auth by its defaults, next to a hot key',
    40,
    '×',
    next('better-auth-defaults', 'hot-key'),
  ),
  least('CPU of Better Auth at its best, next to a hot key', 5, '×', next('better-auth-memory', 'hot-key')),
  most('p99 of other callers beside a metered key at 1,000/s', 20, 'ms', ({ metering }) => {
    const found = metering.map(({ beside: { hotKey, jwt } }) =>
      Math.max(hotKey.p99Milliseconds, jwt.p99Milliseconds),
    )
    return spread(found)?.median ?? null
  }),
  most('a hot key of 1,000,000 next to one of 1,000', 1.1, '×', next('hot-1000000', 'hot-1000')),
  most('binary to first answer, median of the slower role', 100, 'ms', results =>
    worst(binaries(results).map(({ milliseconds }) => median(milliseconds))),
  ),
  most('idle memory of the binary, the larger role', 80, 'MB', results =>
    worst(binaries(results).map(({ idleMegabytes }) => median(idleMegabytes))),
  ),
  least('sign-ins, of what the hashes alone could do', 90, '%', ({ signIns }) => {
    const found = spread(
      signIns.map(({ signInsPerSecond, hashesPerSecond }) => signInsPerSecond / hashesPerSecond),
    )
    return found === null ? null : found.median * 100
  }),
  most('p99 of requests with a JWT in a flood of 50 signing in', 100, 'ms', ({ signIns }) => {
    return spread(signIns.map(({ flood }) => flood.tokenP99Milliseconds))?.median ?? null
  }),
]

/** What was reached, by the medians of the rounds. */
export const judge = (results: Results): Verdict[] =>
  targets.map(target => {
    const value = target.measure(results)
    const { limit, isLeast } = target
    return { ...target, value, isReached: value === null ? null : isLeast ? value >= limit : value <= limit }
  })

const digits: Readonly<Record<Target['unit'], number>> = { '×': 2, '%': 0, ms: 0, MB: 0 }

export const writeFigure = (value: number, unit: Target['unit']): string =>
  `${value.toFixed(digits[unit])}${unit === 'ms' || unit === 'MB' ? ' ' : ''}${unit}`

export const writeLimit = ({ limit, isLeast, unit }: Target): string =>
  `${isLeast ? '≥' : '≤'} ${limit}${unit === 'ms' || unit === 'MB' ? ' ' : ''}${unit}`

export const writeOutcome = ({ isReached }: Verdict): string =>
  isReached === null ? 'not measured' : isReached ? 'pass' : 'FAIL'

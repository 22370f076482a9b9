import { type CaseGroup, cases, growthSizes } from './cases.ts'
import type { MeteringRound, Profile, Results, Wait } from './results.ts'
import { median, ratios, type Spread, spread } from './statistics.ts'
import { cpuPoints, judge, writeFigure, writeLimit, writeOutcome } from './targets.ts'

type Row = readonly string[]

/** A table of Markdown, its columns aligned; all but the first hold figures. */
export const table = (head: Row, rows: readonly Row[]): string => {
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map(row => (row[column] ?? '').length)))
  const line = (row: Row): string =>
    `| ${widths.map((width, column) => (column === 0 ? (row[column] ?? '').padEnd(width) : (row[column] ?? '').padStart(width))).join(' | ')} |`
  const rule = `| ${widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`
  return [line(head), rule, ...rows.map(line)].join('\n')
}

const none = '–'

const number = (value: number, digits = 0): string =>
  value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })

const middle = (values: readonly number[], digits = 0): string =>
  values.length === 0 ? none : number(median(values), digits)

/** `1.21 (1.18–1.25)`: the median, then the least and the most of the rounds. */
const writeSpread = (found: Spread | null, digits = 2): string =>
  found === null
    ? none
    : `${number(found.median, digits)} (${number(found.min, digits)}–${number(found.max, digits)})`

const groups: readonly CaseGroup[] = ['baseline', 'request', 'metered', 'peer', 'route']

/** Every case under load but those of growth. */
export const loadTable = (results: Results): string => {
  const points = cpuPoints(results)
  const rows = groups.flatMap(group =>
    cases
      .filter(found => found.group === group)
      .flatMap(({ name, title }) => {
        const found = results.measurements.filter(measurement => measurement.case === name)
        if (found.length === 0) return []
        return [
          [
            title,
            middle(found.map(({ requestsPerSecond }) => requestsPerSecond)),
            middle(
              found.map(({ p50Milliseconds }) => p50Milliseconds),
              2,
            ),
            middle(
              found.map(({ p99Milliseconds }) => p99Milliseconds),
              2,
            ),
            writeSpread(spread(found.map(({ cpuMicroseconds }) => cpuMicroseconds)), 1),
            writeSpread(spread(ratios(points, name, 'without-auth'))),
            writeSpread(spread(ratios(points, name, 'elysia'))),
            middle(found.map(({ residentMegabytes }) => residentMegabytes)),
          ],
        ]
      }),
  )
  return table(
    ['case', 'requests/s', 'p50 ms', 'p99 ms', 'CPU µs/request', '÷ without auth', '÷ bare Elysia', 'MB'],
    rows,
  )
}

/** How many times the CPU of Latchkey the peers take: with all of its pipeline, and in a bare Elysia app as they are. */
export const peerTable = (results: Results): string => {
  const points = cpuPoints(results)
  const rows = cases
    .filter(({ group }) => group === 'peer')
    .flatMap(({ name, title }) => {
      const ours = name === 'elysia-jwt' ? 'hot-hs256' : 'hot-key'
      const [whole, bare] = [ours, `${ours}-bare`].map(own => spread(ratios(points, name, own)))
      return whole === null && bare === null
        ? []
        : [[title, writeSpread(whole ?? null), writeSpread(bare ?? null)]]
    })
  return table(['CPU, times as much as Latchkey’s', 'with log and headers', 'in a bare app, too'], rows)
}

export const growthTable = (results: Results): string => {
  const of = (name: string) => results.measurements.filter(measurement => measurement.case === name)
  const rows = growthSizes.flatMap(size => {
    const [hot, cold] = [of(`hot-${size}`), of(`cold-${size}`)]
    if (hot.length === 0) return []
    const stored = results.databases.find(database => database.stored === size)
    return [
      [
        number(size),
        writeSpread(spread(hot.map(({ cpuMicroseconds }) => cpuMicroseconds)), 1),
        middle(hot.map(({ requestsPerSecond }) => requestsPerSecond)),
        writeSpread(spread(cold.map(({ cpuMicroseconds }) => cpuMicroseconds)), 1),
        middle(cold.map(({ requestsPerSecond }) => requestsPerSecond)),
        stored === undefined ? none : number(stored.megabytes, stored.megabytes < 10 ? 1 : 0),
        middle(cold.map(({ residentMegabytes }) => residentMegabytes)),
      ],
    ]
  })
  const head = [
    'keys',
    'hot: CPU µs',
    'hot: requests/s',
    'cold: CPU µs',
    'cold: requests/s',
    'file MB',
    'memory MB',
  ]
  return table(head, rows)
}

/** Who waited how long for an answer, without a metered key and beside one. */
export const meteringTable = ({ metering }: Results): string => {
  const row = (title: string, perSecond: number | undefined, waits: readonly Wait[]): Row => [
    title,
    perSecond === undefined ? none : number(perSecond),
    middle(
      waits.map(({ p50Milliseconds }) => p50Milliseconds),
      2,
    ),
    writeSpread(spread(waits.map(({ p99Milliseconds }) => p99Milliseconds))),
    waits.length === 0 ? none : number(Math.max(...waits.map(({ maxMilliseconds }) => maxMilliseconds)), 1),
  ]
  const rates = metering[0]?.perSecond
  return table(
    ['caller', 'requests/s', 'p50 ms', 'p99 ms', 'longest ms'],
    [
      row(
        'hot key, before',
        rates?.hotKey,
        metering.map(({ alone }) => alone.hotKey),
      ),
      row(
        'JWT, before',
        rates?.jwt,
        metering.map(({ alone }) => alone.jwt),
      ),
      row(
        'hot key, beside the metered one',
        rates?.hotKey,
        metering.map(({ beside }) => beside.hotKey),
      ),
      row(
        'JWT, beside the metered key',
        rates?.jwt,
        metering.map(({ beside }) => beside.jwt),
      ),
      row(
        'the metered key',
        rates?.metered,
        metering.map(({ beside }) => beside.metered),
      ),
    ],
  )
}

/** What the metered key was answered, and what it paid. */
export const meteredAnswers = ({ metering }: Results): string => {
  const sum = (of: (round: MeteringRound) => number): string =>
    number(metering.reduce((total, round) => total + of(round), 0))
  const busy = middle(metering.map(({ busyPercent }) => busyPercent))
  return `${sum(({ answered }) => answered)} answers, ${sum(({ creditsTaken }) => creditsTaken)} credits taken; the server was busy for ${busy} % of one core`
}

export const signInTable = ({ signIns }: Results): string => {
  const row = (title: string, figures: readonly number[], digits = 0): Row => [
    title,
    writeSpread(spread(figures), digits),
  ]
  return table(
    ['sign-in', 'median (min–max)'],
    [
      row(
        'hashes/s, nothing else',
        signIns.map(({ hashesPerSecond }) => hashesPerSecond),
        1,
      ),
      row(
        'sign-ins/s',
        signIns.map(({ signInsPerSecond }) => signInsPerSecond),
        1,
      ),
      row(
        'CPU ms of a sign-in',
        signIns.map(({ cpuMillisecondsOfSignIn }) => cpuMillisecondsOfSignIn),
        1,
      ),
      row(
        'in a flood: sign-ins/s',
        signIns.map(({ flood }) => flood.signInsPerSecond),
        1,
      ),
      row(
        'in a flood: sent away/s (503)',
        signIns.map(({ flood }) => flood.shedPerSecond),
      ),
      row(
        'in a flood: requests/s with a JWT',
        signIns.map(({ flood }) => flood.tokenRequestsPerSecond),
      ),
      row(
        'in a flood: their p99, ms',
        signIns.map(({ flood }) => flood.tokenP99Milliseconds),
        1,
      ),
    ],
  )
}

export const startTable = ({ starts }: Results): string =>
  table(
    ['role', 'first answer, ms', 'idle MB'],
    starts.map(({ role, kind, milliseconds, idleMegabytes }) => [
      `\`${role}\`, ${kind}`,
      writeSpread(spread(milliseconds), 0),
      middle(idleMegabytes),
    ]),
  )

export const targetTable = (results: Results): string =>
  table(
    ['target', 'asked', 'measured', ''],
    judge(results).map(verdict => [
      verdict.title,
      writeLimit(verdict),
      verdict.value === null ? none : writeFigure(verdict.value, verdict.unit),
      writeOutcome(verdict),
    ]),
  )

export const profileTables = (profile: Profile | null): string => {
  if (profile === null) return 'No profile is kept: `bun run bench:profile`.'
  const { cpuMicroseconds } = profile
  const share = (microseconds: number): string => `${number((microseconds / cpuMicroseconds) * 100)} %`
  const steps = profile.steps.map(({ step, microseconds }) => [
    step,
    number(microseconds, 1),
    share(microseconds),
  ])
  const functions = profile.functions.map(({ name, step, microseconds }) => [
    `\`${name.replaceAll('|', '\\|')}\``,
    step,
    number(microseconds, 2),
  ])
  return [
    `Commit \`${profile.commit}\`, ${number(profile.requests)} requests.`,
    table(['step', 'µs', 'share'], [...steps, ['all', number(cpuMicroseconds, 1), '100 %']]),
    table(['function, by itself', 'step', 'µs'], functions),
  ].join('\n\n')
}

/** What was measured, where, and by which code. */
export const factsList = (results: Results): string => {
  const { machine, settings, baseline, peers } = results
  return [
    `- ${results.startedAt.slice(0, 16).replace('T', ' ')} UTC, commit \`${results.commit}\`${results.isChanged ? ' with changes' : ''}`,
    `- ${machine.cpu}, ${machine.cores} cores, ${number(machine.memoryMegabytes / 1_000)} GB, Linux ${machine.kernel} (${machine.architecture}), Bun ${machine.bun}`,
    `- ${settings.rounds} rounds of ${settings.seconds} s a case, ${settings.connections} connections; ${number(settings.stored)} keys stored, ${number(settings.rotating)} in rotation`,
    `- without authentication: \`${baseline.file}\`, SHA-256 \`${baseline.sha256}\`; what it is made of in \`src\`: \`${baseline.librarySha256.slice(0, 16)}…\``,
    `- peers: ${Object.entries(peers)
      .map(([name, version]) => `${name} ${version}`)
      .join(', ')}`,
  ].join('\n')
}

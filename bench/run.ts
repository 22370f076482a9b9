/**
 * Measures what requests cost: `bun run bench [--quick] [--only=hot-key,elysia] [--rounds=5] [--seconds=3] [--save]`.
 *
 * The whole run keeps what it measured in bench/results and writes docs/performance.md from it; `--quick` (the main
 * rows, on fewer keys) and `--only` do so with `--save`. Ends with the tables and a line for each target. The exit
 * code is 1 only when something could not be measured or answered wrongly; a target that was missed says FAIL.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { readBaseline } from './baseline.ts'
import { baselines, type CaseGroup, type CaseName, cases, longSeconds, longWarmUpSeconds } from './cases.ts'
import { describeCommit, describeMachine } from './machine.ts'
import { measureMetering } from './metering.ts'
import peers from './peers/package.json' with { type: 'json' }
import { installPeers } from './peers.ts'
import { render } from './render.ts'
import {
  type Measurement,
  type MeteringRound,
  type Results,
  type SignInRound,
  type Start,
  writeResults,
} from './results.ts'
import { killServers } from './server-process.ts'
import { hashConcurrency, measureSignIns } from './sign-ins.ts'
import { createStage, type Stage } from './stage.ts'
import { measureStarts } from './starts.ts'
import { shuffle } from './statistics.ts'
import { goThrough, measure, type Subject } from './subject.ts'
import {
  factsList,
  growthTable,
  loadTable,
  meteringTable,
  peerTable,
  signInTable,
  startTable,
} from './tables.ts'
import { judge, writeFigure, writeLimit, writeOutcome } from './targets.ts'
import { requireWrk } from './wrk.ts'

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    save: { type: 'boolean', default: false },
  },
})

/** Beside the cases under load, what `--only` can name. */
const others = ['metering', 'sign-in', 'start'] as const

const whole = (name: 'rounds' | 'seconds', fallback: number): number => {
  const value = Number(values[name] ?? fallback)
  if (!Number.isInteger(value) || value < 1 || value > 100) {
    throw new Error(`--${name} takes a whole number from 1 to 100.`)
  }
  return value
}

const { quick } = values
const plan = {
  rounds: whole('rounds', quick ? 2 : 5),
  seconds: whole('seconds', quick ? 2 : 3),
  connections: 32,
  stored: quick ? 100_000 : 1_000_000,
  rotating: quick ? 20_000 : 100_000,
  hashConcurrency,
}

const names = (values.only ?? '').split(',').filter(name => name !== '')
const known: readonly string[] = [...cases.map(({ name }) => name), ...others]
const stranger = names.find(name => !known.includes(name))
if (stranger !== undefined) {
  throw new Error(`--only=${stranger} names no case. There are: ${known.join(', ')}`)
}

const isWanted = (name: string, isMain = false): boolean =>
  names.length > 0 ? names.includes(name) : !quick || isMain

const say = (text: string): void => {
  process.stderr.write(`${text}\n`)
}

const failures: string[] = []

/** Goes on without what can't be measured, and tells at the end. */
const attempt = async <Value>(what: string, run: () => Promise<Value>): Promise<Value | null> => {
  try {
    return await run()
  } catch (error) {
    failures.push(`${what}: ${error instanceof Error ? error.message : String(error)}`)
    say(`  ${what} could not be measured`)
    return null
  }
}

const prepare = async (stage: Stage, wanted: readonly CaseName[]): Promise<Subject[]> => {
  const subjects: Subject[] = []
  for (const name of wanted) {
    const subject = await attempt(name, async () => {
      const made = await stage.subject(name)
      if (name === 'rotating') await goThrough(made, plan.connections)
      // The first seconds are those of a compiler.
      await measure(made, { ...plan, round: 0, seconds: quick ? 1 : 2, warmUpSeconds: 0 })
      return made
    })
    if (subject !== null) subjects.push(subject)
  }
  return subjects
}

const measureRounds = async (
  stage: Stage,
): Promise<{ measurements: Measurement[]; metering: MeteringRound[]; signIns: SignInRound[] }> => {
  const wanted = cases.filter(
    ({ name, isMain }) =>
      isWanted(name, isMain) ||
      (names.some(own => known.indexOf(own) < cases.length) && baselines.includes(name)),
  )
  const started = performance.now()
  const subjects = await prepare(
    stage,
    wanted.map(({ name }) => name),
  )
  say(`Ready after ${Math.round((performance.now() - started) / 1_000)} s: ${subjects.length} cases`)
  const measurements: Measurement[] = []
  const metering: MeteringRound[] = []
  const signIns: SignInRound[] = []
  const warmUpSeconds = quick ? 0 : 1
  for (let round = 1; round <= plan.rounds; round += 1) {
    say(`Round ${round} of ${plan.rounds}`)
    for (const subject of shuffle(subjects)) {
      const isLong = !quick && cases.some(({ name, isLong }) => name === subject.name && isLong === true)
      const times = isLong
        ? { seconds: longSeconds, warmUpSeconds: longWarmUpSeconds }
        : { seconds: plan.seconds, warmUpSeconds }
      const found = await attempt(subject.name, () => measure(subject, { ...plan, ...times, round }))
      if (found !== null) measurements.push(found)
    }
    if (isWanted('metering', true)) {
      const found = await attempt('metering', () => measureMetering(stage, round, plan.seconds))
      if (found !== null) metering.push(found)
    }
    if (isWanted('sign-in')) {
      const found = await attempt('sign-in', () => measureSignIns(stage, round, plan.seconds))
      if (found !== null) signIns.push(found)
    }
  }
  return { measurements, metering, signIns }
}

const print = (results: Results): void => {
  const has = (group: CaseGroup): boolean =>
    results.measurements.some(({ case: name }) =>
      cases.some(found => found.name === name && found.group === group),
    )
  const parts = [
    factsList(results),
    loadTable(results),
    has('peer') ? peerTable(results) : null,
    has('growth') ? growthTable(results) : null,
    results.metering.length > 0 ? meteringTable(results) : null,
    results.signIns.length > 0 ? signInTable(results) : null,
    results.starts.length > 0 ? startTable(results) : null,
    judge(results)
      .map(verdict => {
        const { title, value, unit } = verdict
        const figure = value === null ? '' : writeFigure(value, unit)
        return `${writeOutcome(verdict).padEnd(14)}${figure.padStart(9)}  ${writeLimit(verdict).padEnd(9)}  ${title}`
      })
      .join('\n'),
    failures.length > 0 ? `Not measured, or answered wrongly:\n${failures.join('\n')}` : null,
  ]
  process.stdout.write(`\n${parts.filter(part => part !== null).join('\n\n')}\n`)
}

requireWrk()
const baseline = await readBaseline()
if (names.length === 0 || names.some(name => name.startsWith('better-auth') || name === 'elysia-jwt')) {
  installPeers()
}
const startedAt = new Date().toISOString()
const commit = describeCommit()
const folder = mkdtempSync(join(tmpdir(), 'latchkey-bench-'))
process.on('exit', () => {
  killServers()
  rmSync(folder, { recursive: true, force: true })
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))

const stage = createStage({ folder, stored: plan.stored, rotating: plan.rotating })
const { measurements, metering, signIns } = await measureRounds(stage)
const databases = stage.databases()
await stage.stop()
const starts: Start[] = isWanted('start')
  ? ((await attempt('start', () => measureStarts(folder, 11))) ?? [])
  : []

const results: Results = {
  startedAt,
  ...commit,
  machine: describeMachine(),
  settings: plan,
  baseline,
  peers: peers.dependencies,
  measurements,
  databases,
  metering,
  signIns,
  starts,
}
print(results)
if (failures.length === 0 && (values.save || (!quick && names.length === 0))) {
  say(`Kept as ${await writeResults(results)}`)
  await render(false)
}
process.exit(failures.length > 0 ? 1 : 0)

/**
 * Where the CPU time of one kind of request goes: `bun run bench:profile [--case=hot-key] [--seconds=10] [--stored=10000]
 * [--rotating=1000] [--save]`.
 *
 * Runs the server under Bun's own profiler (`--cpu-prof`) while it is under load. `--save` keeps what was found in
 * bench/results, for docs/performance.md.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Value } from '@sinclair/typebox/value'
import { type CaseName, cases } from './cases.ts'
import { describeCommit, describeMachine } from './machine.ts'
import { CpuProfile, countSamples, type Share } from './profile-steps.ts'
import { render } from './render.ts'
import { type Profile, writeResults } from './results.ts'
import { killServers, type ThreadTimes } from './server-process.ts'
import { createStage, type Stage } from './stage.ts'
import { checkAnswer, goThrough, load, type Subject } from './subject.ts'
import { profileTables } from './tables.ts'
import { requireWrk } from './wrk.ts'

const { values } = parseArgs({
  options: {
    case: { type: 'string', default: 'hot-key' },
    seconds: { type: 'string', default: '10' },
    stored: { type: 'string', default: '10000' },
    rotating: { type: 'string', default: '1000' },
    save: { type: 'boolean', default: false },
  },
})
const seconds = Number(values.seconds)
const choose = (): { name: CaseName; title: string } => {
  const found = cases.find(({ name }) => name === values.case)
  if (found === undefined) throw new Error(`--case=${values.case} names no case.`)
  return found
}
const chosen = choose()
if (!Number.isInteger(seconds) || seconds < 1) throw new Error('--seconds takes a whole number.')

const connections = 32
const shown = 25

requireWrk()
const makeFolder = (): string => mkdtempSync(join(tmpdir(), 'latchkey-profile-'))
const folders = [makeFolder(), makeFolder()] as const
process.on('exit', () => {
  killServers()
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))

const sizes = { stored: Number(values.stored), rotating: Number(values.rotating) }

const warmUp = async (subject: Subject): Promise<void> => {
  await checkAnswer(subject)
  await load(subject, 2, connections)
  if (subject.name === 'rotating') await goThrough(subject, connections)
}

/** Counts samples of the case under load. */
const takeSamples = async (folder: string): Promise<Share[]> => {
  const place = (name: string): string => join(folder, `profile-${name}`)
  const stage = createStage({
    folder,
    ...sizes,
    flags: name => ['--cpu-prof', `--cpu-prof-dir=${place(name)}`],
  })
  const subject = await stage.subject(chosen.name)
  await warmUp(subject)
  const started = performance.now()
  await load(subject, seconds, connections)
  await stage.stop()
  const window = (performance.now() - started) * 1_000
  const [file] = readdirSync(place(subject.server.name))
  if (file === undefined) throw new Error('The profiler wrote nothing')
  const text = await Bun.file(join(place(subject.server.name), file)).text()
  return countSamples(Value.Parse(CpuProfile, JSON.parse(text)), window)
}

/** CPU time of threads for each request, without the profiler, which takes some itself. */
const takeTimes = async (stage: Stage, name: CaseName): Promise<ThreadTimes & { requests: number }> => {
  const subject = await stage.subject(name)
  await warmUp(subject)
  const before = subject.server.threadMicroseconds()
  const { requests } = await load(subject, seconds, connections)
  const after = subject.server.threadMicroseconds()
  const each = (kind: keyof ThreadTimes): number => (after[kind] - before[kind]) / requests
  return { requests, serving: each('serving'), files: each('files'), others: each('others') }
}

const functions = await takeSamples(folders[0])
const stage = createStage({ folder: folders[1], ...sizes })
const least = await takeTimes(stage, 'bun')
const times = await takeTimes(stage, chosen.name)
await stage.stop()

// The profiler sees no kernel and no parser of HTTP: for these stands what raw Bun.serve takes.
const total = functions.reduce((sum, { samples }) => sum + samples, 0)
const each = (samples: number): number => (samples / total) * Math.max(0, times.serving - least.serving)
const steps = new Map<string, number>()
for (const { step, samples } of functions) steps.set(step, (steps.get(step) ?? 0) + each(samples))

const profile: Profile = {
  startedAt: new Date().toISOString(),
  ...describeCommit(),
  machine: describeMachine(),
  requests: times.requests,
  cpuMicroseconds: times.serving + times.files + times.others,
  steps: [
    { step: 'kernel, sockets, HTTP: what raw `Bun.serve` takes', microseconds: least.serving },
    ...[...steps]
      .map(([step, microseconds]) => ({ step, microseconds }))
      .toSorted((a, b) => b.microseconds - a.microseconds),
    { step: 'other threads: the file of the log', microseconds: times.files },
    { step: 'other threads: collector, compiler', microseconds: times.others },
  ],
  functions: functions
    .slice(0, shown)
    .map(({ name, step, samples }) => ({ name, step, microseconds: each(samples) })),
}
process.stdout.write(`${chosen.title}: ${times.requests} requests\n\n${profileTables(profile)}\n`)
if (values.save) {
  process.stderr.write(`Kept as ${await writeResults(profile, '-profile')}\n`)
  await render(false)
}
process.exit(0)

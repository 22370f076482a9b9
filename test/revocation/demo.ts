/**
 * Shows that what is taken away on `login` is refused everywhere within a second: `bun run demo:revocation`.
 *
 * Starts `login`, two `service-a` and a load generator from the compiled binary in empty folders, takes rights away in
 * every way there is, damages the links to `login`, kills each process, and prints what came after. The exit code is
 * 0 only when every line held. Every single request is in dist/revocation/samples.jsonl.gz, the summary beside it or in
 * `--out <folder>`. `--keep` keeps the folders of the processes, `--write-docs` puts the figures into docs/revocation.md.
 */
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { changeRows, type Group, leastAccepted, makeAll, makeGroup, resolutionOf, warmUp } from './changes.ts'
import { now } from './clock.ts'
import { crashVictims, runCrashes } from './crashes.ts'
import { writeDocs } from './docs.ts'
import { boundMs } from './measure.ts'
import { outageVictims, runOutages } from './outages.ts'
import { render } from './report.ts'
import { resultsFolder } from './results.ts'
import { revokeSigningKey } from './signing-key.ts'
import { type Stand, startStand } from './stand.ts'
import type { Summary } from './summary.ts'

const root = join(import.meta.dir, '..', '..')
const rawFolder = join(root, 'dist', 'revocation')
const rate = 1_000
const connections = 16
const maxStalenessSeconds = 3

const say = (text: string): void => {
  process.stderr.write(`${text}\n`)
}

const newest = (path: string): number => {
  const stats = statSync(path)
  if (!stats.isDirectory()) return stats.mtimeMs
  return Math.max(0, ...readdirSync(path).map(name => newest(join(path, name))))
}

/** The compiled binary, built when there is none that is as new as the sources. */
const binaryOf = async (): Promise<string> => {
  const { LATCHKEY_BINARY: given = '' } = process.env
  if (given !== '') return given
  const binary = join(root, 'dist', 'latchkey')
  const sources = Math.max(...['src', 'db', 'package.json'].map(name => newest(join(root, name))))
  const built = await Bun.file(binary)
    .stat()
    .then(({ mtimeMs }) => mtimeMs)
    .catch(() => 0)
  if (built > sources) return binary
  say('Building the binary …')
  const build = Bun.spawn([process.execPath, 'scripts/build-binary.ts'], { cwd: root, stdout: 'ignore' })
  if ((await build.exited) !== 0) throw new Error('The binary could not be built')
  return binary
}

/** How many of each kind; the ones that cost a password's hash are fewer. */
const makeGroups = async ({ kinds }: Stand): Promise<Group[]> => {
  const groups: Group[] = []
  for (const [kind, count] of [
    [kinds.userDisabled, 3],
    [kinds.userDeleted, 2],
    [kinds.userDemoted, 2],
    [kinds.sessionEnded, 3],
    [kinds.signedOutEverywhere, 2],
    [kinds.tokenRevoked, 5],
    [kinds.clientDisabled, 2],
    [kinds.clientDeleted, 2],
    [kinds.clientNarrowed, 2],
    [kinds.keyRotated, 6],
    [kinds.keyDeleted, 6],
  ] as const) {
    groups.push(await makeGroup(kind, count))
  }
  return groups
}

const run = async (stand: Stand): Promise<Summary> => {
  const { kinds, generator, samples, bystander } = stand
  const startedAt = now()
  const step = (text: string): void =>
    say(`${((now() - startedAt) / 1_000).toFixed(1).padStart(5)} s  ${text}`)
  const clockBefore = await generator.clockDifference()

  step('making users, service accounts, sessions and keys')
  const groups = await makeGroups(stand)
  const forOutages = await makeGroup(kinds.userDisabled, outageVictims)
  const forCrashes = await makeGroup(kinds.userDisabled, crashVictims)
  const everybody = [...groups, forOutages, forCrashes]

  step(`using each ${leastAccepted} times on each service`)
  await warmUp(stand, everybody)

  step('taking rights away')
  const made = await makeAll(stand, groups)

  step('damaging the links to login')
  const outages = await runOutages(stand, forOutages, groups, maxStalenessSeconds)

  step('killing each process')
  const crashes = await runCrashes(stand, forCrashes, [...groups, forOutages])

  step('revoking the signing key')
  const trouble = stand.bystanderTrouble(now())
  const alive = [...bystander, ...groups.flatMap(({ victims }) => victims.flatMap(({ spared }) => spared))]
  const signing = await revokeSigningKey(
    stand,
    alive.filter(({ kind }) => kind === 'access token'),
  )
  step('done')

  const changes = changeRows(stand, [...made, signing.made], signing.made.askedAt)
  const last = samples.all.at(-1)?.dueAt ?? 0
  const first = samples.all[0]?.dueAt ?? 0
  const isUntroubled = trouble.refused === 0 && trouble.failed === 0
  if (!isUntroubled) say(`The bystander got ${trouble.first}`)
  const rows = [...changes, ...outages, ...crashes]
  return {
    at: new Date().toISOString(),
    machine: `${availableParallelism()} cores (${cpus()[0]?.model ?? 'unknown'}), Bun ${Bun.version}`,
    askedRate: rate,
    achievedRate: samples.all.length / ((last - first) / 1_000),
    requests: samples.all.length,
    connections,
    maxStalenessSeconds,
    boundMs,
    clockDifferenceMs: Math.max(clockBefore, await generator.clockDifference()),
    resolutionMs: resolutionOf(stand, made),
    changes,
    bystander: {
      accepted: trouble.accepted,
      refused: trouble.refused,
      failed: trouble.failed,
      held: isUntroubled,
    },
    signInAgainMs: signing.signInAgainMs,
    outages,
    crashes,
    held: rows.every(({ held }) => held) && isUntroubled && (signing.signInAgainMs ?? boundMs + 1) <= boundMs,
  }
}

const { values } = parseArgs({
  options: {
    keep: { type: 'boolean', default: false },
    out: { type: 'string', default: rawFolder },
    'write-docs': { type: 'boolean', default: false },
  },
})
process.env.LATCHKEY_BINARY = await binaryOf()
say('Starting login, two service-a and the load generator …')
const starting = startStand({ staleModes: ['allow', 'deny'], maxStalenessSeconds, rate, connections })
const end = async (): Promise<void> => (await starting).end({ keep: values.keep })
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void end().finally(() => process.exit(1)))
}
const stand = await starting
try {
  const summary = await run(stand)
  // The page and what it is made from go together, and show no run that failed.
  const isPublished = values['write-docs'] && summary.held
  const folders = [values.out, ...(isPublished ? [resultsFolder] : [])]
  for (const folder of [rawFolder, ...folders]) mkdirSync(folder, { recursive: true })
  const lines = stand.samples.all.map(sample => JSON.stringify(sample)).join('\n')
  writeFileSync(join(rawFolder, 'samples.jsonl.gz'), Bun.gzipSync(Buffer.from(`${lines}\n`)))
  for (const folder of folders) {
    writeFileSync(join(folder, 'summary.json'), `${JSON.stringify(summary, null, 2)}\n`)
  }
  process.stdout.write(
    `${render(summary)}\n\n${summary.held ? 'Every line held.' : 'NOT every line held.'}\n`,
  )
  if (isPublished) await writeDocs(join(root, 'docs', 'revocation.md'), render(summary))
  if (values.keep) say(`The folders are in ${stand.site.stage.folder}`)
  process.exitCode = summary.held ? 0 : 1
} catch (error) {
  for (const { name, lines } of [stand.site.login, ...stand.site.services]) {
    say(`${name}:\n${lines().slice(-20).join('\n')}`)
  }
  say(error instanceof Error ? (error.stack ?? error.message) : String(error))
  process.exitCode = 1
} finally {
  await end()
}

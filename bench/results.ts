import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { Machine } from './machine.ts'

/** One case under load in one round. */
export const Measurement = Type.Object({
  case: Type.String(),
  round: Type.Integer(),
  requests: Type.Integer(),
  seconds: Type.Number(),
  requestsPerSecond: Type.Number(),
  p50Milliseconds: Type.Number(),
  p99Milliseconds: Type.Number(),
  /** CPU time of the server for each request: all threads, user and system. */
  cpuMicroseconds: Type.Number(),
  /** Right after the load. */
  residentMegabytes: Type.Number(),
})
export type Measurement = Static<typeof Measurement>

export const SignInRound = Type.Object({
  round: Type.Integer(),
  hashesPerSecond: Type.Number(),
  signInsPerSecond: Type.Number(),
  cpuMillisecondsOfSignIn: Type.Number(),
  /** In a flood of sign-ins. */
  flood: Type.Object({
    signInsPerSecond: Type.Number(),
    shedPerSecond: Type.Number(),
    tokenRequestsPerSecond: Type.Number(),
    tokenP99Milliseconds: Type.Number(),
  }),
})
export type SignInRound = Static<typeof SignInRound>

/** How long callers waited for their answers. */
const Wait = Type.Object({
  p50Milliseconds: Type.Number(),
  p99Milliseconds: Type.Number(),
  maxMilliseconds: Type.Number(),
})
export type Wait = Static<typeof Wait>

/** Callers of several kinds at fixed rates, without and with a metered key among them. */
export const MeteringRound = Type.Object({
  round: Type.Integer(),
  seconds: Type.Integer(),
  perSecond: Type.Object({ hotKey: Type.Integer(), jwt: Type.Integer(), metered: Type.Integer() }),
  /** Of the metered key, which costs a credit each. */
  answered: Type.Integer(),
  /** By the balance before and after. */
  creditsTaken: Type.Integer(),
  /** CPU time of the server, of one core, with the metered key. */
  busyPercent: Type.Number(),
  alone: Type.Object({ hotKey: Wait, jwt: Wait }),
  beside: Type.Object({ hotKey: Wait, jwt: Wait, metered: Wait }),
})
export type MeteringRound = Static<typeof MeteringRound>

export const Start = Type.Object({
  role: Type.String(),
  kind: Type.Union([Type.Literal('source'), Type.Literal('binary')]),
  /** From the start of the process to its first answer, each time. */
  milliseconds: Type.Array(Type.Number()),
  /** Some seconds after, with nothing to do. */
  idleMegabytes: Type.Array(Type.Number()),
})
export type Start = Static<typeof Start>

/** What a run measured, and on what. Sizes in megabytes of 1,000,000 bytes. */
export const Results = Type.Object({
  startedAt: Type.String(),
  commit: Type.String(),
  isChanged: Type.Boolean(),
  machine: Machine,
  settings: Type.Object({
    rounds: Type.Integer(),
    seconds: Type.Integer(),
    connections: Type.Integer(),
    stored: Type.Integer(),
    rotating: Type.Integer(),
    hashConcurrency: Type.Integer(),
  }),
  /** SHA-256 of the app without authentication, and of everything of the product that it is made of. */
  baseline: Type.Object({ file: Type.String(), sha256: Type.String(), librarySha256: Type.String() }),
  peers: Type.Record(Type.String(), Type.String()),
  measurements: Type.Array(Measurement),
  databases: Type.Array(Type.Object({ stored: Type.Integer(), megabytes: Type.Number() })),
  metering: Type.Array(MeteringRound),
  signIns: Type.Array(SignInRound),
  starts: Type.Array(Start),
})
export type Results = Static<typeof Results>

/** Where a hot request's time goes, by a CPU profile. */
export const Profile = Type.Object({
  startedAt: Type.String(),
  commit: Type.String(),
  machine: Machine,
  requests: Type.Integer(),
  /** CPU time of the whole process for each request, while it was profiled. */
  cpuMicroseconds: Type.Number(),
  steps: Type.Array(Type.Object({ step: Type.String(), microseconds: Type.Number() })),
  /** The functions that took the most. */
  functions: Type.Array(
    Type.Object({ name: Type.String(), step: Type.String(), microseconds: Type.Number() }),
  ),
})
export type Profile = Static<typeof Profile>

export const resultsFolder = join(import.meta.dir, 'results')

const newest = (folder: string, pattern: RegExp): string | null => {
  const name = readdirSync(folder)
    .filter(file => pattern.test(file))
    .sort()
    .at(-1)
  return name === undefined ? null : join(folder, name)
}

const read = async (path: string | null): Promise<unknown> =>
  path === null ? null : JSON.parse(await Bun.file(path).text())

/** The newest run that is kept. @throws Error where there is none. */
export const readResults = async (folder = resultsFolder): Promise<{ name: string; results: Results }> => {
  const path = newest(folder, /^[\dTZ-]+-[0-9a-f]+\.json$/)
  if (path === null) throw new Error('bench/results holds no run: bun run bench')
  return { name: path.slice(folder.length + 1), results: Value.Parse(Results, await read(path)) }
}

/** The newest profile that is kept, null where there is none. */
export const readProfile = async (folder = resultsFolder): Promise<Profile | null> => {
  const path = newest(folder, /^[\dTZ-]+-[0-9a-f]+-profile\.json$/)
  return path === null ? null : Value.Parse(Profile, await read(path))
}

/** The name of a file of results: by time, then commit, so that the last one by name is the newest. */
export const fileName = ({ startedAt, commit }: Pick<Results, 'startedAt' | 'commit'>, suffix = ''): string =>
  `${startedAt.slice(0, 16).replaceAll(/[^\dT]/g, '')}Z-${commit}${suffix}.json`

/** Keeps what was measured. Returns the path. */
export const writeResults = async (
  results: Pick<Results, 'startedAt' | 'commit'>,
  suffix = '',
  folder = resultsFolder,
): Promise<string> => {
  const path = join(folder, fileName(results, suffix))
  await Bun.write(path, `${JSON.stringify(results, null, 1)}\n`)
  return path
}

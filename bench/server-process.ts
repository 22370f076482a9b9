import { closeSync, ftruncateSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { member, parseJson } from '../test/support/json.ts'

/** A server under load, in a process of its own that writes its log to a file. */
export type ServerProcess = {
  readonly name: string
  readonly pid: number
  readonly url: string
  /** Where it writes its log, and what belongs to it may lie. */
  readonly folder: string
  /** What it said when it listened. */
  readonly announcement: unknown
  /** CPU time of all its threads since it started, user and system, microseconds. */
  cpuMicroseconds(): number
  /** The same of the threads that run now: the one that serves, those that write files, and all others. */
  threadMicroseconds(): ThreadTimes
  /** Resident memory, bytes. */
  residentBytes(): number
  /** Holds it still, timers and all, while another one is measured. */
  pause(): void
  resume(): void
  /** Empties the file of its log. */
  clearLog(): void
  /** SIGTERM, then its end. */
  stop(): Promise<void>
}

export type ThreadTimes = { readonly serving: number; readonly files: number; readonly others: number }

export type ServerOptions = {
  readonly command: readonly string[]
  /** Where its log goes. */
  readonly folder: string
  readonly name: string
  readonly env?: Readonly<Record<string, string>>
}

/** `utime` and `stime` of /proc/<pid>/stat count these, and threads that have ended too. */
const microsecondsOfTick =
  1_000_000 / Number(Bun.spawnSync(['getconf', 'CLK_TCK']).stdout.toString().trim() || 100)

/** CPU time of a process from its line in /proc, in ticks. The name of the program may hold spaces and parentheses. */
export const ticksOf = (stat: string): number => {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11]) + Number(fields[12])
}

/** Resident memory of a process by /proc/<pid>/status, bytes. */
export const residentOf = (status: string): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN) * 1_024

const isPort = (value: unknown): value is { port: number } =>
  typeof value === 'object' && value !== null && 'port' in value && typeof value.port === 'number'

const startSeconds = 60

/** What every server may know of this one's environment. */
const inherited = (): Record<string, string> =>
  Object.fromEntries(
    ['PATH', 'HOME', 'TMPDIR'].flatMap(name => {
      const value = process.env[name]
      return value === undefined ? [] : [[name, value]]
    }),
  )

const running = new Set<Bun.Subprocess>()

/** Ends what is left, paused or not: for the way out. */
export const killServers = (): void => {
  for (const child of running) child.kill('SIGKILL')
}

/** Starts a server and waits until it says that it listens. @throws Error with what it wrote, when it does not. */
export const startServer = async ({
  command,
  folder,
  name,
  env = {},
}: ServerOptions): Promise<ServerProcess> => {
  const logPath = join(folder, `${name}.log`)
  // Appended to, so that it can be emptied while it is written.
  const log = openSync(logPath, 'a+')
  const child = Bun.spawn([...command], {
    cwd: folder,
    env: { ...inherited(), NODE_ENV: 'production', ...env },
    stdin: 'ignore',
    stdout: log,
    stderr: log,
  })
  running.add(child)
  void child.exited.then(() => running.delete(child))

  const announced = (): unknown =>
    readFileSync(logPath, 'utf8')
      .split('\n')
      .map(parseJson)
      .find(line => isPort(line) && member(line, 'msg') === 'listening')
  const start = performance.now()
  let announcement = announced()
  while (announcement === undefined) {
    if (child.exitCode !== null || performance.now() - start > startSeconds * 1_000) {
      child.kill('SIGKILL')
      throw new Error(`${name} does not start:\n${readFileSync(logPath, 'utf8').slice(0, 4_000)}`)
    }
    await Bun.sleep(5)
    announcement = announced()
  }
  if (!isPort(announcement)) throw new Error(`${name} has no port`)
  const read = (file: string): string => readFileSync(`/proc/${child.pid}/${file}`, 'utf8')
  return {
    name,
    pid: child.pid,
    url: `http://127.0.0.1:${announcement.port}`,
    folder,
    announcement,
    cpuMicroseconds: () => ticksOf(read('stat')) * microsecondsOfTick,
    threadMicroseconds: () => {
      const times = { serving: 0, files: 0, others: 0 }
      for (const thread of readdirSync(`/proc/${child.pid}/task`)) {
        const isPool = read(`task/${thread}/comm`).startsWith('Bun Pool')
        const kind = Number(thread) === child.pid ? 'serving' : isPool ? 'files' : 'others'
        times[kind] += Number(read(`task/${thread}/schedstat`).split(' ')[0]) / 1_000
      }
      return times
    },
    residentBytes: () => residentOf(read('status')),
    pause: () => child.kill('SIGSTOP'),
    resume: () => child.kill('SIGCONT'),
    clearLog: () => ftruncateSync(log, 0),
    stop: async () => {
      child.kill('SIGCONT')
      child.kill('SIGTERM')
      const isOver = await Promise.race([child.exited.then(() => true), Bun.sleep(15_000).then(() => false)])
      if (!isOver) child.kill('SIGKILL')
      await child.exited
      closeSync(log)
    },
  }
}

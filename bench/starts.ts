import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../test/support/ports.ts'
import type { Start } from './results.ts'
import { residentOf } from './server-process.ts'

const root = join(import.meta.dir, '..')
const idleSeconds = 2

/** Builds the binary as a release is built. @throws Error */
export const buildBinary = (folder: string): string => {
  const outfile = join(folder, 'latchkey')
  const { exitCode, stderr } = Bun.spawnSync(
    [process.execPath, 'scripts/build-binary.ts', `--outfile=${outfile}`],
    {
      cwd: root,
      stdout: 'ignore',
      stderr: 'pipe',
    },
  )
  if (exitCode !== 0) throw new Error(`The binary was not built: ${stderr.toString()}`)
  return outfile
}

const answers = async (url: string): Promise<boolean> => {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(5_000) })
    await response.body?.cancel()
    return response.ok
  } catch {
    return false
  }
}

type Run = { readonly milliseconds: number; readonly idleMegabytes: number | null }

/** Starts a role, waits for its first answer, and ends it. */
const startOnce = async (
  command: readonly string[],
  role: string,
  folder: string,
  isIdle: boolean,
): Promise<Run> => {
  const port = String(await freePort())
  const start = performance.now()
  const child = Bun.spawn([...command], {
    cwd: folder,
    env: {
      PATH: process.env.PATH ?? '',
      ROLE: role,
      PORT: port,
      DATABASE_PATH: join(folder, `${role}.sqlite`),
      ISSUER: 'http://127.0.0.1:3000',
      JWT_SECRET: 'a secret of a benchmark that guards nothing at all',
      ...(role === 'login'
        ? { ADMIN_EMAIL: 'ann@example.com', ADMIN_PASSWORD: 'a long password of hers' }
        : {}),
    },
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'ignore',
  })
  try {
    while (!(await answers(`http://127.0.0.1:${port}/livez`))) {
      if (child.exitCode !== null || performance.now() - start > 20_000) {
        throw new Error(`${command.join(' ')} as ${role} does not answer`)
      }
      await Bun.sleep(1)
    }
    const milliseconds = performance.now() - start
    if (!isIdle) return { milliseconds, idleMegabytes: null }
    await Bun.sleep(idleSeconds * 1_000)
    const status = await Bun.file(`/proc/${child.pid}/status`).text()
    return { milliseconds, idleMegabytes: residentOf(status) / 1_000_000 }
  } finally {
    child.kill('SIGKILL')
    await child.exited
  }
}

/** How long each role takes to its first answer, from source and as binary in turn, on a database that is there. */
export const measureStarts = async (folder: string, times: number): Promise<Start[]> => {
  const binary = buildBinary(folder)
  const commands = {
    source: [process.execPath, join(root, 'src/main.ts')],
    binary: [binary],
  } as const
  const kinds = ['source', 'binary'] as const
  const starts: Start[] = []
  for (const role of ['login', 'service-a']) {
    const place = join(folder, `start-${role}`)
    mkdirSync(place)
    // The first one makes the database, and finds the files on the disk.
    for (const kind of kinds) await startOnce(commands[kind], role, place, false)
    const runs = { source: [] as Run[], binary: [] as Run[] }
    for (let time = 0; time < times; time += 1) {
      for (const kind of kinds) runs[kind].push(await startOnce(commands[kind], role, place, time < 3))
    }
    for (const kind of kinds) {
      starts.push({
        role,
        kind,
        milliseconds: runs[kind].map(run => run.milliseconds),
        idleMegabytes: runs[kind].flatMap(run => run.idleMegabytes ?? []),
      })
    }
  }
  return starts
}

import { cp, mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, normalize } from 'node:path'
import manifest from '../../package.json' with { type: 'json' }

export const root = normalize(join(import.meta.dir, '../..'))

export type Ended = { readonly exitCode: number; readonly output: string }

export type Running = {
  readonly url: string
  /** Ends it and returns what it wrote. */
  stop(): Promise<string>
}

export type Installed = {
  /** A folder outside of the repository in which nothing but the package and what a user writes is found. */
  readonly folder: string
  run(command: readonly string[]): Promise<Ended>
  /** Starts a service and waits until it answers. */
  start(command: readonly string[], env: Readonly<Record<string, string>>): Promise<Running>
  remove(): Promise<void>
}

/** The tarball that LATCHKEY_PACKAGE names, or one that is built now. */
export const tarball = async (): Promise<string> => {
  const { LATCHKEY_PACKAGE: given } = process.env
  if (given !== undefined && given !== '') return given
  const built = Bun.spawnSync([process.execPath, 'scripts/build-package.ts'], { cwd: root })
  if (built.exitCode !== 0) throw new Error(`The package was not built:\n${built.stdout}${built.stderr}`)
  return join(root, 'dist', `${manifest.name}-${manifest.version}.tgz`)
}

const end = async (child: Bun.Subprocess<'ignore', 'pipe', 'pipe'>): Promise<Ended> => {
  const [exitCode, ...output] = await Promise.all([
    child.exited,
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  return { exitCode, output: output.join('') }
}

const freePort = async (): Promise<number> => {
  const server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response() })
  const { port = 0 } = server
  await server.stop(true)
  return port
}

const isUp = async (url: string): Promise<boolean> => {
  try {
    return (await fetch(`${url}/livez`, { signal: AbortSignal.timeout(1_000) })).ok
  } catch {
    return false
  }
}

/**
 * What a user does: a folder with the files of examples/third-service, and the package installed from its tarball.
 * The files of `fixture/` come along. All keep their places relative to one another.
 */
export const install = async (): Promise<Installed> => {
  const packed = await tarball()
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'latchkey-package-')))
  const example = 'examples/third-service'
  for (const part of [`${example}/index.ts`, 'test/package/fixture']) {
    await cp(join(root, part), join(folder, part), { recursive: true })
  }
  await cp(join(root, example, 'tsconfig.json'), join(folder, 'tsconfig.json'))
  const given = await Bun.file(join(root, example, 'package.json')).json()
  const { dependencies, devDependencies } = given
  await Bun.write(
    join(folder, 'package.json'),
    JSON.stringify({
      ...given,
      dependencies: { ...dependencies, latchkey: `file:${packed}` },
      // For the typed client of the app itself.
      devDependencies: { ...devDependencies, '@elysiajs/eden': manifest.dependencies['@elysiajs/eden'] },
    }),
  )

  const spawn = (command: readonly string[], env: Readonly<Record<string, string>>) =>
    Bun.spawn([...command], { cwd: folder, env: { ...env }, stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' })

  /** Without the variables of this run, but for where things are. */
  const { PATH = '', HOME = '', TMPDIR = tmpdir() } = process.env
  const run = (command: readonly string[]): Promise<Ended> => end(spawn(command, { PATH, HOME, TMPDIR }))

  const installed = await end(
    Bun.spawn([process.execPath, 'install', '--no-progress'], {
      cwd: folder,
      // All of them: they may say how the registry is reached.
      env: process.env,
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
    }),
  )
  const remove = () => rm(folder, { recursive: true, force: true })
  if (installed.exitCode !== 0) {
    await remove()
    throw new Error(`The package could not be installed:\n${installed.output}`)
  }

  return {
    folder,
    run,
    start: async (command, env) => {
      const port = await freePort()
      const url = `http://127.0.0.1:${port}`
      const child = spawn(command, { PATH, ...env, PORT: String(port) })
      const ended = end(child)
      while (child.exitCode === null && !(await isUp(url))) await Bun.sleep(20)
      if (child.exitCode !== null) throw new Error(`It ended at its start:\n${(await ended).output}`)
      return {
        url,
        stop: async () => {
          child.kill()
          return (await ended).output
        },
      }
    },
    remove,
  }
}

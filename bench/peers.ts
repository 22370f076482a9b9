import { join } from 'node:path'

export const peersFolder = join(import.meta.dir, 'peers')

/** Installs what Latchkey is compared with, as its lock file has it. @throws Error */
export const installPeers = (): void => {
  const { exitCode } = Bun.spawnSync(
    [process.execPath, 'install', '--frozen-lockfile', '--no-progress', '--no-summary'],
    {
      cwd: peersFolder,
      stdout: 'ignore',
      stderr: 'inherit',
    },
  )
  if (exitCode !== 0) throw new Error('The peers could not be installed: see above.')
}

import { arch, cpus, release, totalmem } from 'node:os'
import { type Static, Type } from '@sinclair/typebox'

export const Machine = Type.Object({
  cpu: Type.String(),
  cores: Type.Integer(),
  architecture: Type.String(),
  kernel: Type.String(),
  memoryMegabytes: Type.Integer(),
  bun: Type.String(),
})
export type Machine = Static<typeof Machine>

export const describeMachine = (): Machine => ({
  cpu: cpus()[0]?.model.trim() ?? 'unknown',
  cores: navigator.hardwareConcurrency,
  architecture: arch(),
  kernel: release(),
  memoryMegabytes: Math.round(totalmem() / 1_000_000),
  bun: Bun.version,
})

const git = (...args: readonly string[]): string => {
  const { exitCode, stdout } = Bun.spawnSync(['git', ...args], { stderr: 'ignore' })
  return exitCode === 0 ? stdout.toString().trim() : ''
}

/** The commit that is measured; `isChanged` where files differ from it. */
export const describeCommit = (): { commit: string; isChanged: boolean } => ({
  commit: git('rev-parse', '--short=10', 'HEAD') || 'unknown',
  isChanged:
    git('status', '--porcelain', '--untracked-files=no', 'src', 'db', 'bench', 'package.json', 'bun.lock') !==
    '',
})

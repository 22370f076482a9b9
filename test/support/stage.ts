import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Program, type ProgramOptions, startProgram } from './program.ts'

/** What one test file works in: a folder of its own outside of the repository, and every process it started. */
export type Stage = {
  readonly folder: string
  /** A new folder inside of it. */
  makeFolder(name: string): string
  run(options: ProgramOptions): Program
  /** Says of texts that no log may ever hold them. */
  keepSecret(...texts: readonly string[]): void
  /** Every line on standard output of every process. */
  logLines(): string[]
  /** The lines that hold what was to be kept secret. */
  leaks(): string[]
  /** Ends the processes, by force if need be, and removes the folder. */
  end(): Promise<void>
}

const patience = 5_000

const endProgram = async (program: Program): Promise<void> => {
  program.signal('SIGCONT')
  program.signal('SIGTERM')
  const isEnded = await Promise.race([program.ended.then(() => true), Bun.sleep(patience).then(() => false)])
  if (isEnded) return
  program.signal('SIGKILL')
  await program.ended
}

export const createStage = (): Stage => {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-e2e-'))
  const programs: Program[] = []
  const secrets = new Set<string>()
  let folders = 0
  const logLines = (): string[] => programs.flatMap(({ lines }) => lines)

  return {
    folder,
    makeFolder: name => {
      folders += 1
      const path = join(folder, `${folders}-${name}`)
      mkdirSync(path)
      return path
    },
    run: options => {
      const program = startProgram(options)
      programs.push(program)
      return program
    },
    keepSecret: (...texts) => {
      for (const text of texts) secrets.add(text)
    },
    logLines,
    leaks: () => {
      const known = [...secrets]
      return logLines().filter(line => known.some(secret => line.includes(secret)))
    },
    end: async () => {
      await Promise.all(programs.map(endProgram))
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

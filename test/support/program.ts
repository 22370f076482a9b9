import { join } from 'node:path'

/** Where the repository is, so that programs can be started from folders outside of it. */
const root = join(import.meta.dir, '..', '..')

/** The binary that `LATCHKEY_BINARY` names, else Bun with the sources. */
export const command = (): string[] => {
  const { LATCHKEY_BINARY: binary = '' } = process.env
  return binary === '' ? [process.execPath, join(root, 'src', 'main.ts')] : [binary]
}

export type Signal = 'SIGTERM' | 'SIGINT' | 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'

/** How a program ended: by itself with a code, or by a signal. */
export type Ending = { readonly code: number | null; readonly signal: string | null }

/** A process of the program under test. */
export type Program = {
  readonly pid: number
  /** What it wrote to standard output so far, line by line. */
  readonly lines: readonly string[]
  readonly stderr: () => string
  /** Resolves after the last line was read. */
  readonly ended: Promise<Ending>
  /** The first line that is wanted, written or yet to come. @throws Error when the program ends before, or after 20 s. */
  waitForLine(isWanted: (line: string) => boolean): Promise<string>
  signal(name: Signal): void
  /** Stops reading its standard output for good, as a collector of logs does that dies. */
  closeOutput(): Promise<void>
}

export type ProgramOptions = {
  readonly args?: readonly string[]
  /** All of its environment, but for the path and the home folder. */
  readonly env?: Readonly<Record<string, string>>
  readonly folder: string
  /** What it finds on standard input; nothing unless given. */
  readonly input?: string
}

const inherited = (): Record<string, string> =>
  Object.fromEntries(
    ['PATH', 'HOME', 'TMPDIR'].flatMap(name => {
      const value = process.env[name]
      return value === undefined ? [] : [[name, value]]
    }),
  )

const timeLimit = 20_000

/** Starts the program in a folder and returns at once. */
export const startProgram = ({ args = [], env = {}, folder, input }: ProgramOptions): Program => {
  const child = Bun.spawn([...command(), ...args], {
    cwd: folder,
    env: { ...inherited(), ...env },
    stdin: input === undefined ? 'ignore' : new Blob([input]),
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const lines: string[] = []
  let errors = ''
  const listeners = new Set<() => void>()
  const tell = (): void => {
    for (const listener of listeners) listener()
  }

  const output = child.stdout.getReader()
  const readLines = async (): Promise<void> => {
    const decoder = new TextDecoder()
    let rest = ''
    for (;;) {
      const { done, value } = await output.read()
      if (done) break
      const parts = (rest + decoder.decode(value, { stream: true })).split('\n')
      rest = parts.pop() ?? ''
      lines.push(...parts)
      tell()
    }
    if (rest !== '') lines.push(rest)
  }
  const readErrors = async (): Promise<void> => {
    const decoder = new TextDecoder()
    for await (const chunk of child.stderr) {
      errors += decoder.decode(chunk, { stream: true })
      tell()
    }
  }
  let isOver = false
  const ended = Promise.all([child.exited, readLines(), readErrors()]).then(() => {
    isOver = true
    tell()
    const { exitCode, signalCode } = child
    return signalCode === null ? { code: exitCode, signal: null } : { code: null, signal: String(signalCode) }
  })

  return {
    pid: child.pid,
    lines,
    stderr: () => errors,
    ended,
    waitForLine: isWanted =>
      new Promise((resolve, reject) => {
        const settle = (finish: () => void): void => {
          listeners.delete(look)
          clearTimeout(timer)
          finish()
        }
        const look = (): void => {
          const line = lines.find(isWanted)
          if (line !== undefined) settle(() => resolve(line))
          else if (isOver) settle(() => reject(new Error(`The program ended before: ${errors}`)))
        }
        const timer = setTimeout(
          () => settle(() => reject(new Error(`No such line in time: ${errors}`))),
          timeLimit,
        )
        listeners.add(look)
        look()
      }),
    signal: name => child.kill(name),
    closeOutput: () => output.cancel(),
  }
}

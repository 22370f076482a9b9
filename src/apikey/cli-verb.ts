import type { Input } from '../lib/command-line.ts'
import type { Env } from '../lib/config.ts'

/** Where a verb gets from, and puts to. */
export type Terminal = {
  readonly env: Env
  readonly stdin: Input
  /** To standard output: what was asked for, and nothing else. Resolves once it is written. */
  readonly print: (text: string) => Promise<void>
  /** One line to standard error: what is to be known beside it. */
  readonly note: (line: string) => void
}

/** Done, not (there is no such key, say), or can't be told. */
export type ExitCode = 0 | 1 | 2

export type Verb = {
  readonly usage: string
  /** @throws UsageError before a database is touched. */
  readonly prepare: (args: readonly string[]) => (terminal: Terminal) => Promise<ExitCode>
}

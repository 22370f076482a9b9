import { type Input, UsageError } from '../lib/command-line.ts'
import type { Env } from '../lib/config.ts'
import { Failure } from '../lib/failure.ts'
import { commonProblems } from '../lib/problem.ts'
import { isDatabaseUnavailable } from '../lib/sqlite.ts'
import { StartError } from '../lib/start-error.ts'
import { auditVerb } from './cli-audit.ts'
import { changeVerb } from './cli-change.ts'
import { createVerb } from './cli-create.ts'
import { creditsVerb } from './cli-credits.ts'
import { explainVerb } from './cli-explain.ts'
import { listVerb } from './cli-list.ts'
import { showVerb } from './cli-read.ts'
import { revokeVerb, rotateVerb, transferVerb } from './cli-rotate.ts'
import { scanVerb } from './cli-scan.ts'
import type { ExitCode, Terminal, Verb } from './cli-verb.ts'
import { keyProblems } from './errors.ts'

const usage = `Usage: latchkey keys <verb> [--json]

API keys of the service whose database DATABASE_PATH names (./data/service-a.sqlite when it
is not set), beside the running service. A key is printed once, and never taken as an argument.

  create --name NAME --owner ID [--permission resource:action]...
  list [--owner ID] [--status S] | show key_...
  change key_... [--name NAME] [--disable]... | credits key_... [--add N]
  rotate key_... | revoke key_... | transfer --from ID --to ID [key_...]...
  audit [key_...]      who did what to keys
  explain [key_...]    what the service does with a key, and why
  scan FILE...         finds keys in files, folders and standard input (-)

<verb> --help tells more. Exit code: 0 done, 1 not, 2 where the command makes no sense or
can't be carried out.
`

const verbs: ReadonlyMap<string, Verb> = new Map([
  ['create', createVerb],
  ['list', listVerb],
  ['show', showVerb],
  ['change', changeVerb],
  ['credits', creditsVerb],
  ['rotate', rotateVerb],
  ['revoke', revokeVerb],
  ['transfer', transferVerb],
  ['audit', auditVerb],
  ['explain', explainVerb],
  ['scan', scanVerb],
])

/** What can't be a name or a path of any use, and is a key that somebody meant to hide. */
const keyText = /_[0-9A-Za-z]{65}/

/** Standard output is gone, or the disk behind it full. */
class OutputError extends Error {}

const print = (text: string): Promise<void> =>
  new Promise((resolve, reject) => {
    process.stdout.write(text, error => {
      if (error) reject(new OutputError('What was asked for could not be written.', { cause: error }))
      else resolve()
    })
  })

const note = (line: string): void => {
  process.stderr.write(`${line}\n`)
}

/** What commands on keys fail with. `invalid_request` is of what only the database could say. */
const problems = { ...keyProblems, invalid_request: commonProblems.invalid_request }

const isTold = (code: string): code is keyof typeof problems => Object.hasOwn(problems, code)

/** What went wrong in words, without any that were given. Null for what is nobody's doing. */
const troubleOf = (error: unknown): { readonly text: string; readonly code: ExitCode } | null => {
  if (error instanceof StartError || error instanceof OutputError) return { text: error.message, code: 2 }
  if (isDatabaseUnavailable(error)) {
    return { text: 'The database can not be used right now: try again.', code: 2 }
  }
  if (!(error instanceof Failure)) return null
  const { code, errors = [] } = error
  if (code === 'unavailable') return { text: 'The database is busy: try again.', code: 2 }
  if (!isTold(code)) return null
  const { title } = problems[code]
  return {
    text: [title, ...errors.map(({ field, rule }) => `${field} ${rule}`)].map(part => `${part}.`).join(' '),
    code: 1,
  }
}

/** @throws UsageError for what is no use of a verb. */
const runVerb = async ([name = '', ...args]: readonly string[], terminal: Terminal): Promise<ExitCode> => {
  const verb = verbs.get(name)
  if (args.some(arg => keyText.test(arg)) || keyText.test(name)) {
    throw new UsageError(
      'There is a key among the arguments, where others on the machine can read it. Take it for lost: revoke it.\nA key goes on standard input.',
    )
  }
  if (['--help', 'help'].includes(name) || (verb !== undefined && args.includes('--help'))) {
    await terminal.print(verb?.usage ?? usage)
    return 0
  }
  if (verb === undefined) throw new UsageError(name === '' ? '' : 'There is no such verb.')
  return verb.prepare(args)(terminal)
}

/** The verbs of `latchkey keys`. Exit code 0: done, 1: not, 2: not a use of it, or nothing can be said. */
export const run = async (args: readonly string[], env: Env, stdin: Input): Promise<number> => {
  // Each write tells of it; without a listener it would end the process with a stack.
  if (process.stdout.listenerCount('error') === 0) process.stdout.on('error', () => {})
  try {
    return await runVerb(args, { env, stdin, print, note })
  } catch (error) {
    if (error instanceof UsageError) {
      const { usage: own = usage } = verbs.get(args[0] ?? '') ?? {}
      process.stderr.write(`${error.message === '' ? '' : `${error.message}\n\n`}${own}`)
      return 2
    }
    const trouble = troubleOf(error)
    // What nobody foresaw keeps its stack. It is no answer, as 1 would be.
    note(trouble?.text ?? Bun.inspect(error))
    return trouble?.code ?? 2
  }
}

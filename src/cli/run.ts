import type { Input } from '../lib/command-line.ts'
import type { Env } from '../lib/config.ts'
import { version } from '../lib/version.ts'

const usage = `Usage: latchkey [command]

Without a command: the service that ROLE names (login or service-a); without ROLE, both
of them for development, with secrets made in ./data.

Commands:
  clients    service accounts: create, list, rotate, disable, enable, delete
  keys       API keys: create, list, show, rotate, revoke, transfer, explain, scan
  health     ask the service on this machine whether it answers: exit code 0 or 1
  version    print the version
  help       print this

A command of more than one word tells how to use it when there is none after it.
`

/** What the file of a resource offers: its verbs, and the exit code that comes of one. */
type Verbs = {
  readonly run: (args: readonly string[], env: Env, stdin: Input) => Promise<number>
}

/** Loaded when they are asked for: a health check has no use for a database. */
const resources: ReadonlyMap<string, () => Promise<Verbs>> = new Map([
  ['clients', () => import('../login/cli.ts')],
  ['keys', () => import('../apikey/cli.ts')],
])

const defaultPorts: Readonly<Record<string, string>> = { login: '3000', 'service-a': '3001' }

/** For health checks in containers, which have no curl. */
const health = async (env: Env): Promise<number> => {
  const { ROLE: role = '' } = env
  const host = env.HOST || '127.0.0.1'
  const port = env.PORT || undefined
  const address = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host
  const number = port ?? (Object.hasOwn(defaultPorts, role) ? defaultPorts[role] : '3000')
  try {
    const response = await fetch(`http://${address}:${number}/livez`, { signal: AbortSignal.timeout(2_000) })
    return response.ok ? 0 : 1
  } catch {
    return 1
  }
}

/** Runs a command and returns the exit code: 0 done, 1 not, 2 no such command. */
export const run = async (
  [command = '', ...rest]: readonly string[],
  env: Env,
  stdin: Input = () => Bun.stdin.stream(),
): Promise<number> => {
  const load = resources.get(command)
  if (load !== undefined) return (await load()).run(rest, env, stdin)
  if (rest.length === 0) {
    if (command === 'health') return health(env)
    if (command === 'version' || command === '--version') {
      process.stdout.write(`${version}\n`)
      return 0
    }
    if (command === 'help' || command === '--help') {
      process.stdout.write(usage)
      return 0
    }
  }
  process.stderr.write(usage)
  return 2
}

import type { Env } from '../lib/config.ts'
import { version } from '../lib/version.ts'

const usage = `Usage: latchkey [command]

Without a command: the service that ROLE names (login or service-a); without ROLE, both
of them for development, with secrets made in ./data.

Commands:
  health     ask the service on this machine whether it answers: exit code 0 or 1
  version    print the version
  help       print this
`

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
export const run = async ([command, ...rest]: readonly string[], env: Env): Promise<number> => {
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

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError, type Env } from '../lib/config.ts'
import { StartError } from '../lib/start-error.ts'

/**
 * Both roles as two processes on this machine, for development: what `npm start` runs. Secrets are made in `./data`
 * at the first start and found there at the next.
 */

const folder = './data'

/** This program again: the binary by itself, or Bun with the file that it was started with. */
const command = (): string[] =>
  Bun.main.startsWith('/$bunfs/') ? [process.execPath] : [process.execPath, Bun.main]

const passwordFile = (): string => {
  const path = join(folder, 'admin-password')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  if (!existsSync(path)) {
    const password = Buffer.from(crypto.getRandomValues(new Uint8Array(18))).toString('base64url')
    writeFileSync(path, `${password}\n`, { mode: 0o600, flag: 'wx' })
  }
  return path
}

const portOf = (env: Env, name: string, fallback: number): number => {
  const text = env[name] ?? ''
  const port = text === '' ? fallback : Number(text)
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port
  throw new ConfigError([`${name} is not valid: a number from 1 to 65535.`])
}

/** Settings that are one role's own, and would be wrong for the other. */
const notShared = ['PORT', 'DATABASE_PATH', 'ISSUER', 'LOGIN_URL', 'AUDIENCE', 'AUDIENCES', 'HOST']

const isReady = async (url: string): Promise<boolean> => {
  try {
    return (await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(1_000) })).ok
  } catch {
    return false
  }
}

const nextSteps = (login: string, service: string, email: string, password: string | null): string => `
Latchkey is up:
  login      ${login}
  service-a  ${service}

The administrator is ${email}${password === null ? '' : `; the password is in ${password}`}.

Sign in:
  TOKEN=$(curl -s ${login}/auth/login -H 'content-type: application/json' \\
    -d "{\\"email\\":\\"${email}\\",\\"password\\":\\"${password === null ? 'your password' : `$(cat ${password})`}\\"}" \\
    | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')
Make a key:
  curl -s ${service}/api-keys -H "authorization: Bearer $TOKEN" -H 'content-type: application/json' \\
    -d '{"name":"first","permissions":["documents:read","documents:write"]}'

README.md goes on from here. Ctrl-C stops both.

`

/** Starts both roles and ends when both have ended. @throws ConfigError, StartError */
export const start = async (env: Env): Promise<void> => {
  const login = `http://127.0.0.1:${portOf(env, 'LOGIN_PORT', 3000)}`
  const service = `http://127.0.0.1:${portOf(env, 'SERVICE_A_PORT', 3001)}`
  for (const url of [login, service]) {
    // It would be taken for the one that is started here, which finds its port taken.
    if (await isReady(url)) throw new StartError(`${url} answers already: end what runs there.`)
  }
  const shared = Object.fromEntries(Object.entries(env).filter(([name]) => !notShared.includes(name)))
  const isOwnAdmin = env.ADMIN_EMAIL !== undefined
  const admin = isOwnAdmin
    ? { email: env.ADMIN_EMAIL ?? '', file: null, settings: {} }
    : (() => {
        const file = passwordFile()
        const email = 'admin@example.com'
        return { email, file, settings: { ADMIN_EMAIL: email, ADMIN_PASSWORD_FILE: file } }
      })()

  const spawn = (role: string, settings: Record<string, string>) =>
    Bun.spawn(command(), {
      env: { ...shared, ROLE: role, ...settings },
      stdin: 'ignore',
      stdout: 'inherit',
      stderr: 'inherit',
    })
  const children = [
    spawn('login', {
      PORT: new URL(login).port,
      DATABASE_PATH: join(folder, 'login.sqlite'),
      AUDIENCES: 'service-a',
      ...admin.settings,
    }),
    spawn('service-a', {
      PORT: new URL(service).port,
      DATABASE_PATH: join(folder, 'service-a.sqlite'),
      LOGIN_URL: login,
    }),
  ]

  const stop = (): void => {
    for (const child of children) child.kill('SIGTERM')
  }
  // Ctrl-C reaches the children by itself; a second SIGTERM does them no harm.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, stop)

  let isOver = false
  const ended = Promise.all(
    children.map(async child => {
      const code = await child.exited
      isOver = true
      // One without the other is of no use.
      stop()
      return code
    }),
  )
  while (!isOver && !((await isReady(login)) && (await isReady(service)))) await Bun.sleep(50)
  if (!isOver) process.stdout.write(nextSteps(login, service, admin.email, admin.file))
  process.exitCode = Math.max(...(await ended))
}

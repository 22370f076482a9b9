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

const adminEmail = 'admin@example.com'
const passwordPath = join(folder, 'admin-password')

/** The client by which service-a follows the change feed of login. */
const clientId = 'cli_service-a'
const secretPath = join(folder, 'client-secret')

/** A file with a random secret, made where it is not there yet. */
const secretFile = (path: string, bytes: number): string => {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  if (!existsSync(path)) {
    const secret = Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString('base64url')
    writeFileSync(path, `${secret}\n`, { mode: 0o600, flag: 'wx' })
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
const notShared = ['PORT', 'DATABASE_PATH', 'ISSUER', 'LOGIN_URL', 'AUDIENCE', 'HOST']

const isReady = async (url: string): Promise<boolean> => {
  try {
    return (await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(1_000) })).ok
  } catch {
    return false
  }
}

const nextSteps = (login: string, service: string, file: string | null): string => `
Latchkey is up:
  login      ${login}
  service-a  ${service}
${file === null ? '' : `\nThe administrator is ${adminEmail}; the password is in ${file}.\n`}
Sign in:
  TOKEN=$(curl -s ${login}/auth/login -H 'content-type: application/json' \\
    -d "{\\"email\\":\\"${file === null ? 'you@example.com' : adminEmail}\\",\\"password\\":\\"${file === null ? 'your password' : `$(cat ${file})`}\\"}" \\
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
  const isSet = (...names: string[]): boolean => names.some(name => (env[name] ?? '') !== '')
  const isNamed = isSet('ADMIN_EMAIL', 'ADMIN_PASSWORD', 'ADMIN_PASSWORD_FILE')
  const isNew = !existsSync(join(folder, 'login.sqlite'))
  // Made with the database and at no other time: beside one that is there, it would be nobody's password.
  const file = !isNamed && (isNew || existsSync(passwordPath)) ? secretFile(passwordPath, 18) : null
  const client = isSet('CLIENT_ID', 'CLIENT_SECRET', 'CLIENT_SECRET_FILE')
    ? {}
    : { CLIENT_ID: clientId, CLIENT_SECRET_FILE: secretFile(secretPath, 32) }
  const admin = file === null ? {} : { ADMIN_EMAIL: adminEmail, ADMIN_PASSWORD_FILE: file }

  const spawn = (role: string, settings: Record<string, string>) =>
    Bun.spawn(command(), {
      env: { ...shared, ...client, ROLE: role, ...settings },
      stdin: 'ignore',
      stdout: 'inherit',
      stderr: 'inherit',
    })
  const children = [
    spawn('login', {
      PORT: new URL(login).port,
      DATABASE_PATH: join(folder, 'login.sqlite'),
      ...admin,
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
  if (!isOver) process.stdout.write(nextSteps(login, service, file))
  process.exitCode = Math.max(...(await ended))
}

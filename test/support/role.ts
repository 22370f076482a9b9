import { member, parseJson } from './json.ts'
import { freePort } from './ports.ts'
import type { Ending, Program } from './program.ts'
import type { Stage } from './stage.ts'

export type Settings = Readonly<Record<string, string>>

/** A running service, on one port and one folder however often it is started. */
export type Role = {
  readonly port: number
  readonly url: string
  readonly folder: string
  /** The process that runs now, or ran last. */
  program(): Program
  /** Starts it again, with other settings where some are given, and waits until it listens. */
  restart(settings?: Settings): Promise<void>
  /** SIGTERM, and how it ended. */
  stop(): Promise<Ending>
  /** SIGKILL: nothing is flushed, nothing is said. */
  kill(): Promise<void>
}

export type RoleOptions = {
  readonly role: 'login' | 'service-a'
  readonly settings?: Settings
  readonly port?: number
  readonly folder?: string
}

/** Whether a line of a log says that the service listens. */
export const isListening = (line: string): boolean => member(parseJson(line), 'msg') === 'listening'

/** Waits until a service can judge: before its first snapshot it refuses everybody. @throws Error after 20 s. */
export const waitUntilReady = async (url: string): Promise<void> => {
  for (const start = Date.now(); Date.now() - start < 20_000; await Bun.sleep(20)) {
    const answer = await fetch(`${url}/readyz`).catch(() => null)
    await answer?.body?.cancel()
    if (answer?.ok === true) return
  }
  throw new Error(`${url} does not get ready`)
}

/** Waits a moment for a service to judge; one that has no snapshot and no `login` never does. */
const settled = async (url: string): Promise<void> => {
  for (const start = Date.now(); Date.now() - start < 1_500; await Bun.sleep(20)) {
    const answer = await fetch(`${url}/readyz`).catch(() => null)
    await answer?.body?.cancel()
    if (answer?.ok === true) return
  }
}

/** By which `service-a` follows where a test says nothing of it; no `login` knows it. */
const client: Readonly<Record<RoleOptions['role'], Settings>> = {
  login: {},
  'service-a': {
    CLIENT_ID: 'cli_service-a',
    CLIENT_SECRET: 'a secret that no login knows, of 32 characters',
  },
}

/** Starts a role in a folder of its own, with everything logged, and waits until it listens. */
export const startRole = async (
  stage: Stage,
  { role, settings: given = {}, port: givenPort, folder = stage.makeFolder(role) }: RoleOptions,
): Promise<Role> => {
  const port = givenPort ?? (await freePort())
  let settings = given
  let program: Program
  const start = (): Program =>
    stage.run({
      folder,
      env: { ROLE: role, PORT: String(port), LOG_LEVEL: 'debug', ...client[role], ...settings },
    })

  program = start()
  await program.waitForLine(isListening)
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    folder,
    program: () => program,
    restart: async (others = settings) => {
      settings = others
      program = start()
      await program.waitForLine(isListening)
      // A service judges nobody before it has heard login, or could not reach it.
      if (role === 'service-a') await settled(`http://127.0.0.1:${port}`)
    },
    stop: () => {
      program.signal('SIGTERM')
      return program.ended
    },
    kill: async () => {
      program.signal('SIGKILL')
      await program.ended
    },
  }
}

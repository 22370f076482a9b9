import { randomBytes } from 'node:crypto'
import { type Answer, call } from '../support/http.ts'
import { member } from '../support/json.ts'
import { type Link, startLink } from '../support/link.ts'
import { freePort } from '../support/ports.ts'
import type { Program } from '../support/program.ts'
import { createStage, type Stage } from '../support/stage.ts'

/** What a service does once it has not heard of `login` for too long. */
export type StaleMode = 'allow' | 'deny'

/** A process of the program, on one port and one folder however often it is started. */
export type Node = {
  readonly name: string
  readonly port: number
  readonly url: string
  /** Starts it and returns once it answers, ready or not. */
  start(): Promise<void>
  /** SIGKILL: nothing is flushed, nothing is said. */
  kill(): Promise<void>
  /** SIGTERM. */
  stop(): Promise<void>
  readyz(): Promise<{ status: number; word: unknown }>
  lines(): readonly string[]
}

export type ServiceNode = Node & { readonly link: Link; readonly staleMode: StaleMode }

/** `login` and services that each reach it by a link of their own, every one in an empty folder. */
export type Site = {
  readonly stage: Stage
  readonly login: Node
  readonly services: readonly ServiceNode[]
  readonly admin: { readonly email: string; readonly password: string }
  /** Ends every process; removes the folders too, unless they are to be kept. */
  end(options?: { readonly keep: boolean }): Promise<void>
}

export type SiteOptions = {
  readonly staleModes: readonly StaleMode[]
  readonly maxStalenessSeconds: number
}

const startPatience = 15_000

const createNode = (
  stage: Stage,
  { name, port, env }: { name: string; port: number; env: Readonly<Record<string, string>> },
): Node => {
  const folder = stage.makeFolder(name)
  const url = `http://127.0.0.1:${port}`
  let program: Program | null = null
  const lines: string[] = []
  return {
    name,
    port,
    url,
    start: async () => {
      const started = stage.run({ folder, env: { PORT: String(port), LOG_LEVEL: 'warn', ...env } })
      program = started
      let isOver = false
      void started.ended.then(() => {
        isOver = true
        lines.push(...started.lines)
      })
      const until = Date.now() + startPatience
      while (!isOver && Date.now() < until) {
        const answers = await call(`${url}/livez`).then(
          ({ status }) => status === 200,
          () => false,
        )
        if (answers) return
        await Bun.sleep(5)
      }
      throw new Error(`${name} does not answer:\n${started.lines.join('\n')}\n${started.stderr()}`)
    },
    kill: async () => {
      program?.signal('SIGKILL')
      await program?.ended
    },
    stop: async () => {
      program?.signal('SIGTERM')
      await program?.ended
    },
    readyz: async () => {
      const { status, body } = await call(`${url}/readyz`)
      return { status, word: member(body, 'status') }
    },
    lines: () => [...lines, ...(program?.lines ?? [])],
  }
}

/** Waits until a service judges credentials: it has heard of `login`, and has keys to check tokens with. */
export const untilReady = async ({ name, readyz, lines }: Node): Promise<void> => {
  const until = Date.now() + startPatience
  for (;;) {
    const { status, word } = await readyz()
    if (status === 200 && word === 'ok') return
    if (Date.now() > until) {
      throw new Error(`${name} does not get ready, it says ${status} ${String(word)}:\n${lines().join('\n')}`)
    }
    await Bun.sleep(10)
  }
}

/** Starts all of it and waits until every service follows. */
export const startSite = async ({ staleModes, maxStalenessSeconds }: SiteOptions): Promise<Site> => {
  const stage = createStage()
  const links: Link[] = []
  const nodes: Node[] = []
  const end: Site['end'] = async ({ keep } = { keep: false }) => {
    await Promise.all(links.map(link => link.close()))
    if (keep) await Promise.all(nodes.map(node => node.stop()))
    else await stage.end()
  }
  try {
    const admin = { email: 'root@example.com', password: randomBytes(18).toString('base64url') }
    const client = { CLIENT_ID: 'cli_service-a', CLIENT_SECRET: randomBytes(32).toString('base64url') }
    const login = createNode(stage, {
      name: 'login',
      port: await freePort(),
      env: { ROLE: 'login', ADMIN_EMAIL: admin.email, ADMIN_PASSWORD: admin.password, ...client },
    })
    nodes.push(login)
    await login.start()
    const services: ServiceNode[] = []
    for (const [index, staleMode] of staleModes.entries()) {
      const link = await startLink(login.port)
      links.push(link)
      const node = createNode(stage, {
        name: `service-a ${index + 1}`,
        port: await freePort(),
        env: {
          ROLE: 'service-a',
          LOGIN_URL: link.url,
          ISSUER: login.url,
          MAX_STALENESS_SECONDS: String(maxStalenessSeconds),
          STALE_MODE: staleMode,
          // Dead tokens are tried again and again, all of them from here.
          FAILURES_PER_ADDRESS_PER_MINUTE: '0',
          KEY_LIMIT_PER_MINUTE: '0',
          ...client,
        },
      })
      nodes.push(node)
      services.push({ ...node, link, staleMode })
    }
    await Promise.all(services.map(service => service.start()))
    await Promise.all(services.map(untilReady))
    return { stage, login, services, admin, end }
  } catch (error) {
    await end()
    throw error
  }
}

/** An answer that has to have one of some statuses. @throws Error with the problem's code otherwise. */
export const expectStatus = async (asked: Promise<Answer>, ...statuses: number[]): Promise<Answer> => {
  const answer = await asked
  if (statuses.includes(answer.status)) return answer
  throw new Error(`Expected ${statuses.join(' or ')}, got ${answer.status}: ${answer.text.slice(0, 300)}`)
}

import { SQLiteError } from 'bun:sqlite'
import type { PreContext } from 'elysia'
import type { TrustedProxies } from './client-address.ts'
import { Failure } from './failure.ts'
import type { Log } from './log.ts'
import { commonProblems } from './problem.ts'
import { respond } from './problem-answer.ts'
import { type AddressSource, addressOf, factsOf, pathOf, trustProxies } from './request.ts'
import { StartError } from './start-error.ts'

/**
 * Headers of every answer of an API: it is JSON, so nothing in it may be sniffed, framed, run or cached by chance
 * (OWASP REST Security Cheat Sheet).
 */
export const securityHeaders = {
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
} as const

/** How every app here is made: names unknown fields instead of dropping them, and takes no path from a forged Host. */
export const appConfig = { normalize: false, handler: { standardHostname: false } } as const

/** For `app.onRequest`: gives every answer its request id. */
export const identify = ({ request, set }: Pick<PreContext, 'request' | 'set'>): void => {
  set.headers['x-request-id'] = factsOf(request).id
}

/**
 * For `app.wrap`: writes a line about it: who, what, from where (LOG-01). By which proxies that is told (AUT-11) holds
 * for everybody who asks for the address.
 */
export const observe =
  (log: Log, server: () => AddressSource, proxies: TrustedProxies | null = null) =>
  (handle: (request: Request) => unknown, request: Request) =>
  () => {
    trustProxies(request, proxies)
    const startedAt = performance.now()
    const finish = (response: unknown): unknown => {
      if (!(response instanceof Response)) return response
      const { id, actorId, code } = factsOf(request)
      const milliseconds = Math.round((performance.now() - startedAt) * 1_000) / 1_000
      const { method, url } = request
      const path = pathOf(url)
      const { status } = response
      const address = addressOf(request, server())
      log.request({ requestId: id, method, path, status, code, actorId, address, milliseconds })
      return response
    }
    // For a Host header that is none `url` is the path alone, off which Elysia would cut an origin (RFC 9112 section 3.2).
    const answer = request.url.startsWith('http')
      ? handle(request)
      : respond(commonProblems, new Failure('host_invalid'), request)
    return answer instanceof Promise ? answer.then(finish) : finish(answer)
  }

/** The part of an Elysia app that is needed to run it. */
export type Servable = {
  listen(options: {
    hostname: string
    port: number
    reusePort: boolean
    idleTimeout: number
    maxRequestBodySize: number
  }): unknown
  stop(closeActiveConnections?: boolean): Promise<unknown>
  readonly server: {
    readonly port?: number | undefined
    stop(closeActiveConnections?: boolean): Promise<void>
  } | null
}

export type ServeOptions = {
  readonly app: Servable
  readonly host: string
  readonly port: number
  readonly drainSeconds: number
  readonly log: Log
  /** Set before the port is closed, so that balancers look elsewhere. */
  readonly lifecycle: Lifecycle
  /** Told when the way out begins: ends what would wait on, such as long polls. */
  readonly onDrain?: () => void
  /** Closes what the app had open, after the last answer. */
  readonly close: () => void | Promise<void>
}

/** Whether a service takes requests, is on its way out, or both. */
export type Lifecycle = { draining: boolean }

/**
 * Listens until SIGTERM or SIGINT, then lets requests under way finish and ends the process with 0.
 *
 * A second signal does not cut the first one short; what still runs after `drainSeconds` is cut.
 */
export const serve = ({
  app,
  host,
  port,
  drainSeconds,
  log,
  lifecycle,
  onDrain = () => {},
  close,
}: ServeOptions): { port: number } => {
  try {
    app.listen({
      hostname: host,
      port,
      // Two processes on one port would share its requests without a word.
      reusePort: false,
      idleTimeout: 30,
      // Bodies are counted where they are read; Bun's own refusal would come before the credential is asked for.
      maxRequestBodySize: 2 ** 31,
    })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null
    if (code === 'EADDRINUSE') {
      throw new StartError(`Port ${port} of ${host} is taken: end what listens there, or set PORT.`)
    }
    // What starts with the app is no matter of where it listens.
    if (typeof code !== 'string' || error instanceof SQLiteError) throw error
    throw new StartError(`HOST ${host} and PORT ${port} can not be listened on: ${code}.`)
  }
  const listening = app.server?.port ?? port

  process.on('unhandledRejection', error => log.error({ error }, 'unhandled rejection'))
  process.on('uncaughtException', error => log.error({ error }, 'uncaught exception'))

  const drain = async (signal: string): Promise<void> => {
    if (lifecycle.draining) return
    lifecycle.draining = true
    log.info({ signal }, 'draining')
    onDrain()
    const isDone = await Promise.race([
      app.stop().then(() => true),
      Bun.sleep(drainSeconds * 1_000).then(() => false),
    ])
    if (!isDone) {
      log.warn({}, 'requests were cut: they took longer than DRAIN_SECONDS')
      await app.server?.stop(true)
    }
    await close()
    log.info({}, 'stopped')
    // What is left of the log, unless nobody reads it.
    await Promise.race([new Promise(resolve => log.flush(resolve)), Bun.sleep(1_000)])
    process.exit(0)
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void drain(signal))

  log.info({ host, port: listening }, 'listening')
  return { port: listening }
}

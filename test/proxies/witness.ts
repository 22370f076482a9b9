import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'

/** A request as it got somewhere. */
export type Seen = {
  readonly method: string
  readonly path: string
  /** By name in small letters, each value that came. */
  readonly headers: Readonly<Record<string, readonly string[]>>
  readonly body: string
}

/** A server that writes down what gets to it. */
export type Witness = {
  readonly port: number
  readonly seen: readonly Seen[]
  forget(): void
  stop(): Promise<void>
}

const bodyOf = async (request: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

const headersOf = ({ rawHeaders }: IncomingMessage): Record<string, string[]> => {
  const headers: Record<string, string[]> = {}
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] ?? '').toLowerCase()
    headers[name] = [...(headers[name] ?? []), rawHeaders[index + 1] ?? '']
  }
  return headers
}

type Answered = {
  readonly status: number
  readonly headers: readonly [string, string][]
  readonly body: string
}

const listen = async (answer: (seen: Seen) => Promise<Answered>): Promise<Witness> => {
  const seen: Seen[] = []
  const server: Server = createServer((request, response) => {
    void (async () => {
      const told = {
        method: request.method ?? '',
        path: request.url ?? '',
        headers: headersOf(request),
        body: await bodyOf(request),
      }
      seen.push(told)
      const { status, headers, body } = await answer(told)
      response.writeHead(status, headers.flat())
      response.end(body)
    })().catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('There is no port')
  return {
    port: address.port,
    seen,
    forget: () => {
      seen.length = 0
    },
    stop: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** The service behind the proxy: it answers everything, and asks nobody who they are. */
export const startBackend = (): Promise<Witness> =>
  listen(async ({ path }) => {
    // Statuses that a refusal could have, to see whether the proxy takes them for its own.
    const status = Number(/^\/status\/(\d{3})/.exec(path)?.[1] ?? 200)
    return { status, headers: [['content-type', 'text/plain']], body: `from the backend ${status}` }
  })

/** Stands between the proxy and the service that judges, and passes everything on. */
export const startMiddle = (url: () => string): Promise<Witness> =>
  listen(async ({ method, path, headers }) => {
    const response = await fetch(url() + path, {
      method,
      headers: Object.entries(headers).flatMap(([name, values]) =>
        ['host', 'connection'].includes(name) ? [] : values.map((value): [string, string] => [name, value]),
      ),
      signal: AbortSignal.timeout(10_000),
    })
    return {
      status: response.status,
      headers: [...response.headers].filter(([name]) => !['connection', 'transfer-encoding'].includes(name)),
      body: await response.text(),
    }
  })

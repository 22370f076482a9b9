import { connect } from 'node:net'
import type { AnyElysia } from 'elysia'

export type Served = AsyncDisposable & { readonly url: string; readonly port: number }

/** Lets an app listen on a free port of this machine, for what only a socket shows. */
export const serve = (app: AnyElysia, hostname = '127.0.0.1'): Served => {
  app.listen({ hostname, port: 0, reusePort: false, maxRequestBodySize: 2 ** 31 })
  const port = app.server?.port
  if (port === undefined) throw new Error('the app does not listen')
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    [Symbol.asyncDispose]: async () => {
      await app.stop(true)
    },
  }
}

export type RawAnswer = { readonly status: number; readonly head: string; readonly body: string }

const readAnswer = (received: Buffer, hasBody: boolean): RawAnswer | null => {
  const end = received.indexOf('\r\n\r\n')
  if (end === -1) return null
  const head = received.subarray(0, end).toString('latin1')
  const length = hasBody ? Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0) : 0
  const body = received.subarray(end + 4)
  if (body.byteLength < length) return null
  return { status: Number(head.split(' ')[1]), head, body: body.toString() }
}

/** Sends bytes as they are and waits for one answer, without ever ending the request. */
export const exchange = (port: number, ...parts: (string | Uint8Array)[]): Promise<RawAnswer> =>
  new Promise((resolve, reject) => {
    let received = Buffer.alloc(0)
    const socket = connect(port, '127.0.0.1', () => {
      for (const part of parts) socket.write(part)
    })
    socket.on('data', chunk => {
      received = Buffer.concat([received, Buffer.from(chunk)])
      const answer = readAnswer(received, !String(parts[0]).startsWith('HEAD '))
      if (answer === null) return
      socket.destroy()
      resolve(answer)
    })
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('closed without an answer')))
  })

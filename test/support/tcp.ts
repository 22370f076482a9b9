import { connect, type Socket } from 'node:net'
import { parseJson } from './json.ts'

/** An answer as it came over the wire. */
export type RawAnswer = {
  readonly status: number
  readonly headers: Headers
  /** The header block as it was written. */
  readonly head: string
  readonly text: string
  /** Of JSON bodies; undefined for others. */
  readonly body: unknown
}

export type Connection = {
  write(bytes: string | Uint8Array): void
  /** The next answer, null when the connection is closed before it is whole. @throws Error after 10 s. */
  answer(method?: string): Promise<RawAnswer | null>
  close(): void
}

const endOfHead = '\r\n\r\n'

/** The length of a chunked body with its last chunk; null as long as that is missing. */
const chunkedLength = (text: string): { end: number; body: string } | null => {
  let position = 0
  let body = ''
  for (;;) {
    const line = text.indexOf('\r\n', position)
    if (line === -1) return null
    const size = Number.parseInt(text.slice(position, line), 16)
    const next = line + 2 + size + 2
    if (!(text.length >= next)) return null
    if (size === 0) return { end: next, body }
    body += text.slice(line + 2, line + 2 + size)
    position = next
  }
}

/** The first answer in what has arrived, and how many characters it takes; null when it is not whole. */
const readAnswer = (received: string, method: string): { answer: RawAnswer; end: number } | null => {
  const headEnd = received.indexOf(endOfHead)
  if (headEnd === -1) return null
  const head = received.slice(0, headEnd)
  const [statusLine = '', ...lines] = head.split('\r\n')
  const headers = new Headers()
  for (const line of lines) {
    const colon = line.indexOf(':')
    headers.append(line.slice(0, colon), line.slice(colon + 1).trim())
  }
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(statusLine)?.[1] ?? 0)
  const rest = received.slice(headEnd + endOfHead.length)
  const isEmpty = method === 'HEAD' || status === 204 || status === 304
  const length = Number(headers.get('content-length') ?? 0)
  const whole = isEmpty
    ? { end: 0, body: '' }
    : headers.get('transfer-encoding') === 'chunked'
      ? chunkedLength(rest)
      : rest.length >= length
        ? { end: length, body: rest.slice(0, length) }
        : null
  if (whole === null) return null
  const text = Buffer.from(whole.body, 'latin1').toString('utf8')
  return {
    answer: { status, headers, head, text, body: parseJson(text) },
    end: headEnd + endOfHead.length + whole.end,
  }
}

/** Opens a connection on which exactly the given bytes are sent. */
export const openConnection = async (port: number): Promise<Connection> => {
  const socket = await new Promise<Socket>((resolve, reject) => {
    const opening = connect({ port, host: '127.0.0.1' })
    opening.once('connect', () => resolve(opening))
    opening.once('error', reject)
  })
  let received = ''
  let isClosed = false
  let look = (): void => {}
  socket.on('data', chunk => {
    received += chunk.toString('latin1')
    look()
  })
  // What the other side does not care to read is told as a reset.
  socket.on('error', () => {})
  socket.on('close', () => {
    isClosed = true
    look()
  })
  socket.on('end', () => {
    isClosed = true
    look()
  })
  return {
    write: bytes => {
      socket.write(bytes)
    },
    answer: (method = 'GET') =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`No answer in time, only: ${received.slice(0, 200)}`)),
          10_000,
        )
        const settle = (answer: RawAnswer | null): void => {
          clearTimeout(timer)
          look = () => {}
          resolve(answer)
        }
        look = () => {
          const found = readAnswer(received, method)
          if (found !== null) {
            received = received.slice(found.end)
            settle(found.answer)
          } else if (isClosed) settle(null)
        }
        look()
      }),
    close: () => socket.destroy(),
  }
}

/** Sends bytes as they are on a connection of their own; null when it was closed without an answer. */
export const exchange = async (
  port: number,
  parts: readonly (string | Uint8Array)[],
  method = 'GET',
): Promise<RawAnswer | null> => {
  const connection = await openConnection(port)
  try {
    for (const part of parts) connection.write(part)
    return await connection.answer(method)
  } finally {
    connection.close()
  }
}

/** The head of a request as text, with a Host unless one is given. */
export const requestHead = (line: string, headers: readonly string[] = []): string => {
  const hasHost = headers.some(header => /^host:/i.test(header))
  return [`${line} HTTP/1.1`, ...(hasHost ? [] : ['Host: localhost']), ...headers, '', ''].join('\r\n')
}

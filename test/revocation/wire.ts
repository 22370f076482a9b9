import type { Socket } from 'bun'
import { now } from './clock.ts'

/** What came back: status 0 where nothing did, with `reset`, `refused`, `timeout` or `overflow` as code. */
export type Reply = {
  readonly sentAt: number
  readonly answeredAt: number
  readonly status: number
  /** Of a problem; empty for everything else. */
  readonly code: string
}

type Job = { readonly request: string; readonly done: (reply: Reply) => void }

type Connection = {
  socket: Socket | null
  job: Job | null
  sentAt: number
  received: string
}

/** Requests over connections that are kept, one at a time on each, so that `sentAt` is when the bytes left. */
export type Wire = {
  ask(request: string, done: (reply: Reply) => void): void
  close(): void
}

const patience = 5_000
const longestQueue = 4_000

/** The first answer in the text, null as long as it is not whole. Latin-1: a byte is a character. */
const readReply = (text: string): { status: number; code: string } | null => {
  const headEnd = text.indexOf('\r\n\r\n')
  if (headEnd === -1) return null
  const head = text.slice(0, headEnd)
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0)
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
  if (length === undefined) throw new Error(`An answer without a length: ${head.slice(0, 200)}`)
  if (text.length < headEnd + 4 + Number(length)) return null
  const code = status < 300 ? '' : (/"code":"([a-z0-9_]{1,64})"/.exec(text.slice(headEnd))?.[1] ?? '')
  return { status, code }
}

export const createWire = ({ port, connections: most }: { port: number; connections: number }): Wire => {
  const open = new Set<Connection>()
  const idle: Connection[] = []
  const waiting: Job[] = []

  const fail = ({ done }: Job, sentAt: number, code: string): void =>
    done({ sentAt, answeredAt: now(), status: 0, code })

  const send = (connection: Connection, job: Job): void => {
    connection.job = job
    connection.received = ''
    connection.sentAt = now()
    if (connection.socket?.write(job.request) !== job.request.length) connection.socket?.terminate()
  }

  const drop = (connection: Connection, code: string): void => {
    if (!open.delete(connection)) return
    const place = idle.indexOf(connection)
    if (place !== -1) idle.splice(place, 1)
    const { job } = connection
    connection.job = null
    if (job !== null) fail(job, connection.sentAt, code)
    const next = waiting.shift()
    if (next !== undefined) begin(next)
  }

  const begin = (job: Job): void => {
    const connection: Connection = { socket: null, job, sentAt: now(), received: '' }
    open.add(connection)
    const refused = (): void => drop(connection, 'refused')
    Bun.connect({
      hostname: '127.0.0.1',
      port,
      socket: {
        open: socket => {
          connection.socket = socket
          send(connection, job)
        },
        data: (_, bytes) => {
          connection.received += bytes.toString('latin1')
          const reply = readReply(connection.received)
          if (reply === null || connection.job === null) return
          const { done } = connection.job
          connection.job = null
          done({ ...reply, sentAt: connection.sentAt, answeredAt: now() })
          const next = waiting.shift()
          if (next === undefined) idle.push(connection)
          else send(connection, next)
        },
        close: () => drop(connection, 'reset'),
        error: () => drop(connection, 'reset'),
        connectError: refused,
      },
    }).catch(refused)
  }

  const timer = setInterval(() => {
    const oldest = now() - patience
    for (const connection of [...open]) {
      if (connection.job === null || connection.sentAt > oldest) continue
      drop(connection, 'timeout')
      connection.socket?.terminate()
    }
  }, 100)

  return {
    ask: (request, done) => {
      const connection = idle.pop()
      if (connection !== undefined) send(connection, { request, done })
      else if (open.size < most) begin({ request, done })
      else if (waiting.length < longestQueue) waiting.push({ request, done })
      else fail({ request, done }, now(), 'overflow')
    },
    close: () => {
      clearInterval(timer)
      waiting.length = 0
      for (const { socket } of open) socket?.terminate()
    },
  }
}

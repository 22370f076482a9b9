/**
 * Asks at fixed rates, whatever the answers do: `paced.ts <JSON of a Plan>`. Writes what it saw as a line of JSON.
 *
 * A request is timed from when it was due, not from when a connection was free for it: so who had to wait for others is
 * counted as having waited. The timer that sends them adds up to a millisecond.
 */
import { median } from '../statistics.ts'
import { type PacedOutcome, percentile, readPlan, type Stream } from './plan.ts'

type Connection = {
  /** When the request that it waits for was due; null while it waits for none. */
  due: number | null
  received: string
  readonly socket: Bun.Socket
}

const headEnd = '\r\n\r\n'

/** The status of an answer when all of it has come, else null. */
const statusOf = (received: string): string | null => {
  const end = received.indexOf(headEnd)
  if (end === -1) return null
  const length = Number(/\r\ncontent-length: *(\d+)/i.exec(received.slice(0, end + 2))?.[1] ?? Number.NaN)
  if (Number.isNaN(length)) throw new Error(`An answer without a length: ${received.slice(0, 500)}`)
  return received.length < end + headEnd.length + length ? null : received.slice(9, 12)
}

const { url, seconds, streams } = readPlan(process.argv[2] ?? '')
const { host, hostname, port } = new URL(url)

/** Sends the requests of one stream, and resolves when the last of them was answered. */
const createStream = async ({ path, headersFile, perSecond, connections }: Stream) => {
  const lines = (await Bun.file(headersFile).text()).trim().split('\n')
  const requests = lines.map(line => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${line}${headEnd}`)
  const most = perSecond * seconds
  const waits: number[] = []
  const statuses: Record<string, number> = {}
  const line: number[] = []
  const idle: Connection[] = []
  const { promise: done, resolve, reject } = Promise.withResolvers<void>()
  let sent = 0
  let answered = 0

  const send = (connection: Connection, due: number): void => {
    connection.due = due
    connection.received = ''
    connection.socket.write(requests[sent % requests.length] ?? '')
    sent += 1
  }

  const receive = (connection: Connection, data: Buffer): void => {
    connection.received += data.toString('latin1')
    const status = statusOf(connection.received)
    if (status === null || connection.due === null) return
    waits.push(performance.now() - connection.due)
    statuses[status] = (statuses[status] ?? 0) + 1
    answered += 1
    const next = line.shift()
    if (next !== undefined) send(connection, next)
    else {
      connection.due = null
      idle.push(connection)
    }
    if (answered === most) resolve()
  }

  const connect = async (): Promise<Connection> => {
    let own: Connection | null = null
    const socket = await Bun.connect({
      hostname,
      port: Number(port),
      socket: {
        data: (_, data) => {
          if (own !== null) receive(own, data)
        },
        close: () => {
          if (answered < most) reject(new Error('A connection was closed'))
        },
        error: (_, error) => reject(error),
      },
    })
    own = { due: null, received: '', socket }
    return own
  }
  for (let count = 0; count < connections; count += 1) idle.push(await connect())

  let given = 0
  return {
    done,
    /** Sends what is due by now. */
    run: (start: number, now: number): void => {
      while (given < most) {
        const due = start + (given * 1_000) / perSecond
        if (due > now) return
        given += 1
        const connection = idle.pop()
        if (connection === undefined) line.push(due)
        else send(connection, due)
      }
    },
    outcome: (): PacedOutcome => ({
      requests: answered,
      statuses,
      p50Milliseconds: median(waits),
      p99Milliseconds: percentile(waits, 99),
      maxMilliseconds: percentile(waits, 100),
    }),
  }
}

const made = await Promise.all(streams.map(createStream))
const start = performance.now()
const timer = setInterval(() => {
  const now = performance.now()
  for (const { run } of made) run(start, now)
}, 1)
await Promise.all(made.map(({ done }) => done))
clearInterval(timer)
process.stdout.write(`${JSON.stringify(made.map(({ outcome }) => outcome()))}\n`)
process.exit(0)

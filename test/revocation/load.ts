/**
 * The load generator, a process of its own: `bun load.ts <plan as JSON>`. It sends requests by the clock whether or
 * not the ones before were answered, so a service that stops is seen for as long as it stops. Ends with its parent.
 */
import { now } from './clock.ts'
import { type Credential, LoadPlan, type Notice, Order, parseMessage, type SampleRow } from './messages.ts'
import { createWire } from './wire.ts'

/** Takes turns through a list that may change meanwhile. */
const createTurns = () => {
  let list: readonly Credential[] = []
  let turn = 0
  return {
    set: (next: readonly Credential[]): void => {
      list = next
    },
    next: (): Credential | undefined => {
      turn += 1
      return list[turn % list.length]
    },
  }
}

const plan = parseMessage(LoadPlan, JSON.parse(process.argv[2] ?? 'null'))
const interval = 1_000 / plan.rate
const tell = (notice: Notice): void => {
  process.send?.(notice)
}

let rows: SampleRow[] = []
const credentials = new Map<number, Credential>()
const services = plan.services.map(({ port, path }) => ({
  wire: createWire({ port, connections: plan.connections }),
  path,
  host: `127.0.0.1:${port}`,
  live: createTurns(),
  rest: createTurns(),
  turn: 0,
}))

const send = (index: number, dueAt: number): void => {
  const service = services[index]
  if (service === undefined) return
  service.turn += 1
  const [first, second] = service.turn % 4 === 0 ? [service.rest, service.live] : [service.live, service.rest]
  const credential = first.next() ?? second.next()
  if (credential === undefined) return
  const { id, header } = credential
  service.wire.ask(
    `GET ${service.path} HTTP/1.1\r\nHost: ${service.host}\r\n${header}\r\n\r\n`,
    ({ sentAt, answeredAt, status, code }) => {
      rows.push([id, index, dueAt, sentAt, answeredAt, status, code])
    },
  )
}

process.on('message', message => {
  const order = parseMessage(Order, message)
  if (order.kind === 'ping') tell({ kind: 'pong', at: now() })
  if (order.kind === 'add')
    for (const credential of order.credentials) credentials.set(credential.id, credential)
  if (order.kind !== 'turns') return
  const of = (ids: readonly number[], index: number): Credential[] =>
    ids.flatMap(id => credentials.get(id) ?? []).filter(({ services: list }) => list.includes(index))
  for (const [index, { live, rest }] of services.entries()) {
    live.set(of(order.live, index))
    rest.set(of(order.rest, index))
  }
})
// However the parent ended: nobody is left to load the services for.
process.on('disconnect', () => process.exit(0))

const startedAt = now()
let slot = 0
setInterval(() => {
  for (let due = startedAt + slot * interval; due <= now(); due = startedAt + slot * interval) {
    send(slot % services.length, due)
    slot += 1
  }
}, 1)
setInterval(() => {
  if (rows.length === 0) return
  tell({ kind: 'samples', rows })
  rows = []
}, 10)
tell({ kind: 'ready' })

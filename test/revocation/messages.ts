import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

/** What the demo and its load generator tell each other, over a channel of their own: credentials are in no argument. */

const Count = Type.Integer({ minimum: 0 })

/** A credential to use: the header that carries it, and on which services. */
export const Credential = Type.Object({ id: Count, header: Type.String(), services: Type.Array(Count) })
export type Credential = Static<typeof Credential>

export const Order = Type.Union([
  Type.Object({ kind: Type.Literal('add'), credentials: Type.Array(Credential) }),
  /** Who takes turns: `live` ones have three turns of four, `rest` the fourth. Whoever is in neither is not used. */
  Type.Object({ kind: Type.Literal('turns'), live: Type.Array(Count), rest: Type.Array(Count) }),
  Type.Object({ kind: Type.Literal('ping') }),
])
export type Order = Static<typeof Order>

/** Credential, service, due, sent, answered (ms since the epoch), status (0: no answer), code of the problem. */
export const SampleRow = Type.Tuple([
  Count,
  Count,
  Type.Number(),
  Type.Number(),
  Type.Number(),
  Count,
  Type.String(),
])
export type SampleRow = Static<typeof SampleRow>

export const Notice = Type.Union([
  Type.Object({ kind: Type.Literal('samples'), rows: Type.Array(SampleRow) }),
  Type.Object({ kind: Type.Literal('pong'), at: Type.Number() }),
  Type.Object({ kind: Type.Literal('ready') }),
])
export type Notice = Static<typeof Notice>

/** How a generator is started: everything but credentials. */
export const LoadPlan = Type.Object({
  services: Type.Array(Type.Object({ port: Count, path: Type.String() })),
  /** Requests a second, to all services together. */
  rate: Type.Number({ exclusiveMinimum: 0 }),
  /** At most this many connections to each. */
  connections: Type.Integer({ minimum: 1 }),
})
export type LoadPlan = Static<typeof LoadPlan>

/** A message in the form that it should have. @throws Error for any other. */
export const parseMessage = <Schema extends TSchema>(schema: Schema, message: unknown): Static<Schema> => {
  if (Value.Check(schema, message)) return message
  throw new Error(`Not a message: ${Value.Errors(schema, message).First()?.path ?? ''}`)
}

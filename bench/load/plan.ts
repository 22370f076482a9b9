import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

const Stream = Type.Object({
  path: Type.String(),
  /** A file with a header a line, one of which each request has in turn. */
  headersFile: Type.String(),
  perSecond: Type.Integer({ minimum: 1 }),
  connections: Type.Integer({ minimum: 1 }),
})
export type Stream = Static<typeof Stream>

/** What `paced.ts` is told. */
const Plan = Type.Object({
  url: Type.String(),
  seconds: Type.Integer({ minimum: 1 }),
  streams: Type.Array(Stream),
})
export type Plan = Static<typeof Plan>

export const readPlan = (text: string): Plan => Value.Parse(Plan, JSON.parse(text))

/** What it saw of a stream. */
const PacedOutcome = Type.Object({
  requests: Type.Integer(),
  /** Answers by status. */
  statuses: Type.Record(Type.String(), Type.Integer()),
  p50Milliseconds: Type.Number(),
  p99Milliseconds: Type.Number(),
  maxMilliseconds: Type.Number(),
})
export type PacedOutcome = Static<typeof PacedOutcome>

const Outcomes = Type.Array(PacedOutcome)

/** In the order of the streams. */
export const readOutcomes = (text: string): PacedOutcome[] => Value.Parse(Outcomes, JSON.parse(text))

/** The least of the values that so many percent of them do not exceed. @throws RangeError for no values */
export const percentile = (values: readonly number[], percent: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const value = sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)]
  if (value === undefined) throw new RangeError('There is nothing to take a percentile of')
  return value
}

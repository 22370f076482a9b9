import { expect } from 'bun:test'
import { expectProblem } from './problem.ts'
import type { RawAnswer } from './tcp.ts'

const ofEveryProblem = [
  'cache-control',
  'content-length',
  'content-security-policy',
  'content-type',
  'cross-origin-resource-policy',
  'date',
  'referrer-policy',
  'x-content-type-options',
  'x-request-id',
]

export type Refused = {
  /** Headers beside those of every problem; there are no others. */
  readonly headers?: Readonly<Record<string, RegExp>>
  /** Members of the body beside those of every problem; there are no others. */
  readonly members?: Readonly<Record<string, unknown>>
}

/** Expects a problem to the letter, by its status and code in one text: `403 api_key_revoked`. */
export const expectRefusal = (
  answer: RawAnswer,
  refused: string,
  { headers = {}, members = {} }: Refused = {},
): void => {
  const [status = '', code = ''] = refused.split(' ')
  expectProblem(answer, Number(status), code)
  const { type, title, requestId, ...others } = Object(answer.body)
  expect(others).toEqual({ status: Number(status), code, ...members })
  expect([...answer.headers.keys()].sort()).toEqual([...ofEveryProblem, ...Object.keys(headers)].sort())
  for (const [name, value] of Object.entries(headers)) expect(answer.headers.get(name)).toMatch(value)
  expect(answer.headers.get('cache-control')).toBe('no-store')
  // Whoever waits as long as either of the two says waits for the same.
  const { 'retry-after': retryAfter, ratelimit } = Object.fromEntries(answer.headers)
  if (ratelimit !== undefined) expect(ratelimit).toEndWith(`;t=${retryAfter}`)
}

import { expect } from 'bun:test'
import type { Answer } from './http.ts'
import { member } from './json.ts'

type Problematic = Pick<Answer, 'status' | 'headers' | 'body'>

/** Expects a problem as of RFC 9457 with this status and code, whole and well labelled. */
export const expectProblem = (answer: Problematic | null, status: number, code: string): void => {
  // Before anything is expected of it: Bun's matchers put themselves into the object that they match.
  const told = JSON.stringify(answer?.body)
  const requestId = answer?.headers.get('x-request-id') ?? null
  expect({
    status: answer?.status,
    contentType: answer?.headers.get('content-type'),
    nosniff: answer?.headers.get('x-content-type-options'),
    body: answer?.body,
  }).toMatchObject({
    status,
    contentType: 'application/problem+json',
    nosniff: 'nosniff',
    body: { status, code, type: `urn:latchkey:problem:${code}`, title: expect.any(String), requestId },
  })
  expect(requestId).toMatch(/^[\w-]{1,64}$/)
  // Words for callers, never those of an exception.
  expect(told).not.toMatch(/Error\b|SQLITE|\.ts\b|node_modules/)
}

/** The names of the fields that a problem complains of. */
export const fieldsOf = ({ body }: Pick<Answer, 'body'>): unknown[] => {
  const errors = member(body, 'errors')
  return Array.isArray(errors) ? errors.map(error => member(error, 'field')) : []
}

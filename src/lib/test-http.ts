import { expect } from 'bun:test'

/** An answer that has been read whole, since a body can be read once only. */
export type Answer = {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The body as JSON; throws for any other. */
  json(): unknown
}

export type Ask = {
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as JSON. */
  readonly body?: unknown
  /** Sent as it is, where JSON is not the point. */
  readonly raw?: string | Uint8Array<ArrayBuffer>
}

type App = { handle(request: Request): Response | Promise<Response> }

/** Sends a request to an app in this process. */
export const ask = async (
  app: App,
  method: string,
  path: string,
  { headers = {}, body, raw }: Ask = {},
): Promise<Answer> => {
  const sent = raw ?? (body === undefined ? undefined : JSON.stringify(body))
  const response = await app.handle(
    new Request(`http://localhost${path}`, {
      method,
      headers: { ...(sent === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(sent === undefined ? {} : { body: sent }),
    }),
  )
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, json: () => JSON.parse(text) }
}

/** What an answer has to be. */
export type Contract = {
  readonly status: number
  /** Of a problem. */
  readonly code?: string
  /** Fields that a problem names as wrong, in order. */
  readonly fields?: readonly string[]
  readonly has?: readonly (string | RegExp)[]
  readonly lacks?: readonly (string | RegExp)[]
  readonly headers?: Readonly<Record<string, string | RegExp | null>>
}

const expectProblem = ({ status, headers, json }: Answer, { code, fields }: Contract): void => {
  const problem = json()
  expect(problem).toMatchObject({
    type: `urn:latchkey:problem:${code}`,
    title: expect.stringMatching(/./),
    status,
    code,
    requestId: headers.get('x-request-id'),
    ...(fields === undefined ? {} : { errors: fields.map(field => ({ field, rule: expect.any(String) })) }),
  })
  const members = ['type', 'title', 'status', 'code', 'requestId', 'detail', 'errors']
  expect(Object.keys(Object(problem)).filter(member => !members.includes(member))).toEqual([])
  expect(headers.get('content-type')).toBe('application/problem+json')
  expect(headers.get('cache-control')).toBe('no-store')
}

/**
 * Holds an answer against what was promised, and against what holds for every one: HTTP-01 (a problem has one form),
 * AUT-04 (a 401 has a challenge), HTTP-07 (nothing is sniffed), HTTP-08 (no body with 204), LOG-03 (a request id).
 */
export const expectAnswer = (answer: Answer, contract: Contract): void => {
  const { status, headers, text } = answer
  const { has = [], lacks = [] } = contract
  expect({ status, text }).toEqual({ status: contract.status, text })
  if (status >= 400) expectProblem(answer, contract)
  if (status === 401) expect(headers.get('www-authenticate')).toMatch(/^Bearer\b/)
  if (status === 204) expect(text).toBe('')
  expect(headers.get('x-content-type-options')).toBe('nosniff')
  expect(headers.get('x-request-id')).toMatch(/^[\w-]{1,64}$/)
  for (const part of has) expect(text).toMatch(part)
  // The id is random, and may hold any four letters that a test sends.
  const told = text.replaceAll(headers.get('x-request-id') ?? text, '')
  for (const part of lacks) expect(told).not.toMatch(part)
  for (const [name, value] of Object.entries(contract.headers ?? {})) {
    if (value instanceof RegExp) expect(headers.get(name) ?? '').toMatch(value)
    else expect({ [name]: headers.get(name) }).toEqual({ [name]: value })
  }
}

/** A contract in short: the status, the code of a problem and the fields that it names, as `422 invalid_request roles`. */
export const contractOf = (outcome: string): Contract => {
  const [status = '', code, ...fields] = outcome.split(' ')
  return {
    status: Number(status),
    ...(code === undefined ? {} : { code }),
    ...(fields.length === 0 ? {} : { fields }),
  }
}

/** A body of a table: text goes as it is, anything else as JSON, undefined not at all. */
export const sent = (body: unknown): Ask => (typeof body === 'string' ? { raw: body } : { body })

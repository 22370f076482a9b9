import type { Context } from 'elysia'
import { Failure, type FailureOptions } from './failure.ts'
import { factsOf } from './request.ts'

/** The status and title of each code: the one place where codes become HTTP. */
export type ProblemTable<Code extends string> = Readonly<
  Record<Code, { readonly status: number; readonly title: string }>
>

/** RFC 9457 section 3, with three members of our own: `code`, `requestId` and, for invalid input, `errors`. */
export type Problem<Code extends string> = {
  type: string
  title: string
  status: number
  code: Code
  requestId: string
  detail?: string
  errors?: { field: string; rule: string }[]
}

/** The part of the context of an Elysia hook that an answer is written to. */
export type AnswerContext = Pick<Context, 'request' | 'set'>

/** A failure that was met at the HTTP boundary and has headers to go with it. */
export class Refusal<Code extends string = string> extends Failure<Code> {
  readonly headers: Readonly<Record<string, string>>

  constructor(code: Code, headers: Readonly<Record<string, string>>, options: FailureOptions = {}) {
    super(code, options)
    this.headers = headers
  }
}

/** What the problems of a code have in common, as JSON up to the id of the request. */
type Kind = { readonly status: number; readonly json: string }

const kinds = new WeakMap<ProblemTable<string>, Map<string, Kind>>()

/** Made once for each code of a table: refusals are answered in floods. Null for a code that is not in the table. */
const kindOf = (table: ProblemTable<string>, code: string): Kind | null => {
  const ofTable = kinds.get(table) ?? new Map<string, Kind>()
  kinds.set(table, ofTable)
  const known = ofTable.get(code)
  if (known !== undefined) return known
  const definition = Object.hasOwn(table, code) ? table[code] : undefined
  if (definition === undefined) return null
  const { status, title } = definition
  const common = { type: `urn:latchkey:problem:${code}`, title, status, code }
  const kind = { status, json: `${JSON.stringify(common).slice(0, -1)},"requestId":` }
  ofTable.set(code, kind)
  return kind
}

const bodyOf = ({ json }: Kind, { detail, errors }: Failure, requestId: string): string => {
  const told = detail === undefined ? '' : `,"detail":${JSON.stringify(detail)}`
  const fields =
    errors === undefined
      ? ''
      : `,"errors":${JSON.stringify(errors.slice(0, 20).map(({ field, rule }) => ({ field, rule })))}`
  return `${json}${JSON.stringify(requestId)}${told}${fields}}`
}

/**
 * Headers that belong to one answer alone, however they are spelled. What a handler has set of them before it failed is
 * said of the answer that it did not give: a problem that claims to be gzip can't be read.
 */
const ofOneAnswer =
  /^(?:content-(?:type|length|encoding|language|location|range|disposition)|transfer-encoding|etag|last-modified|cache-control|expires|location|accept-ranges|x-content-type-options|x-request-id)$/i

const writeHeaders = (
  headers: Record<string, string | number | string[]>,
  failure: Failure,
  requestId: string,
): void => {
  for (const name of Object.keys(headers)) if (ofOneAnswer.test(name)) delete headers[name]
  headers['content-type'] = 'application/problem+json'
  headers['cache-control'] = 'no-store'
  headers['x-content-type-options'] = 'nosniff'
  headers['x-request-id'] = requestId
  if (failure.retryAfterSeconds !== undefined) headers['retry-after'] = String(failure.retryAfterSeconds)
  if (failure instanceof Refusal) Object.assign(headers, failure.headers)
}

/** The answer for a failure whose code is in the table; null for one that is somebody else's. */
export const respond = (table: ProblemTable<string>, failure: Failure, request: Request): Response | null => {
  const set: Parameters<typeof respondIn>[0]['set'] = { headers: {} }
  const body = respondIn({ request, set }, table, failure)
  if (body === null) return null
  const headers = Object.entries(set.headers).map(([name, value]): [string, string] => [name, String(value)])
  return new Response(body, { status: Number(set.status), headers })
}

/**
 * Writes that answer into the context of an Elysia hook, and returns its body: a Response of our own would be taken
 * apart and made anew, to add the headers of the app.
 */
export const respondIn = (
  { request, set }: AnswerContext,
  table: ProblemTable<string>,
  failure: Failure,
): string | null => {
  const kind = kindOf(table, failure.code)
  if (kind === null) return null
  const facts = factsOf(request)
  facts.code = failure.code
  set.status = kind.status
  writeHeaders(set.headers, failure, facts.id)
  return bodyOf(kind, failure, facts.id)
}

import { RefusedBody } from '../lib/body.ts'
import { Failure } from '../lib/failure.ts'
import { type Form, readForm } from '../lib/form.ts'
import type { Log } from '../lib/log.ts'
import { factsOf } from '../lib/request.ts'
import { isDatabaseUnavailable } from '../lib/sqlite.ts'

/**
 * Errors as of RFC 6749 section 5.2, `invalid_target` of RFC 8693 section 2.2.2, `insufficient_scope` of RFC 6750
 * section 3.1, and the two of RFC 6749 section 4.1.2.1 for what is our own fault.
 */
const statuses = {
  invalid_request: 400,
  invalid_client: 401,
  unsupported_grant_type: 400,
  invalid_scope: 400,
  invalid_target: 400,
  insufficient_scope: 403,
  temporarily_unavailable: 503,
  server_error: 500,
} as const

export type OAuthErrorCode = keyof typeof statuses

/** What a route of `/oauth` throws: its code, and words of ours. */
export class OAuthError extends Error {
  override readonly name = 'OAuthError'
  readonly code: OAuthErrorCode
  readonly status: number

  /** `description` is ASCII without quotes and backslashes (RFC 6749 section 5.2), and quotes nothing that was sent. */
  constructor(code: OAuthErrorCode, description: string, status: number = statuses[code]) {
    super(description)
    this.code = code
    this.status = status
  }
}

/** RFC 6749 section 2.3.1 leaves the size of requests to us; these have some hundred bytes. */
const formLimits = { maxBytes: 16_384, maxParameters: 64 }

/** RFC 6749 section 5.1: nothing that these routes say may be kept. */
const answer = (status: number, body: object, headers: Readonly<Record<string, string>> = {}): Response =>
  Response.json(body, { status, headers: { 'cache-control': 'no-store', pragma: 'no-cache', ...headers } })

const refusedBodies: Readonly<Record<string, readonly [number, string]>> = {
  body_too_large: [413, `The body may have ${formLimits.maxBytes} bytes.`],
  unsupported_media_type: [415, 'The body has to be application/x-www-form-urlencoded in UTF-8.'],
  malformed_body: [400, 'The body is not form-encoded.'],
}

const toOAuthError = (error: unknown): OAuthError => {
  if (error instanceof OAuthError) return error
  const unavailable =
    (error instanceof Failure && error.code === 'unavailable') || isDatabaseUnavailable(error)
  return unavailable
    ? new OAuthError('temporarily_unavailable', 'This can not be decided right now.')
    : new OAuthError('server_error', 'Something went wrong here.')
}

const refusal = (error: OAuthError, request: Request): Response => {
  factsOf(request).code = error.code
  return answer(
    error.status,
    { error: error.code, error_description: error.message },
    {
      ...(error.status === 401 ? { 'www-authenticate': 'Basic realm="latchkey"' } : {}),
      ...(error.status === 503 ? { 'retry-after': '1' } : {}),
    },
  )
}

/** Reads the form of a request, and answers with what is made of it, or with the error that was met. */
export type AnswerForm = (request: Request, make: (form: Form) => Promise<object>) => Promise<Response>

export const createAnswerForm =
  (log: Log): AnswerForm =>
  async (request, make) => {
    try {
      const form = await readForm(request, formLimits)
      if (form instanceof RefusedBody) {
        const [status, description] = refusedBodies[form.failure.code] ?? [400, 'The body can not be read.']
        throw new OAuthError('invalid_request', description, status)
      }
      return answer(200, await make(form))
    } catch (error) {
      const met = toOAuthError(error)
      if (met !== error) log.error({ error, requestId: factsOf(request).id }, 'unexpected error')
      return refusal(met, request)
    }
  }

/**
 * The one value of a parameter. One without a value counts as omitted (RFC 6749 section 3.2).
 *
 * @throws OAuthError `invalid_request` for one that comes twice.
 */
export const oneOf = (form: Form, name: string): string | undefined => {
  const [value, second] = form.get(name) ?? []
  if (second !== undefined) throw new OAuthError('invalid_request', `${name} comes more than once.`)
  return value === '' ? undefined : value
}

/** @throws OAuthError `invalid_request` for one that is missing or comes twice. */
export const requireOne = (form: Form, name: string): string => {
  const value = oneOf(form, name)
  if (value === undefined) throw new OAuthError('invalid_request', `${name} is missing.`)
  return value
}

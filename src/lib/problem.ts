import { Type } from '@sinclair/typebox'
import {
  Elysia,
  ElysiaCustomStatusResponse,
  InvalidCookieSignature,
  InvalidFileType,
  NotFoundError,
  ParseError,
  t,
  ValidationError,
} from 'elysia'
import { Failure, type FieldError } from './failure.ts'
import { type AnswerContext, type Problem, type ProblemTable, Refusal, respondIn } from './problem-answer.ts'
import { isDatabaseUnavailable } from './sqlite.ts'

/** Codes that any service can answer with. */
export const commonProblems = {
  host_invalid: { status: 400, title: 'The Host header names no host' },
  malformed_body: { status: 400, title: 'The body is not what its media type says' },
  not_found: { status: 404, title: 'There is nothing here' },
  method_not_allowed: { status: 405, title: 'This resource does not have that method' },
  body_too_large: { status: 413, title: 'The body is too large' },
  unsupported_media_type: { status: 415, title: 'The media type, charset or encoding is not supported' },
  invalid_request: { status: 422, title: 'A field is invalid' },
  cursor_invalid: { status: 422, title: 'The cursor is not one of this list' },
  internal_error: { status: 500, title: 'Something went wrong here' },
  unavailable: { status: 503, title: 'This can not be decided or done right now' },
} as const satisfies ProblemTable<string>

export type CommonCode = keyof typeof commonProblems

/** Codes of any service that asks for a credential. */
export const credentialProblems = {
  credential_missing: { status: 400, title: 'The request carries no credential' },
  credential_unsupported: { status: 400, title: 'The authentication scheme is not supported' },
  credential_ambiguous: { status: 400, title: 'The request carries more than one credential' },
  token_invalid: { status: 401, title: 'The access token is not valid' },
  token_expired: { status: 401, title: 'The access token has expired' },
  insufficient_permission: { status: 403, title: 'The credential lacks the permission' },
} as const satisfies ProblemTable<string>

/** The schema of a problem whose `code` is one of these. */
export const problemSchema = <Code extends string>(codes: readonly Code[]) =>
  Type.Unsafe<Problem<Code>>(
    Type.Object(
      {
        type: Type.String({ description: 'A URI that names the kind of problem' }),
        title: Type.String(),
        status: Type.Integer({ description: 'The HTTP status' }),
        code: Type.String({ enum: [...codes], description: 'Stable: what programs compare' }),
        requestId: Type.String({ description: 'Names the request in the logs of the service' }),
        detail: Type.Optional(Type.String()),
        errors: Type.Optional(Type.Array(Type.Object({ field: Type.String(), rule: Type.String() }))),
      },
      { title: 'Problem', description: 'A problem as of RFC 9457' },
    ),
  )

/** `/permissions/0` of TypeBox as `permissions/0`; the name of an unknown field is the caller's, so bounded. */
const fieldOf = (path: string): string => path.slice(1, 101)

type Found = {
  readonly path: string
  readonly message: string
  readonly schema?: object
  /** Of a union, what is wrong by each of its options. */
  readonly errors?: readonly Iterable<Found>[]
}

const memberOf = (schema: unknown, name: string): unknown =>
  typeof schema === 'object' && schema !== null
    ? Object.getOwnPropertyDescriptor(schema, name)?.value
    : undefined

/** TypeBox says "union" of what may be null, and of what a query spells as text and a schema as a number. */
const ruleOf = ({ message, schema }: Found): string => {
  const options = memberOf(schema, 'anyOf')
  if (!Array.isArray(options)) return message
  const types = options.map(option => memberOf(option, 'type'))
  if (types.includes('integer')) return 'Expected integer'
  if (types.length !== 2 || !types.includes('null')) return message
  const other: unknown = options.find(option => memberOf(option, 'type') !== 'null')
  const kind = memberOf(other, 'description') ?? memberOf(other, 'format') ?? memberOf(other, 'type')
  return `Expected ${kind} or null`
}

/** Of what may be null and is not: what is wrong inside of it, where it is of the right kind as such. */
const within = ({ path, schema, errors = [] }: Found): Found[] => {
  const options = memberOf(schema, 'anyOf')
  if (!Array.isArray(options) || options.length !== 2 || errors.length !== 2) return []
  const other = options.findIndex(option => memberOf(option, 'type') !== 'null')
  const found = [...(errors[other] ?? [])].slice(0, 20)
  return found.every(inner => inner.path.length > path.length) ? found : []
}

/** What TypeBox found wrong, as fields and rules. Its messages quote the schema and never the value. */
export const fieldErrors = (errors: Iterable<Found>): FieldError[] => {
  const found = new Map<string, FieldError>()
  for (const error of errors) {
    const inner = within(error)
    for (const one of inner.length === 0 ? [error] : inner) {
      const field = fieldOf(one.path)
      if (!found.has(field)) found.set(field, { field, rule: ruleOf(one) })
    }
    if (found.size >= 20) break
  }
  return [...found.values()]
}

const fromValidation = (error: ValidationError): Failure<CommonCode> => {
  // The service broke its own contract; to say 422 would blame the caller.
  if (error.type === 'response') return new Failure('internal_error', { cause: error })
  // `message` and not Elysia's `summary`, which quotes the value of a literal.
  const errors = fieldErrors(
    error.all.map(found =>
      'message' in found && 'schema' in found ? found : { path: '', message: 'is not valid' },
    ),
  ).map(({ field, rule }) => ({ field: field === '' ? error.type : field, rule }))
  return new Failure('invalid_request', { errors })
}

/** Every error that can reach a handler's edge, as one with a code. Anything unknown is an internal error. */
const toFailure = (error: unknown): Failure => {
  if (error instanceof Failure) return error
  if (error instanceof ValidationError) return fromValidation(error)
  if (error instanceof ParseError) return new Failure('malformed_body', { cause: error })
  if (error instanceof NotFoundError) return new Failure('not_found')
  if (error instanceof InvalidFileType || error instanceof InvalidCookieSignature) {
    return new Failure('invalid_request')
  }
  if (isDatabaseUnavailable(error)) return new Failure('unavailable', { retryAfterSeconds: 1, cause: error })
  return new Failure('internal_error', { cause: error })
}

export type ProblemOptions<Table, Extra> = {
  readonly table: Table
  /** More codes, of the app that a library's table is used in. */
  readonly extra?: Extra | undefined
  /** Told of every error that is not the caller's doing (5xx), with the cause that the answer withholds. */
  readonly onUnexpected: (error: unknown, request: Request) => void
}

/** The part of an app's router that knows its paths: those without parameters, and the others. */
type Router = {
  readonly static: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly http: { find(method: string, path: string): unknown }
}

/**
 * An error hook. To the types it returns nothing: what it answers is declared for each status, and Elysia would
 * else count a Response among the data of every route.
 */
export type ErrorAnswer = (context: ErrorContext) => void

type ErrorContext = AnswerContext & { readonly error: unknown }

const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']

/** Which methods a path has: Elysia answers 404 for a wrong one. HEAD comes with GET. */
const methodsOf = (router: Router, path: string): string[] => {
  const found = methods.filter(
    method => router.static[path]?.[method] !== undefined || router.http.find(method, path) !== null,
  )
  return found.includes('GET') ? ['HEAD', ...found] : found
}

/** Declares a problem with one of these codes for every error status, and answers errors by this hook. */
const install = <Code extends string>(
  codes: readonly Code[],
  answerError: ErrorAnswer,
  onStart: (app: { readonly router: Router }) => void,
) => {
  const schema = t.NoValidate(problemSchema(codes))
  return new Elysia({ name: 'latchkey/problems', seed: codes.join() })
    .guard({
      as: 'scoped',
      schema: 'standalone',
      response: {
        400: schema,
        401: schema,
        403: schema,
        404: schema,
        405: schema,
        409: schema,
        410: schema,
        412: schema,
        413: schema,
        415: schema,
        422: schema,
        429: schema,
        500: schema,
        502: schema,
        503: schema,
        504: schema,
      },
    })
    .onStart(onStart)
    .onError({ as: 'scoped' }, answerError)
}

/** The problems of an app, for its modules: what errors they have is known to the types by it alone. */
export type Problems<Code extends string> = ReturnType<typeof install<Code>>

/**
 * A plugin that answers every error of the routes after it as `application/problem+json`, and declares that
 * answer for every status, so that Eden types `error.value` as exactly {@link Problem} with these codes.
 *
 * Register it before the routes: Elysia's error hooks see only what comes after them.
 */
export const createProblems = <
  const Table extends ProblemTable<string>,
  const Extra extends ProblemTable<string> = Record<never, never>,
>({
  table: given,
  extra,
  onUnexpected,
}: ProblemOptions<Table, Extra>) => {
  type Code = CommonCode | Extract<keyof Table | keyof Extra, string>
  const table: ProblemTable<string> = { ...commonProblems, ...given, ...extra }
  const codes = Object.keys(table).filter((code): code is Code => Object.hasOwn(table, code))
  let router: Router | null = null

  const answer = (context: ErrorContext, error: unknown = context.error): string => {
    const failure = toFailure(error)
    const body =
      respondIn(context, table, failure) ?? respondIn(context, table, new Failure('internal_error'))
    if (body === null) throw new Error('The table of problems lacks internal_error')
    // A failure of ours without a cause was meant, such as load that is shed: a line for each would add to it.
    const isMeant = error instanceof Failure && error.cause === undefined && Object.hasOwn(table, error.code)
    if (Number(context.set.status) >= 500 && !isMeant) onUnexpected(failure.cause ?? error, context.request)
    return body
  }

  const allowedMethods = ({ url }: Request): string[] => {
    // For an empty Host header `url` is no URL.
    const pathname = URL.parse(url)?.pathname
    if (router === null || pathname === undefined) return []
    return methodsOf(router, pathname.length > 1 ? pathname.replace(/\/$/, '') : pathname)
  }

  // Taken apart here: of a hook that hands the context on whole, Elysia takes it that it needs headers, cookies and all.
  const answerError: ErrorAnswer = ({ error, request, set }) => {
    const context = { error, request, set }
    // What a host's own handler answers with on purpose.
    if (error instanceof ElysiaCustomStatusResponse) return
    if (error instanceof NotFoundError) {
      const allow = allowedMethods(request)
      if (allow.length > 0 && !allow.includes(request.method)) {
        return answer(context, new Refusal('method_not_allowed', { allow: allow.join(', ') }))
      }
    }
    return answer(context)
  }

  return install(codes, answerError, app => {
    router = app.router
  })
}

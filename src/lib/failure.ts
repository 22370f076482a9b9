/** Where a body or query was wrong, and which rule it broke; never the value that broke it. */
export type FieldError = { readonly field: string; readonly rule: string }

export type FailureOptions = {
  /** One sentence for the caller. It leaves the service: no value from the request, no secret. */
  readonly detail?: string
  readonly errors?: readonly FieldError[]
  /** Whole seconds after which the same request may succeed. */
  readonly retryAfterSeconds?: number
  /** For the log only. */
  readonly cause?: unknown
}

/**
 * What a command throws when it can't be done: a stable code, public words, a private cause.
 * Codes become HTTP statuses in one table at the boundary (`problem.ts`); nothing below it knows them.
 */
export class Failure<Code extends string = string> extends Error {
  override readonly name = 'Failure'
  readonly code: Code
  readonly detail: string | undefined
  readonly errors: readonly FieldError[] | undefined
  readonly retryAfterSeconds: number | undefined

  constructor(code: Code, options: FailureOptions = {}) {
    super(code, { cause: options.cause })
    this.code = code
    this.detail = options.detail
    this.errors = options.errors
    this.retryAfterSeconds = options.retryAfterSeconds
  }
}

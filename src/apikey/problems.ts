import { createLog, type Log } from '../lib/log.ts'
import { createProblems } from '../lib/problem.ts'
import type { ProblemTable } from '../lib/problem-answer.ts'
import { factsOf } from '../lib/request.ts'
import { apikeyProblems } from './errors.ts'

export type ProblemsOptions<Extra> = {
  /** Codes of the app's own, for failures that its routes throw. */
  readonly codes?: Extra
  /** Told of every error that is not the caller's doing. By default it is logged, as JSON on standard output. */
  readonly onUnexpected?: (error: unknown, request: Request) => void
}

let log: Log | null = null

const logUnexpected = (error: unknown, request: Request): void => {
  // Made when there is something to say: an app may never ask for it.
  log ??= createLog({ level: 'error', service: 'latchkey' })
  log.error({ error, requestId: factsOf(request).id }, 'unexpected error')
}

/**
 * A plugin that makes every error of the app an RFC 9457 problem, typed as such in Eden. Register it first: Elysia's
 * error hooks see only the routes after them.
 */
export const problems = <const Extra extends ProblemTable<string> = Record<never, never>>({
  codes,
  onUnexpected = logUnexpected,
}: ProblemsOptions<Extra> = {}) => createProblems({ table: apikeyProblems, extra: codes, onUnexpected })

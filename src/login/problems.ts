import type { Log } from '../lib/log.ts'
import { createProblems } from '../lib/problem.ts'
import { factsOf } from '../lib/request.ts'
import { loginProblems } from './errors.ts'

/** Every error of `login`, as a problem; what is not the caller's doing goes to the log. */
export const createLoginProblems = (log: Log) =>
  createProblems({
    table: loginProblems,
    onUnexpected: (error, request) =>
      log.error({ error, requestId: factsOf(request).id }, 'unexpected error'),
  })

export type LoginProblems = ReturnType<typeof createLoginProblems>

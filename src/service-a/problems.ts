import { problems } from '../apikey/index.ts'
import type { Log } from '../lib/log.ts'
import { factsOf } from '../lib/request.ts'
import { serviceProblems } from './errors.ts'

/** Every error of this service, as a problem; what is not the caller's doing goes to the log. */
export const createServiceProblems = (log: Log) =>
  problems({
    codes: serviceProblems,
    onUnexpected: (error, request) =>
      log.error({ error, requestId: factsOf(request).id }, 'unexpected error'),
  })

export type ServiceProblems = ReturnType<typeof createServiceProblems>

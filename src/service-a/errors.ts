import type { ProblemTable } from '../lib/problem-answer.ts'

/** Codes of this service beside those of `apikey`. */
export const serviceProblems = {
  document_not_found: { status: 404, title: 'There is no such document' },
  document_limit_reached: { status: 409, title: 'The owner has as many documents as allowed' },
  last_admin: { status: 409, title: 'This would leave no administrator' },
  precondition_failed: { status: 412, title: 'The document is not in the state that was asked for' },
  document_name_invalid: { status: 422, title: 'The name of the document is not valid' },
  login_bad_answer: { status: 502, title: 'The login service gave an answer that makes no sense' },
  login_unreachable: { status: 503, title: 'The login service can not be reached' },
  login_timeout: { status: 504, title: 'The login service did not answer in time' },
} as const satisfies ProblemTable<string>

export type ServiceCode = keyof typeof serviceProblems

import { Failure } from '../lib/failure.ts'
import { Refusal } from '../lib/problem-answer.ts'
import { isDatabaseUnavailable } from '../lib/sqlite.ts'
import { apikeyProblems, type CredentialCode } from './errors.ts'

const challenge = (code: CredentialCode, jwtOnly: boolean): Record<string, string> => {
  const { status } = apikeyProblems[code]
  if (status === 400) {
    return { 'www-authenticate': jwtOnly ? 'Bearer' : 'Bearer, ApiKey header="X-API-Key"' }
  }
  return status === 401 ? { 'www-authenticate': 'Bearer error="invalid_token"' } : {}
}

/** Refusals say nothing of the one request, so each is made once: an error that is thrown in floods. */
export const createRefusals = () => {
  const made = new Map<string, Refusal>()
  return (code: CredentialCode, jwtOnly: boolean): Refusal => {
    const name = jwtOnly ? `${code} jwt` : code
    const known = made.get(name)
    if (known !== undefined) return known
    const refusal = new Refusal(code, challenge(code, jwtOnly))
    made.set(name, refusal)
    return refusal
  }
}

/** Gives any error a code: an app without `problems()` would answer with the words of the database. */
export const asFailure = (error: unknown): never => {
  if (error instanceof Failure) throw error
  throw isDatabaseUnavailable(error)
    ? new Failure('unavailable', { retryAfterSeconds: 1, cause: error })
    : new Failure('internal_error', { cause: error })
}

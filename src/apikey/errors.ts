import { commonProblems, credentialProblems } from '../lib/problem.ts'
import type { ProblemTable } from '../lib/problem-answer.ts'

/** Why a credential is refused, in the words of the status table. */
const callerProblems = {
  ...credentialProblems,
  api_key_invalid: { status: 403, title: 'The API key is not valid' },
  api_key_revoked: { status: 403, title: 'The API key has been revoked' },
  api_key_disabled: { status: 403, title: 'The API key is disabled' },
  api_key_expired: { status: 403, title: 'The API key has expired' },
  api_key_owner_inactive: { status: 403, title: 'The owner of the API key is not active' },
  api_key_network_not_allowed: { status: 403, title: 'The API key may not be used from this address' },
  credits_exhausted: { status: 429, title: 'The API key has not enough credits' },
  jwt_required: { status: 403, title: 'An API key will not do here, an access token is needed' },
  rate_limited: { status: 429, title: 'There were too many requests' },
} as const satisfies ProblemTable<string>

/** Why a command on keys fails. */
export const keyProblems = {
  api_key_not_found: { status: 404, title: 'There is no such API key' },
  api_key_rotated: { status: 409, title: 'The API key has been replaced by another' },
  api_key_inactive: { status: 409, title: 'The API key is expired or disabled' },
  api_key_limit_reached: { status: 409, title: 'The owner has as many API keys as allowed' },
  api_key_unmetered: { status: 409, title: 'The API key spends no credits' },
  expiry_invalid: { status: 422, title: 'The time of expiry is not in the future' },
  permission_not_grantable: { status: 422, title: 'A permission goes beyond what the owner may do' },
  owner_unknown: { status: 422, title: 'There is no such owner' },
} as const satisfies ProblemTable<string>

export const apikeyProblems = { ...commonProblems, ...callerProblems, ...keyProblems }

export type CredentialCode = keyof typeof callerProblems
export type KeyCode = keyof typeof keyProblems
export type ApikeyCode = keyof typeof apikeyProblems

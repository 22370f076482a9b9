import { credentialProblems } from '../lib/problem.ts'
import type { ProblemTable } from '../lib/problem-answer.ts'
import type { UserErrorCode } from '../userdb/index.ts'

const userProblems = {
  email_taken: { status: 409, title: 'The email address belongs to another user' },
  email_invalid: { status: 422, title: 'The email address is not valid' },
  display_name_invalid: { status: 422, title: 'The display name is not valid' },
  roles_invalid: { status: 422, title: 'The roles are not valid' },
  password_unacceptable: { status: 422, title: 'The password is not good enough' },
  user_not_found: { status: 404, title: 'There is no such user' },
  last_admin: { status: 409, title: 'This would leave no administrator' },
  overloaded: { status: 503, title: 'Too many passwords are being checked right now' },
} as const satisfies ProblemTable<UserErrorCode>

export const loginProblems = {
  ...credentialProblems,
  ...userProblems,
  credentials_invalid: { status: 401, title: 'The email address or the password is wrong' },
  refresh_token_invalid: { status: 401, title: 'The refresh token is not valid' },
  setup_token_invalid: {
    status: 403,
    title: 'The setup token is not valid, or there is an administrator already',
  },
  client_not_found: { status: 404, title: 'There is no such service account' },
  client_limit_reached: { status: 409, title: 'There are as many service accounts as allowed' },
  signing_key_not_found: { status: 404, title: 'There is no such signing key' },
  resync_required: { status: 410, title: 'The feed does not go back that far: take a snapshot' },
} as const satisfies ProblemTable<string>

export type LoginCode = keyof typeof loginProblems

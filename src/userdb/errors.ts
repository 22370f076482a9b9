/** Codes of the Failures that this library throws, besides `unavailable` and `cursor_invalid` of `src/lib`. */
export type UserErrorCode =
  | 'email_taken'
  | 'email_invalid'
  | 'display_name_invalid'
  | 'roles_invalid'
  | 'password_unacceptable'
  | 'user_not_found'
  | 'last_admin'
  | 'overloaded'

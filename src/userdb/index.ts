export { migrations } from '../../db/userdb/index.ts'
export { migrate } from '../lib/migrate.ts'
export type { Argon2Parameters } from './argon2-hash.ts'
export { normalizeEmail, requireEmail } from './email.ts'
export type { UserErrorCode } from './errors.ts'
export {
  adminRole,
  DisplayName,
  defaultRoles,
  EmailInput,
  maximumPasswordLength,
  PasswordInput,
  RoleName,
  Roles,
  User,
  UserStatus,
} from './model.ts'
export { createPasswords, type Passwords, type PasswordsOptions } from './password.ts'
export { minimumLengthBounds, type PasswordOwner, type PasswordPolicy } from './password-policy.ts'
export {
  type Credential,
  createSqliteUserStore,
  isActiveUser,
  type NewUser,
  type SqliteUserStoreOptions,
  type UserChanges,
  type UserEvent,
  type UserFilter,
  type UserStore,
  type UserTransaction,
} from './store.ts'
export { listUserStates, readUserState, type UserState } from './user-states.ts'
export { type Authentication, createUsers, type UserInput, type Users, type UsersOptions } from './users.ts'

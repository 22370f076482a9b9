import { Value } from '@sinclair/typebox/value'
import type { AuditContext } from '../lib/audit.ts'
import type { Clock } from '../lib/clock.ts'
import type { Page } from '../lib/cursor.ts'
import { Failure } from '../lib/failure.ts'
import { createId } from '../lib/id.ts'
import { normalizeEmail, requireEmail } from './email.ts'
import type { UserErrorCode } from './errors.ts'
import { adminRole, DisplayName, defaultRoles, Roles, type User } from './model.ts'
import type { Passwords } from './password.ts'
import type { NewUser, UserChanges, UserFilter, UserStore } from './store.ts'

export type UserInput = {
  readonly email: string
  readonly password: string
  /** Default null. */
  readonly displayName?: string | null
  /** Default `['user']`. */
  readonly roles?: readonly string[]
}

/** One reason for every refusal: what it was is nobody's business who has not signed in (PWD-08). */
export type Authentication =
  | { readonly ok: true; readonly user: User }
  | { readonly ok: false; readonly reason: 'invalid_credentials' }

/** Commands and queries on users. What the store throws, they throw too. */
export type Users = {
  /**
   * @throws Failure `email_invalid`, `display_name_invalid`, `roles_invalid`, `password_unacceptable`,
   * `email_taken`, `overloaded`.
   */
  create(input: UserInput, context: AuditContext): Promise<User>
  /**
   * Makes an admin when there is no active one, else null, whatever the input.
   *
   * @throws Failure as {@link Users.create} does.
   */
  createFirstAdmin(input: Omit<UserInput, 'roles'>, context: AuditContext): Promise<User | null>
  /** @throws Failure `overloaded` before anything is hashed. */
  authenticate(email: string, password: string): Promise<Authentication>
  /** @throws Failure `user_not_found`. */
  get(id: string): Promise<User>
  /**
   * Oldest first; `email` may be written in any way that normalises to the stored one.
   *
   * @throws Failure `email_invalid`.
   */
  list(filter: UserFilter): Promise<Page<User>>
  /** @throws Failure `user_not_found`, `last_admin`, `display_name_invalid`, `roles_invalid`. */
  update(id: string, changes: UserChanges, context: AuditContext): Promise<User>
  /** @throws Failure `user_not_found`, `last_admin`. */
  disable(id: string, context: AuditContext): Promise<User>
  /** @throws Failure `user_not_found`. */
  enable(id: string, context: AuditContext): Promise<User>
  /** @throws Failure `user_not_found`, `last_admin`. */
  remove(id: string, context: AuditContext): Promise<User>
}

export type UsersOptions = {
  readonly store: UserStore
  readonly passwords: Passwords
  readonly clock: Clock
}

const requireFields = ({ displayName = null, roles }: UserChanges): void => {
  if (displayName !== null && !Value.Check(DisplayName, displayName)) {
    throw new Failure<UserErrorCode>('display_name_invalid', {
      errors: [
        { field: 'displayName', rule: 'must be 1 to 100 characters, none of them a control character' },
      ],
    })
  }
  if (roles !== undefined && !Value.Check(Roles, roles)) {
    throw new Failure<UserErrorCode>('roles_invalid', {
      errors: [{ field: 'roles', rule: 'must be at most 16 different names of a-z, 0-9 and hyphen' }],
    })
  }
}

const refused: Authentication = { ok: false, reason: 'invalid_credentials' }

/** The user service: checks what comes in, hashes outside of every transaction, leaves decisions to the store. */
export const createUsers = ({ store, passwords, clock }: UsersOptions): Users => {
  const prepare = async (input: UserInput): Promise<NewUser> => {
    const { password, displayName = null, roles = defaultRoles } = input
    const email = requireEmail(input.email)
    requireFields({ displayName, roles })
    const errors = passwords.policy(password, { email, displayName })
    if (errors.length > 0) throw new Failure<UserErrorCode>('password_unacceptable', { errors })
    const passwordHash = await passwords.hash(password)
    return { id: createId('usr', clock), email, displayName, roles, passwordHash }
  }

  /** Returns the hash that is stored now. Best effort: who gave the right password gets in all the same. */
  const refreshHash = async (id: string, password: string, hash: string): Promise<string> => {
    if (!passwords.needsRehash(hash)) return hash
    try {
      const newHash = await passwords.hash(password)
      return (await store.replaceHash(id, hash, newHash)) ? newHash : hash
    } catch (error) {
      if (error instanceof Failure) return hash
      throw error
    }
  }

  const authenticate = async (email: string, password: string): Promise<Authentication> => {
    const address = normalizeEmail(email)
    const credential = address === null ? null : await store.findCredential(address)
    if (credential === null || credential.passwordHash === null || credential.user.status !== 'active') {
      await passwords.verifyAgainstDummy(password)
      return refused
    }
    const { user, passwordHash } = credential
    if (!(await passwords.verify(password, passwordHash))) return refused
    const storedHash = await refreshHash(user.id, password, passwordHash)
    // Hashing takes its time, in a queue: the user may be disabled by now, or have another password.
    const now = await store.findCredential(user.email)
    if (now?.user.status !== 'active' || now.passwordHash !== storedHash) {
      return authenticate(email, password)
    }
    return { ok: true, user: now.user }
  }

  return {
    create: async (input, context) => store.insert(await prepare(input), context),

    createFirstAdmin: async (input, context) => {
      // Asked first, so that a service that starts again neither hashes nor judges an old setting again.
      if (await store.hasAdmin()) return null
      const newUser = await prepare({ ...input, roles: [...defaultRoles, adminRole] })
      return store.insertFirstAdmin(newUser, context)
    },

    authenticate,

    get: async id => {
      const user = await store.findById(id)
      if (user === null) throw new Failure<UserErrorCode>('user_not_found')
      return user
    },

    list: async ({ email, ...filter }) =>
      store.list(email === undefined ? filter : { ...filter, email: requireEmail(email) }),

    update: async (id, changes, context) => {
      requireFields(changes)
      return store.update(id, changes, context)
    },

    disable: (id, context) => store.disable(id, context),

    enable: (id, context) => store.enable(id, context),

    remove: (id, context) => store.remove(id, context),
  }
}

import type { Database } from 'bun:sqlite'
import { and, eq, sql } from 'drizzle-orm'
import { type BunSQLiteDatabase, drizzle } from 'drizzle-orm/bun-sqlite'
import type { AuditContext } from '../lib/audit.ts'
import type { Clock } from '../lib/clock.ts'
import { type Page, type Position, toPage } from '../lib/cursor.ts'
import { Failure } from '../lib/failure.ts'
import { isSameSet } from '../lib/list.ts'
import { retryBusy } from '../lib/sqlite.ts'
import type { UserErrorCode } from './errors.ts'
import { adminRole, type User, type UserStatus } from './model.ts'
import { rolesOfUser, userRoles, users } from './schema.ts'

export type NewUser = {
  readonly id: string
  /** Normalised. */
  readonly email: string
  readonly displayName: string | null
  readonly roles: readonly string[]
  /** Null for a user who can't sign in with a password. */
  readonly passwordHash: string | null
}

/** An absent field stays as it is, null clears it. */
export type UserChanges = { readonly displayName?: string | null; readonly roles?: readonly string[] }

export type UserFilter = {
  readonly limit: number
  /** Null for the first page. */
  readonly after: Position | null
  /** Normalised, and compared whole. */
  readonly email?: string
  readonly status?: UserStatus
}

export type Credential = { readonly user: User; readonly passwordHash: string | null }

/** A change that is about to commit. */
export type UserEvent = {
  /** As the change leaves it; of a deleted user, the last state. */
  readonly user: User
  readonly context: AuditContext
  /** Milliseconds since the epoch. */
  readonly at: number
} & (
  | {
      readonly type: 'user_created' | 'user_disabled' | 'user_enabled' | 'user_deleted' | 'password_changed'
    }
  | { readonly type: 'user_updated'; readonly before: User }
)

/** What a change is written through. */
export type UserTransaction = Parameters<Parameters<BunSQLiteDatabase['transaction']>[0]>[0]

/**
 * Where users are kept. Each method is one atomic decision. Those that write throw Failure `unavailable` when
 * the database stays locked; a change that leaves everything as it was writes nothing and makes no event.
 */
export type UserStore = {
  /** @throws Failure `email_taken`. */
  insert(user: NewUser, context: AuditContext): Promise<User>
  /**
   * Null when there is an active admin already. `user.roles` is to include `admin`.
   *
   * @throws Failure `email_taken`.
   */
  insertFirstAdmin(user: NewUser, context: AuditContext): Promise<User | null>
  /** Whether there is an active admin. */
  hasAdmin(): Promise<boolean>
  findById(id: string): Promise<User | null>
  /** By the normalised address. */
  findByEmail(email: string): Promise<User | null>
  /** By the normalised address. */
  findCredential(email: string): Promise<Credential | null>
  /** Oldest first. */
  list(filter: UserFilter): Promise<Page<User>>
  /** @throws Failure `user_not_found`, `last_admin`. */
  update(id: string, changes: UserChanges, context: AuditContext): Promise<User>
  /** @throws Failure `user_not_found`, `last_admin`. */
  disable(id: string, context: AuditContext): Promise<User>
  /** @throws Failure `user_not_found`. */
  enable(id: string, context: AuditContext): Promise<User>
  /** @throws Failure `user_not_found`, `last_admin`. */
  remove(id: string, context: AuditContext): Promise<User>
  /** @throws Failure `user_not_found`. */
  setPassword(id: string, passwordHash: string, context: AuditContext): Promise<User>
  /** The same password hashed anew: false, and nothing written, when the hash is no longer `oldHash`. No event. */
  replaceHash(id: string, oldHash: string, newHash: string): Promise<boolean>
}

export type SqliteUserStoreOptions = {
  /** Migrated; foreign keys on. Never closed here. */
  readonly database: Database
  readonly clock: Clock
  /** Called before a change commits: what it writes commits with it, and if it throws nothing does. Synchronous. */
  readonly inTransaction?: (tx: UserTransaction, event: UserEvent) => void
}

// Named one by one, so that neither the hash nor a column added later slips into a User.
const userColumns = {
  id: users.id,
  email: users.email,
  displayName: users.displayName,
  roles: rolesOfUser,
  status: users.status,
  createdAt: users.createdAt,
  updatedAt: users.updatedAt,
}

/** Whether a user exists and may sign in, as of a transaction: for decisions that others commit with it. */
export const isActiveUser = (tx: UserTransaction, id: string): boolean =>
  tx.select({ status: users.status }).from(users).where(eq(users.id, id)).get()?.status === 'active'

/** Users in SQLite, behind the port. */
export const createSqliteUserStore = ({
  database,
  clock,
  inTransaction,
}: SqliteUserStoreOptions): UserStore => {
  const orm = drizzle({ client: database })

  // Prepared once, since preparing costs more than a point read. They share the connection with the
  // transactions, so inside of one they read what it has written.
  const selectById = orm
    .select(userColumns)
    .from(users)
    .where(eq(users.id, sql.placeholder('id')))
    .prepare()
  const selectByEmail = orm
    .select({ user: userColumns, passwordHash: users.passwordHash })
    .from(users)
    .where(eq(users.email, sql.placeholder('email')))
    .prepare()
  const selectTwoActiveAdmins = orm
    .select({ id: users.id })
    .from(userRoles)
    .innerJoin(users, eq(users.id, userRoles.userId))
    .where(and(eq(userRoles.role, adminRole), eq(users.status, 'active')))
    .limit(2)
    .prepare()

  // Immediate: what is read inside decides, so nobody else may write between the reading and the writing.
  const write = <Result>(decide: (tx: UserTransaction, at: number) => Result): Promise<Result> =>
    retryBusy(() => orm.transaction(tx => decide(tx, clock()), { behavior: 'immediate' }))

  const announce = (tx: UserTransaction, event: UserEvent): void => {
    const returned: unknown = inTransaction?.(tx, event)
    // Its writes after the first `await` would miss the transaction, and its failure could not undo it.
    if (returned instanceof Promise) throw new TypeError('inTransaction must be synchronous')
  }

  const findById = (id: string): User | null => selectById.get({ id }) ?? null

  const getById = (id: string): User => {
    const user = findById(id)
    if (user === null) throw new Failure<UserErrorCode>('user_not_found')
    return user
  }

  const refuseLastAdmin = (user: User): void => {
    const [first, second] = selectTwoActiveAdmins.all()
    if (first?.id === user.id && second === undefined) {
      throw new Failure<UserErrorCode>('last_admin', { detail: 'There must be an active admin.' })
    }
  }

  const insertRoles = (tx: UserTransaction, userId: string, roles: readonly string[]): void => {
    for (const role of roles) tx.insert(userRoles).values({ userId, role }).run()
  }

  const insert = (tx: UserTransaction, at: number, newUser: NewUser, context: AuditContext): User => {
    const { roles, ...row } = newUser
    const inserted = tx
      .insert(users)
      .values({ ...row, status: 'active', createdAt: at, updatedAt: at })
      .onConflictDoNothing({ target: users.email })
      .returning({ id: users.id })
      .all()
    if (inserted.length === 0) {
      throw new Failure<UserErrorCode>('email_taken', { detail: 'A user has this email address already.' })
    }
    insertRoles(tx, row.id, roles)
    const user = getById(row.id)
    announce(tx, { type: 'user_created', user, context, at })
    return user
  }

  const setStatus = (id: string, status: UserStatus, context: AuditContext): Promise<User> =>
    write((tx, at) => {
      const before = getById(id)
      if (before.status === status) return before
      if (status === 'disabled') refuseLastAdmin(before)
      tx.update(users).set({ status, updatedAt: at }).where(eq(users.id, id)).run()
      const user = getById(id)
      announce(tx, { type: status === 'disabled' ? 'user_disabled' : 'user_enabled', user, context, at })
      return user
    })

  return {
    insert: (newUser, context) => write((tx, at) => insert(tx, at, newUser, context)),

    insertFirstAdmin: (newUser, context) =>
      write((tx, at) => (selectTwoActiveAdmins.all().length > 0 ? null : insert(tx, at, newUser, context))),

    hasAdmin: async () => selectTwoActiveAdmins.all().length > 0,

    findById: async id => findById(id),

    findByEmail: async email => selectByEmail.get({ email })?.user ?? null,

    findCredential: async email => selectByEmail.get({ email }) ?? null,

    list: async ({ limit, after, email, status }) => {
      const rows = orm
        .select(userColumns)
        .from(users)
        .where(
          and(
            email === undefined ? undefined : eq(users.email, email),
            status === undefined ? undefined : eq(users.status, status),
            after === null
              ? undefined
              : sql`(${users.createdAt}, ${users.id}) > (${after.createdAt}, ${after.id})`,
          ),
        )
        .orderBy(users.createdAt, users.id)
        .limit(limit + 1)
        .all()
      return toPage(rows, limit)
    },

    update: (id, changes, context) =>
      write((tx, at) => {
        const before = getById(id)
        const { displayName = before.displayName, roles = before.roles } = changes
        if (displayName === before.displayName && isSameSet(roles, before.roles)) return before
        if (!roles.includes(adminRole)) refuseLastAdmin(before)
        tx.update(users).set({ displayName, updatedAt: at }).where(eq(users.id, id)).run()
        tx.delete(userRoles).where(eq(userRoles.userId, id)).run()
        insertRoles(tx, id, roles)
        const user = getById(id)
        announce(tx, { type: 'user_updated', before, user, context, at })
        return user
      }),

    disable: (id, context) => setStatus(id, 'disabled', context),

    enable: (id, context) => setStatus(id, 'active', context),

    remove: (id, context) =>
      write((tx, at) => {
        const user = getById(id)
        refuseLastAdmin(user)
        tx.delete(users).where(eq(users.id, id)).run()
        announce(tx, { type: 'user_deleted', user, context, at })
        return user
      }),

    setPassword: (id, passwordHash, context) =>
      write((tx, at) => {
        tx.update(users).set({ passwordHash, updatedAt: at }).where(eq(users.id, id)).run()
        const user = getById(id)
        announce(tx, { type: 'password_changed', user, context, at })
        return user
      }),

    replaceHash: (id, oldHash, newHash) =>
      write(
        tx =>
          tx
            .update(users)
            .set({ passwordHash: newHash })
            .where(and(eq(users.id, id), eq(users.passwordHash, oldHash)))
            .returning({ id: users.id })
            .all().length > 0,
      ),
  }
}

import { eq, gt } from 'drizzle-orm'
import type { UserStatus } from './model.ts'
import { rolesOfUser, users } from './schema.ts'
import type { UserTransaction } from './store.ts'

/** What others need to know of a user to judge what they present. */
export type UserState = { readonly id: string; readonly status: UserStatus; readonly roles: string[] }

const stateColumns = { id: users.id, status: users.status, roles: rolesOfUser }

/** The state of a user, as of a transaction; null where there is none. Synchronous. */
export const readUserState = (tx: UserTransaction, id: string): UserState | null =>
  tx.select(stateColumns).from(users).where(eq(users.id, id)).get() ?? null

/** The states of the users whose ids come after one, in the order of ids, as of a transaction. Synchronous. */
export const listUserStates = (
  tx: UserTransaction,
  { afterId, limit }: { readonly afterId: string; readonly limit: number },
): UserState[] =>
  tx.select(stateColumns).from(users).where(gt(users.id, afterId)).orderBy(users.id).limit(limit).all()

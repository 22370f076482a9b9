import type { AuditContext } from '../lib/audit.ts'
import type { UserEvent, UserTransaction } from '../userdb/index.ts'
import { loginAudit } from './schema.ts'

export type AuditEntry = {
  readonly at: number
  readonly action: string
  readonly subjectId: string | null
  /** What changed; never a secret. */
  readonly detail?: Record<string, unknown>
}

/** Writes an audit row through the transaction of the change it tells of. */
export const writeAudit = (
  tx: UserTransaction,
  { at, action, subjectId, detail = {} }: AuditEntry,
  { actorId, requestId, address }: AuditContext,
): void => {
  tx.insert(loginAudit).values({ at, action, subjectId, detail, actorId, requestId, address }).run()
}

const actions: Record<UserEvent['type'], string> = {
  user_created: 'user.created',
  user_updated: 'user.changed',
  user_disabled: 'user.disabled',
  user_enabled: 'user.enabled',
  user_deleted: 'user.deleted',
  password_changed: 'user.password_changed',
}

/** The audit row of a change to a user. */
export const auditUserEvent = (tx: UserTransaction, event: UserEvent): void => {
  const { displayName, roles, status } = event.user
  const detail =
    event.type === 'user_updated'
      ? {
          before: { displayName: event.before.displayName, roles: event.before.roles },
          after: { displayName, roles },
        }
      : { roles, status }
  writeAudit(
    tx,
    { at: event.at, action: actions[event.type], subjectId: event.user.id, detail },
    event.context,
  )
}

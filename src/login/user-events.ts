import { changeTypes } from '../lib/changes-schema.ts'
import { isSameSet } from '../lib/list.ts'
import type { UserEvent, UserTransaction } from '../userdb/index.ts'
import { writeAudit } from './audit.ts'
import type { ChangeLog } from './change-log.ts'
import { appendEndings } from './session-endings.ts'
import { endSessions } from './session-store.ts'
import { dropSetupTokens } from './setup.ts'

const actions: Record<UserEvent['type'], string> = {
  user_created: 'user.created',
  user_updated: 'user.changed',
  user_disabled: 'user.disabled',
  user_enabled: 'user.enabled',
  user_deleted: 'user.deleted',
  password_changed: 'user.password_changed',
}

const types = {
  user_created: changeTypes.accountCreated,
  user_updated: changeTypes.claimsChanged,
  user_disabled: changeTypes.accountDisabled,
  user_enabled: changeTypes.accountEnabled,
  user_deleted: changeTypes.accountPurged,
  password_changed: changeTypes.credentialChanged,
} as const

/** The audit row of a change to a user. */
const auditUserEvent = (tx: UserTransaction, event: UserEvent): void => {
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

/** Whether services have to hear of it: a name is nothing to them. */
const concernsServices = (event: UserEvent): boolean =>
  event.type !== 'user_updated' || !isSameSet(event.before.roles, event.user.roles)

/**
 * What commits with each change of a user: the audit row, the end of sessions, the rows of the change feed, the end of
 * the setup token.
 */
export const createUserEvents =
  (changes: ChangeLog) =>
  (tx: UserTransaction, event: UserEvent): void => {
    auditUserEvent(tx, event)
    const { type, at } = event
    const { id, roles, status } = event.user
    if (concernsServices(event)) {
      const state =
        type === 'user_deleted'
          ? { status: 'deleted' as const, roles: [], scopes: [] }
          : { status, roles, scopes: [] }
      changes.append(tx, [{ type: types[type], at, subjectId: id, state }])
    }
    if (type === 'user_disabled' || type === 'user_deleted' || type === 'password_changed') {
      appendEndings(changes, tx, id, endSessions(tx, id, type, at), at)
    }
    if (type === 'user_created' && roles.includes('admin')) dropSetupTokens(tx)
  }

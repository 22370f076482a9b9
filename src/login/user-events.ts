import type { UserEvent, UserTransaction } from '../userdb/index.ts'
import { writeAudit } from './audit.ts'
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

/** What commits with each change of a user: the audit row, the end of sessions, the end of the setup token. */
export const withUserEvent = (tx: UserTransaction, event: UserEvent): void => {
  auditUserEvent(tx, event)
  const { id, roles } = event.user
  if (event.type === 'user_disabled' || event.type === 'user_deleted' || event.type === 'password_changed') {
    endSessions(tx, id, event.type, event.at)
  }
  if (event.type === 'user_created' && roles.includes('admin')) dropSetupTokens(tx)
}

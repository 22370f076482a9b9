import type { AuditContext } from '../lib/audit.ts'
import type { UserTransaction } from '../userdb/index.ts'
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

import { integer, text } from 'drizzle-orm/sqlite-core'

/** Who asked, and from where: written beside every change of state, in its transaction. */
export type AuditContext = {
  /** The user, client or key that asked; null where the service itself acts, or nobody is known. */
  readonly actorId: string | null
  readonly requestId: string | null
  readonly address: string | null
}

/** What the service does by itself, at its start say. */
export const bySystem: AuditContext = { actorId: null, requestId: null, address: null }

/** Columns of an audit table. `detail` is JSON: what changed, and never a secret. */
export const auditColumns = () => ({
  sequence: integer().primaryKey({ autoIncrement: true }),
  at: integer().notNull(),
  actorId: text('actor_id'),
  action: text().notNull(),
  subjectId: text('subject_id'),
  detail: text({ mode: 'json' }).$type<Record<string, unknown>>().notNull(),
  address: text(),
  requestId: text('request_id'),
})

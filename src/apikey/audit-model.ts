import { Type } from '@sinclair/typebox'
import { t } from 'elysia'
import { isoTime } from '../lib/clock.ts'
import { pageQuery } from '../lib/page-query.ts'
import { queryTime } from './model.ts'
import type { AuditRow } from './store-audit.ts'

const Members = t.Record(t.String(), t.Unknown())

export const AuditEntry = t.Object({
  sequence: Type.Integer({ description: 'In the order in which they were written' }),
  at: t.String({ format: 'date-time' }),
  action: t.String({ description: 'What was done, as api_key.changed' }),
  actorId: t.Nullable(t.String({ description: 'Who did it; null for the service itself' })),
  keyId: t.Nullable(t.String()),
  before: t.Nullable(Members),
  after: t.Nullable(Members),
  detail: t.Record(t.String(), t.Unknown(), {
    description: 'What else there is to say, by the kind of action',
  }),
  address: t.Nullable(t.String({ description: 'Where they did it from' })),
  requestId: t.Nullable(t.String()),
})
export type AuditEntry = typeof AuditEntry.static

export const AuditList = t.Object({ items: t.Array(AuditEntry), nextCursor: t.Nullable(t.String()) })

export const AuditListQuery = t.Object({
  ...pageQuery,
  key: t.Optional(t.String({ minLength: 1, maxLength: 64, description: 'What was done to this key' })),
  actor: t.Optional(t.String({ minLength: 1, maxLength: 128, description: 'What they did' })),
  action: t.Optional(
    t.String({ pattern: '^[a-z_]{1,40}\\.[a-z_]{1,40}$', description: 'Such as api_key.revoked' }),
  ),
  since: t.Optional(queryTime('At or after this time')),
  until: t.Optional(queryTime('Before this time')),
})

const membersOf = (value: unknown): Record<string, unknown> | null =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null

/** Times are kept as numbers, and leave as text. */
const withTimes = (members: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(members).map(([name, value]) => [
      name,
      name.endsWith('At') && typeof value === 'number' ? isoTime(value) : value,
    ]),
  )

/**
 * The public form of a row. `reader` is who reads: of what others did, only admins (null) learn from where and by which
 * request.
 */
export const toAuditEntry = (row: AuditRow, reader: string | null): AuditEntry => {
  const { before, after, ...detail } = row.detail
  const [from, to] = [membersOf(before), membersOf(after)]
  const isOfKey = row.subjectId?.startsWith('key_') ?? true
  const isTold = reader === null || reader === row.actorId
  return {
    sequence: row.sequence,
    at: isoTime(row.at),
    action: row.action,
    actorId: row.actorId,
    keyId: isOfKey ? row.subjectId : null,
    before: from === null ? null : withTimes(from),
    after: to === null ? null : withTimes(to),
    detail: withTimes(isOfKey ? detail : { ...detail, subjectId: row.subjectId }),
    address: isTold ? row.address : null,
    requestId: isTold ? row.requestId : null,
  }
}

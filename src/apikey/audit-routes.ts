import { Elysia } from 'elysia'
import type { Position } from '../lib/cursor.ts'
import { Failure } from '../lib/failure.ts'
import { limitOf } from '../lib/page-query.ts'
import { allows } from '../lib/permission.ts'
import type { Problems } from '../lib/problem.ts'
import { AuditList, AuditListQuery, toAuditEntry } from './audit-model.ts'
import { internalsOf } from './internals.ts'
import { createListCursor } from './list-cursor.ts'
import { toTime } from './model.ts'
import { manageKeys } from './owners.ts'
import type { Apikey } from './plugin.ts'
import type { AuditPosition } from './store-audit.ts'

const toPosition = ({ at, sequence }: AuditPosition): Position => ({ createdAt: at, id: String(sequence) })

const fromPosition = ({ createdAt, id }: Position): AuditPosition => {
  if (/^\d{1,15}$/.test(id)) return { at: createdAt, sequence: Number(id) }
  throw new Failure('cursor_invalid', {
    errors: [{ field: 'cursor', rule: 'must be a nextCursor of this list' }],
  })
}

/** Who did what to keys: among the routes of keys, which give it their prefix. */
export const auditRoutes = <Permission extends string, Code extends string>({
  auth,
  problems,
}: {
  readonly auth: Apikey<Permission>
  readonly problems: Problems<Code>
}) => {
  const { audit } = internalsOf(auth)

  return new Elysia({ name: 'latchkey/api-keys/audit', tags: ['API keys'] })
    .use(problems)
    .use(auth)
    .get(
      '/audit',
      async ({ principal, query }) => {
        const { key: keyId, actor: actorId, action } = query
        const ownerId = allows(principal.permissions, manageKeys) ? null : principal.ownerId
        const filter = {
          ownerId,
          keyId,
          actorId,
          action,
          since: toTime('since', query.since),
          until: toTime('until', query.until),
        }
        const cursor = createListCursor(filter)
        const position = cursor.decode(query.cursor)
        const { items, next } = await audit().list({
          ...filter,
          limit: limitOf(query),
          after: position === null ? null : fromPosition(position),
        })
        return {
          items: items.map(row => toAuditEntry(row, ownerId)),
          nextCursor: cursor.encode(next === null ? null : toPosition(next)),
        }
      },
      {
        permission: 'any',
        credential: 'jwt',
        query: AuditListQuery,
        response: { 200: AuditList },
        detail: {
          summary: 'Read who did what to keys, the last first',
          description:
            'Admins (`api-keys:manage`) read all of it, anybody else what happened to keys while they were theirs. A page may be short, or empty: nextCursor alone says whether there is more.',
        },
      },
    )
}

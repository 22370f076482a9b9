import { Elysia } from 'elysia'
import { limitOf } from '../lib/page-query.ts'
import type { Problems } from '../lib/problem.ts'
import { auditContextOf } from '../lib/request.ts'
import { internalsOf } from './internals.ts'
import { createListCursor } from './list-cursor.ts'
import { ListQuery, toFilter, toNoted } from './list-model.ts'
import { ApiKeyList, toApiKey } from './model.ts'
import type { Apikey } from './plugin.ts'
import type { Principal } from './principal.ts'
import type { KeyScope } from './store.ts'

/** The list of keys: among the routes of keys, which give it their prefix. */
export const listRoutes = <Permission extends string, Code extends string>({
  auth,
  problems,
  requireManager,
}: {
  readonly auth: Apikey<Permission>
  readonly problems: Problems<Code>
  readonly requireManager: (principal: Principal) => void
}) => {
  const { store, usage } = internalsOf(auth)

  return new Elysia({ name: 'latchkey/api-keys/list', tags: ['API keys'] })
    .use(problems)
    .use(auth)
    .get(
      '',
      async ({ principal, query, request, server }) => {
        const { owner = principal.ownerId } = query
        const isOwn = owner === principal.ownerId
        if (!isOwn) requireManager(principal)
        const filter = toFilter(query)
        const cursor = createListCursor({ ...filter, owner })
        const after = cursor.decode(query.cursor)
        const limit = limitOf(query)
        // What is only noted so far counts as well: somebody is about to decide by this answer.
        const { usedSince, unusedSince, neverUsed } = filter
        if (usedSince !== undefined || unusedSince !== undefined || neverUsed) await usage().flush()
        const context = auditContextOf(request, server, principal.ownerId)
        if (!isOwn) await store().noteListing(toNoted(owner, filter), context)
        const scope: KeyScope = owner === '*' ? 'all' : { ownerId: owner }
        const { items, next } = await store().list({ ...filter, scope, limit, after })
        return { items: items.map(toApiKey), nextCursor: cursor.encode(next) }
      },
      {
        permission: 'any',
        credential: 'jwt',
        query: ListQuery,
        response: { 200: ApiKeyList },
        detail: {
          summary: 'List keys, oldest first',
          description:
            'What is given must hold together. A page may be short, or empty, where few keys match: nextCursor alone says whether there is more. A cursor is good for the same filters only. That admins read the keys of others is audited.',
        },
      },
    )
}

import { Elysia } from 'elysia'
import { Failure } from '../lib/failure.ts'
import type { Problems } from '../lib/problem.ts'
import type { KeyCode } from './errors.ts'
import { internalsOf } from './internals.ts'
import type { KeyRecord } from './key-record.ts'
import type { Apikey } from './plugin.ts'
import type { Principal } from './principal.ts'
import type { KeyScope } from './store.ts'
import { daysOf, KeyUsage, toKeyUsage, UsageQuery } from './usage-model.ts'
import { dayOf } from './usage-notes.ts'

/** How often a key was used, by day: among the routes of keys, which give it their prefix. */
export const usageRoutes = <Permission extends string, Code extends string>({
  auth,
  problems,
  scopeOf,
}: {
  readonly auth: Apikey<Permission>
  readonly problems: Problems<Code>
  readonly scopeOf: (principal: Principal) => KeyScope
}) => {
  const { store, usage, clock } = internalsOf(auth)

  /** A key within the scope, also a revoked one: whether somebody still comes with it is just what its owner asks. */
  const find = async (id: string, scope: KeyScope): Promise<KeyRecord> => {
    const key = (await store().findCredential(id))?.key
    if (key !== undefined && (scope === 'all' || scope.ownerId === key.ownerId)) return key
    throw new Failure<KeyCode>('api_key_not_found')
  }

  return new Elysia({ name: 'latchkey/api-keys/usage', tags: ['API keys'] })
    .use(problems)
    .use(auth)
    .get(
      '/:id/usage',
      async ({ principal, params, query }) => {
        const days = daysOf(query)
        const scope = scopeOf(principal)
        // Nobody has anything written for a key that is not theirs.
        await find(params.id, scope)
        await usage().flushKey(params.id)
        const today = dayOf(clock())
        const from = today - days + 1
        const counts = await usage().countsOf(params.id, from, today)
        return toKeyUsage(await find(params.id, scope), counts, from, today)
      },
      {
        permission: 'any',
        credential: 'jwt',
        query: UsageQuery,
        response: { 200: KeyUsage },
        detail: {
          summary: 'Read how often a key was used, by day and outcome',
          description: 'Also of a revoked key: whether somebody still comes with it.',
        },
      },
    )
}

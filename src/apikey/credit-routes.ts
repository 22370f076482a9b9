import { Elysia } from 'elysia'
import type { Problems } from '../lib/problem.ts'
import { auditContextOf } from '../lib/request.ts'
import { ChangeCreditsBody, KeyCredits, toCreditChange, toKeyCredits } from './credit-model.ts'
import { internalsOf } from './internals.ts'
import { manageKeys, type Owners } from './owners.ts'
import type { Apikey } from './plugin.ts'
import type { Principal } from './principal.ts'
import type { KeyScope } from './store.ts'
import { strictBody } from './strict-body.ts'

/** What a key may still spend: among the routes of keys, which give it their prefix. */
export const creditRoutes = <Permission extends string, Code extends string>({
  auth,
  problems,
  scopeOf,
  requireManager,
}: {
  readonly auth: Apikey<Permission>
  readonly problems: Problems<Code>
  readonly scopeOf: (principal: Principal) => KeyScope
  readonly requireManager: Owners['requireManager']
}) => {
  const { store } = internalsOf(auth)

  return new Elysia({ name: 'latchkey/api-keys/credits', tags: ['API keys'] })
    .use(problems)
    .use(auth)
    .use(strictBody())
    .get(
      '/:id/credits',
      async ({ principal, params }) => toKeyCredits(await store().credits(params.id, scopeOf(principal))),
      {
        permission: 'any',
        credential: 'jwt',
        response: { 200: KeyCredits },
        detail: {
          summary: 'Read what a key and its successors may still spend',
          description: 'As of now, with a refill that has become due.',
        },
      },
    )
    .post(
      '/:id/credits',
      async ({ principal, params, body, request, server }) => {
        requireManager(principal)
        const change = toCreditChange(body)
        const context = auditContextOf(request, server, principal.ownerId)
        return toKeyCredits(await store().changeCredits(params.id, 'all', change, context))
      },
      {
        permission: 'any',
        credential: 'jwt',
        strict: ChangeCreditsBody,
        body: ChangeCreditsBody,
        response: { 200: KeyCredits },
        detail: {
          summary: 'Set, add to or subtract from what a key may spend',
          description: `For admins (\`${manageKeys}\`). One of \`set\`, \`add\` and \`subtract\`, which ends at 0.`,
        },
      },
    )
}

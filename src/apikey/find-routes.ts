import { Elysia, t } from 'elysia'
import { Failure } from '../lib/failure.ts'
import type { Problems } from '../lib/problem.ts'
import type { KeyCode } from './errors.ts'
import { internalsOf } from './internals.ts'
import { ApiKey, toApiKey } from './model.ts'
import type { Apikey } from './plugin.ts'
import type { Principal } from './principal.ts'
import type { KeyScope } from './store.ts'
import { strictBody } from './strict-body.ts'
import { parseKey, publicId } from './token.ts'

const FindKeyBody = t.Object(
  { key: t.String({ minLength: 1, maxLength: 128, description: 'The text of a key, as it was found' }) },
  { additionalProperties: false },
)

/** Which key a text is, for who found one somewhere: among the routes of keys, which give it their prefix. */
export const findRoutes = <Permission extends string, Code extends string>({
  auth,
  problems,
  scopeOf,
}: {
  readonly auth: Apikey<Permission>
  readonly problems: Problems<Code>
  readonly scopeOf: (principal: Principal) => KeyScope
}) => {
  const { store } = internalsOf(auth)

  return new Elysia({ name: 'latchkey/api-keys/find', tags: ['API keys'] })
    .use(problems)
    .use(auth)
    .use(strictBody())
    .post(
      '/find',
      async ({ principal, body, set }) => {
        const parts = parseKey(body.key)
        if (parts === null) {
          throw new Failure('invalid_request', {
            errors: [{ field: 'key', rule: 'must be the text of a key' }],
          })
        }
        const scope = scopeOf(principal)
        // By the id alone. Whether the secret is right is nobody's business here: it would be one more place to guess.
        const key = (await store().findCredential(publicId(parts.id)))?.key
        if (key === undefined || (scope !== 'all' && scope.ownerId !== key.ownerId)) {
          throw new Failure<KeyCode>('api_key_not_found')
        }
        set.headers['cache-control'] = 'no-store'
        return toApiKey(key)
      },
      {
        permission: 'any',
        credential: 'jwt',
        strict: FindKeyBody,
        body: FindKeyBody,
        response: { 200: ApiKey },
        detail: {
          summary: 'Find a key by its text',
          description:
            'In a body, since a key must not stand in a URL. Only the id in it is looked at; whether the secret is right is not said. Revoked keys are found, too.',
        },
      },
    )
}

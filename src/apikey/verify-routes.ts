import { Elysia } from 'elysia'
import type { Problems } from '../lib/problem.ts'
import { internalsOf } from './internals.ts'
import type { Apikey } from './plugin.ts'
import { strictBody } from './strict-body.ts'
import { createVerify } from './verify.ts'
import { toAddress, VerifiedKey, VerifyKeyBody, verifyKeys } from './verify-model.ts'

/**
 * Whether a key is good, for services that can't use the plugin: among the routes of keys, which give it their prefix,
 * and the one of them that takes keys. A bad key is an answer and no error, since the question was good.
 */
export const verifyRoutes = <Permission extends string, Code extends string>({
  auth,
  problems,
}: {
  readonly auth: Apikey<Permission>
  readonly problems: Problems<Code>
}) => {
  const verify = createVerify(internalsOf(auth))

  return new Elysia({ name: 'latchkey/api-keys/verify', tags: ['API keys'] })
    .use(problems)
    .use(auth)
    .use(strictBody())
    .post(
      '/verify',
      async ({ body, set }) => {
        const { key: text, permissions = [], cost = 0 } = body
        const address = toAddress(body.address)
        set.headers['cache-control'] = 'no-store'
        return verify({ text, permissions, address, cost })
      },
      {
        permission: verifyKeys,
        strict: VerifyKeyBody,
        body: VerifyKeyBody,
        response: { 200: VerifiedKey },
        detail: {
          summary: 'Ask whether a key is good',
          description:
            'For services in any language. A key that is not good is an answer as well: `valid` is false and `code` says why.',
        },
      },
    )
}

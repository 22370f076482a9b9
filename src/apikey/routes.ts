import { type Context, Elysia, status, t } from 'elysia'
import { Failure } from '../lib/failure.ts'
import { allows } from '../lib/permission.ts'
import type { Problems } from '../lib/problem.ts'
import { auditContextOf } from '../lib/request.ts'
import { auditRoutes } from './audit-routes.ts'
import type { Ceilings } from './ceilings.ts'
import { creditRoutes } from './credit-routes.ts'
import { findRoutes } from './find-routes.ts'
import { internalsOf } from './internals.ts'
import type { IssuedKey } from './keys.ts'
import { listRoutes } from './list-routes.ts'
import {
  ApiKey,
  ApiKeyWithSecret,
  ChangeKeyBody,
  CreateKeyBody,
  defaultGraceSeconds,
  RotateKeyBody,
  TransferKeysBody,
  TransferredKeys,
  toApiKey,
  toExpiry,
} from './model.ts'
import { createOwners, type FindOwner, manageKeys } from './owners.ts'
import type { Apikey } from './plugin.ts'
import type { Principal } from './principal.ts'
import { problems } from './problems.ts'
import type { KeyScope } from './store.ts'
import { strictBody } from './strict-body.ts'
import { toTerms } from './terms.ts'
import { usageRoutes } from './usage-routes.ts'
import { verifyRoutes } from './verify-routes.ts'

export type ApikeyRoutesOptions = {
  /**
   * Finds the owner that an admin names, with the caller's own `Authorization` header; null for anyone who may not own
   * keys, such as a disabled user. Without it the change feed is asked; without a feed nobody makes keys for others.
   */
  readonly findOwner?: FindOwner
}

/** The routes of {@link apikeyRoutes}, in an app whose problems have codes beside ours. */
export const keyRoutes = <Permission extends string, Code extends string>({
  auth,
  problems: installed,
  findOwner,
}: ApikeyRoutesOptions & { readonly auth: Apikey<Permission>; readonly problems: Problems<Code> }) => {
  const { keys, store, feed, clock, roles, ceilings } = internalsOf(auth)

  const isManager = ({ permissions }: Principal): boolean => allows(permissions, manageKeys)
  const scopeOf = (principal: Principal): KeyScope =>
    isManager(principal) ? 'all' : { ownerId: principal.ownerId }
  const ceilingsOf = (principal: Principal): Ceilings => ceilings(isManager(principal))

  /** The one answer that holds a key. */
  const issued = (headers: Context['set']['headers'], { key, text }: IssuedKey) => {
    headers.location = `/api-keys/${key.id}`
    headers['cache-control'] = 'no-store'
    return status(201, { ...toApiKey(key), key: text })
  }

  const { grantableBy, requireManager } = createOwners({ roles, feed, findOwner })

  return new Elysia({ name: 'latchkey/api-keys', prefix: '/api-keys', tags: ['API keys'] })
    .use(installed)
    .use(auth)
    .use(strictBody())
    .post(
      '',
      async ({ principal, body, request, server, set }) => {
        const { ownerId = principal.ownerId, permissions = [], expiresAt, ...others } = body
        const allowed = ceilingsOf(principal)
        if (others.credits !== undefined) requireManager(principal)
        const expiry = allowed.expiry(toExpiry(expiresAt, clock), clock())
        const terms = toTerms(others, allowed)
        const grantable = allowed.grantable(await grantableBy(principal, ownerId, request))
        const key = await keys().create(
          { ...terms, name: body.name, ownerId, permissions, expiresAt: expiry },
          grantable,
          auditContextOf(request, server, principal.ownerId),
        )
        return issued(set.headers, key)
      },
      {
        permission: 'any',
        credential: 'jwt',
        strict: CreateKeyBody,
        body: CreateKeyBody,
        response: { 201: ApiKeyWithSecret },
        detail: { summary: 'Make a key', description: 'The answer holds the key itself, this once.' },
      },
    )
    .use(listRoutes({ auth, problems: installed, requireManager }))
    .get(
      '/:id',
      async ({ principal, params }) => toApiKey(await store().find(params.id, scopeOf(principal))),
      {
        permission: 'any',
        credential: 'jwt',
        response: { 200: ApiKey },
        detail: { summary: 'Read a key' },
      },
    )
    .use(findRoutes({ auth, problems: installed, scopeOf }))
    .use(auditRoutes({ auth, problems: installed }))
    .use(usageRoutes({ auth, problems: installed, scopeOf }))
    .use(creditRoutes({ auth, problems: installed, scopeOf, requireManager }))
    .use(verifyRoutes({ auth, problems: installed }))
    .patch(
      '/:id',
      async ({ principal, params, body, request, server }) => {
        const { ownerId, permissions, createdAt } = await store().find(params.id, scopeOf(principal))
        const { expiresAt, ...others } = body
        const allowed = ceilingsOf(principal)
        if (others.credits !== undefined) requireManager(principal)
        const terms = toTerms(others, allowed)
        const changes =
          expiresAt === undefined
            ? terms
            : { ...terms, expiresAt: allowed.expiry(toExpiry(expiresAt, clock), createdAt) }
        // To take away needs nobody's word: it must be possible for a key whose owner is gone, too.
        const isNarrower = body.permissions?.every(needed => allows(permissions, needed)) ?? true
        const grantable = isNarrower
          ? permissions
          : allowed.grantable(await grantableBy(principal, ownerId, request))
        const context = auditContextOf(request, server, principal.ownerId)
        // By the owner that was asked about: meanwhile another may have got the key, who may do less.
        return toApiKey(await keys().change(params.id, { ownerId }, changes, grantable, context))
      },
      {
        permission: 'any',
        credential: 'jwt',
        strict: ChangeKeyBody,
        body: ChangeKeyBody,
        response: { 200: ApiKey },
        detail: { summary: 'Change a key', description: 'Absent keeps, null clears, a value sets.' },
      },
    )
    .delete(
      '/:id',
      async ({ principal, params, request, server }) => {
        await store().revoke(
          params.id,
          scopeOf(principal),
          auditContextOf(request, server, principal.ownerId),
        )
        return status(204, undefined)
      },
      {
        permission: 'any',
        credential: 'jwt',
        response: { 204: t.Void() },
        detail: { summary: 'Revoke a key, at once and for good' },
      },
    )
    .post(
      '/:id/rotate',
      async ({ principal, params, body, request, server, set }) => {
        // A new text for somebody else's key is a new key for them, so they must be there.
        const { ownerId } = await store().find(params.id, scopeOf(principal))
        await grantableBy(principal, ownerId, request)
        const key = await keys().rotate(
          params.id,
          { ownerId },
          body?.graceSeconds ?? defaultGraceSeconds,
          auditContextOf(request, server, principal.ownerId),
        )
        return issued(set.headers, key)
      },
      {
        permission: 'any',
        credential: 'jwt',
        strict: RotateKeyBody,
        body: RotateKeyBody,
        response: { 201: ApiKeyWithSecret },
        detail: { summary: 'Replace a key; the old one lives on for the time of grace' },
      },
    )
    .post(
      '/transfer',
      async ({ principal, body: { from, to, keyIds = null }, request, server }) => {
        requireManager(principal)
        if (from === to) {
          throw new Failure('invalid_request', { errors: [{ field: 'to', rule: 'must not be from' }] })
        }
        const grantable = await grantableBy(principal, to, request, 'to')
        const context = auditContextOf(request, server, principal.ownerId)
        const moved = await keys().transfer({ from, to, keyIds }, grantable, context)
        return { items: moved.keys.map(toApiKey), remaining: moved.remaining }
      },
      {
        permission: 'any',
        credential: 'jwt',
        strict: TransferKeysBody,
        body: TransferKeysBody,
        response: { 200: TransferredKeys },
        detail: {
          summary: 'Give keys to another owner',
          description: `For admins (\`${manageKeys}\`). The keys stay as they are and go on working: so that somebody can leave. All or none.`,
        },
      },
    )
}

/**
 * Routes on which people manage keys, mounted once in an app: `/api-keys`. They take access tokens only, since a
 * key that can make keys could never be taken back; but for the one on which services ask whether a key is good. Callers see their own keys and those with
 * {@link manageKeys} all; a key of somebody else is answered like one that never was.
 */
export const apikeyRoutes = <Permission extends string>(
  auth: Apikey<Permission>,
  options: ApikeyRoutesOptions = {},
) => keyRoutes({ ...options, auth, problems: problems() })

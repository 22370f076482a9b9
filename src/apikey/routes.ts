import { TypeGuard } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { type Context, Elysia, status, type TSchema, t } from 'elysia'
import { defaultBodyLimits, RefusedBody, readJson } from '../lib/body.ts'
import { decodeCursor, encodeCursor } from '../lib/cursor.ts'
import { Failure } from '../lib/failure.ts'
import { limitOf } from '../lib/page-query.ts'
import { allows, permissionsOf } from '../lib/permission.ts'
import { fieldErrors, type Problems, Refusal } from '../lib/problem.ts'
import { auditContextOf } from '../lib/request.ts'
import type { Principal } from './authenticate.ts'
import type { KeyCode } from './errors.ts'
import type { IssuedKey } from './keys.ts'
import {
  ApiKey,
  ApiKeyList,
  ApiKeyWithSecret,
  ChangeKeyBody,
  CreateKeyBody,
  defaultGraceSeconds,
  ListQuery,
  RotateKeyBody,
  toApiKey,
  toExpiry,
} from './model.ts'
import { type Apikey, internalsOf } from './plugin.ts'
import { problems } from './problems.ts'
import type { KeyScope } from './store.ts'

/** What the routes must know of an owner who is not the caller. */
export type Owner = { readonly id: string; readonly roles: readonly string[] }

export type ApikeyRoutesOptions = {
  /**
   * Finds the owner that an admin names, with the caller's own `Authorization` header; null for anyone who may not own
   * keys, such as a disabled user. Without it nobody makes keys for others.
   */
  readonly findOwner?: (ownerId: string, request: Request) => Promise<Owner | null>
}

/** Held by who may manage the keys of others; `api-keys:*` in a role includes it. */
export const manageKeys = 'api-keys:manage'

/**
 * Takes JSON only and refuses what a schema does not name, in any app: an app may have forms read as bodies, and
 * fields stripped before they are looked at. On a route it stands after `permission`, whose hooks go first.
 */
const strictBody = () =>
  new Elysia({ name: 'latchkey/strict-body' }).macro({
    strict: (schema: TSchema) => ({
      // JSON has been read by the guard; anything else gets here.
      parse: async ({ request }) => readJson(request, defaultBodyLimits),
      transform: ({ body }) => {
        if (body instanceof RefusedBody) throw body.failure
        if (body === undefined && TypeGuard.IsOptional(schema)) return
        if (Value.Check(schema, body)) return
        const errors = fieldErrors(Value.Errors(schema, body)).map(({ field, rule }) => ({
          field: field === '' ? 'body' : field,
          rule,
        }))
        throw new Failure('invalid_request', { errors })
      },
    }),
  })

/** The routes of {@link apikeyRoutes}, in an app whose problems have codes beside ours. */
export const keyRoutes = <Permission extends string, Code extends string>({
  auth,
  problems: installed,
  findOwner,
}: ApikeyRoutesOptions & { readonly auth: Apikey<Permission>; readonly problems: Problems<Code> }) => {
  const { keys, store, clock, roles } = internalsOf(auth)

  const scopeOf = ({ ownerId, permissions }: Principal): KeyScope =>
    allows(permissions, manageKeys) ? 'all' : { ownerId }

  /** The one answer that holds a key. */
  const issued = (headers: Context['set']['headers'], { key, text }: IssuedKey) => {
    headers.location = `/api-keys/${key.id}`
    headers['cache-control'] = 'no-store'
    return status(201, { ...toApiKey(key), key: text })
  }

  const forbidden = () =>
    new Refusal('insufficient_permission', { 'www-authenticate': 'Bearer error="insufficient_scope"' })

  /** What an owner may do now: the caller by the token, anybody else by who knows. */
  const grantableBy = async (
    principal: Principal,
    ownerId: string,
    request: Request,
  ): Promise<readonly string[]> => {
    if (ownerId === principal.ownerId) return principal.permissions
    if (!allows(principal.permissions, manageKeys)) throw forbidden()
    if (findOwner === undefined) {
      throw new Failure<KeyCode>('owner_unknown', {
        errors: [{ field: 'ownerId', rule: 'must be the caller: this service knows no other owners' }],
      })
    }
    const owner = await findOwner(ownerId, request)
    if (owner === null)
      throw new Failure<KeyCode>('owner_unknown', {
        errors: [{ field: 'ownerId', rule: 'must be an active user' }],
      })
    return permissionsOf(roles, owner.roles)
  }

  return new Elysia({ name: 'latchkey/api-keys', prefix: '/api-keys', tags: ['API keys'] })
    .use(installed)
    .use(auth)
    .use(strictBody())
    .post(
      '',
      async ({ principal, body, request, server, set }) => {
        const ownerId = body.ownerId ?? principal.ownerId
        const expiresAt = toExpiry(body.expiresAt ?? null, clock)
        const grantable = await grantableBy(principal, ownerId, request)
        const key = await keys().create(
          { name: body.name, ownerId, permissions: body.permissions ?? [], expiresAt },
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
    .get(
      '',
      async ({ principal, query }) => {
        const scope = scopeOf(principal)
        const { owner, cursor } = query
        if (owner !== undefined && owner !== principal.ownerId && scope !== 'all') throw forbidden()
        const { items, next } = await store().list({
          scope: { ownerId: owner ?? principal.ownerId },
          limit: limitOf(query),
          after: cursor === undefined ? null : decodeCursor(cursor),
        })
        return { items: items.map(toApiKey), nextCursor: next === null ? null : encodeCursor(next) }
      },
      {
        permission: 'any',
        credential: 'jwt',
        query: ListQuery,
        response: { 200: ApiKeyList },
        detail: { summary: 'List keys, oldest first' },
      },
    )
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
    .patch(
      '/:id',
      async ({ principal, params, body, request, server }) => {
        const scope = scopeOf(principal)
        const { ownerId, permissions } = await store().find(params.id, scope)
        const { expiresAt, ...others } = body
        const changes =
          expiresAt === undefined ? others : { ...others, expiresAt: toExpiry(expiresAt, clock) }
        // To take away needs nobody's word: it must be possible for a key whose owner is gone, too.
        const isNarrower = body.permissions?.every(needed => allows(permissions, needed)) ?? true
        const grantable = isNarrower ? permissions : await grantableBy(principal, ownerId, request)
        const context = auditContextOf(request, server, principal.ownerId)
        return toApiKey(await keys().change(params.id, scope, changes, grantable, context))
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
        const scope = scopeOf(principal)
        // A new text for somebody else's key is a new key for them, so they must be there.
        await grantableBy(principal, (await store().find(params.id, scope)).ownerId, request)
        const key = await keys().rotate(
          params.id,
          scope,
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
}

/**
 * Routes on which people manage keys, mounted once in an app: `/api-keys`. They take access tokens only, since a
 * key that can make keys could never be taken back. Callers see their own keys and those with
 * {@link manageKeys} all; a key of somebody else is answered like one that never was.
 */
export const apikeyRoutes = <Permission extends string>(
  auth: Apikey<Permission>,
  options: ApikeyRoutesOptions = {},
) => keyRoutes({ ...options, auth, problems: problems() })

import { t } from 'elysia'
import { type Clock, isoTime, isoTimeOrNull } from '../lib/clock.ts'
import { maximumLimit } from '../lib/cursor.ts'
import { Failure } from '../lib/failure.ts'
import { permissionPattern } from '../lib/permission.ts'
import { printablePattern } from '../lib/text.ts'
import type { KeyRecord } from './store.ts'

const KeyName = t.String({
  minLength: 1,
  maxLength: 100,
  pattern: printablePattern,
  description: 'For people',
})
const Permission = t.String({ pattern: permissionPattern, description: 'resource:action, * for any' })
const Permissions = t.Array(Permission, { maxItems: 100, uniqueItems: true })
const Time = t.String({ format: 'date-time', description: 'ISO 8601' })

export const ApiKey = t.Object({
  id: t.String({ description: 'key_ and the 16 characters after the prefix of the key' }),
  name: KeyName,
  ownerId: t.String({ description: 'On whose behalf the key acts' }),
  createdBy: t.String(),
  permissions: t.Array(t.String()),
  enabled: t.Boolean(),
  expiresAt: t.Nullable(Time),
  start: t.String({ description: 'How the key begins' }),
  last4: t.String({ description: 'How it ends' }),
  createdAt: Time,
  updatedAt: Time,
  rotatedFrom: t.Nullable(t.String()),
  rotatedTo: t.Nullable(t.String()),
})
export type ApiKey = typeof ApiKey.static

export const ApiKeyWithSecret = t.Composite([
  ApiKey,
  t.Object({ key: t.String({ description: 'The key itself. It is shown this once.' }) }),
])

export const ApiKeyList = t.Object({ items: t.Array(ApiKey), nextCursor: t.Nullable(t.String()) })

const strict = { additionalProperties: false } as const

export const CreateKeyBody = t.Object(
  {
    name: KeyName,
    permissions: t.Optional(Permissions),
    expiresAt: t.Optional(t.Nullable(Time)),
    ownerId: t.Optional(
      t.String({ minLength: 1, maxLength: 128, description: 'For admins; else the caller' }),
    ),
  },
  strict,
)

export const ChangeKeyBody = t.Object(
  {
    name: t.Optional(KeyName),
    permissions: t.Optional(Permissions),
    enabled: t.Optional(t.Boolean()),
    expiresAt: t.Optional(t.Nullable(Time)),
  },
  strict,
)

export const maxGraceSeconds = 30 * 86_400
export const defaultGraceSeconds = 86_400

export const RotateKeyBody = t.Optional(
  t.Object(
    {
      graceSeconds: t.Optional(
        t.Integer({
          minimum: 0,
          maximum: maxGraceSeconds,
          description: `How long the old key lives on; ${defaultGraceSeconds} when absent, 0 for not at all`,
        }),
      ),
    },
    strict,
  ),
)

export const ListQuery = t.Object({
  limit: t.Optional(t.Integer({ minimum: 1, maximum: maximumLimit })),
  cursor: t.Optional(t.String({ maxLength: 256 })),
  owner: t.Optional(
    t.String({ minLength: 1, maxLength: 128, description: 'For admins: keys of this owner' }),
  ),
})

/** The public form of a stored key: every member is named, so that a new column stays inside until it is let out. */
export const toApiKey = (key: KeyRecord): ApiKey => ({
  id: key.id,
  name: key.name,
  ownerId: key.ownerId,
  createdBy: key.createdBy,
  permissions: key.permissions,
  enabled: key.enabled,
  expiresAt: isoTimeOrNull(key.expiresAt),
  start: key.start,
  last4: key.last4,
  createdAt: isoTime(key.createdAt),
  updatedAt: isoTime(key.updatedAt),
  rotatedFrom: key.rotatedFrom,
  rotatedTo: key.rotatedTo,
})

/**
 * A time of expiry from a body, in milliseconds.
 *
 * @throws Failure `expiry_invalid` unless it lies in the future.
 */
export const toExpiry = (time: string | null, clock: Clock): number | null => {
  if (time === null) return null
  const milliseconds = Date.parse(time)
  if (!(milliseconds > clock())) {
    throw new Failure('expiry_invalid', { errors: [{ field: 'expiresAt', rule: 'must lie in the future' }] })
  }
  return milliseconds
}

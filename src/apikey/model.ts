import { Type } from '@sinclair/typebox'
import { t } from 'elysia'
import { type Clock, isoTime, isoTimeOrNull } from '../lib/clock.ts'
import { Failure } from '../lib/failure.ts'
import { permissionPattern } from '../lib/permission.ts'
import { printablePattern } from '../lib/text.ts'
import { CreditsInput } from './credit-model.ts'
import type { KeyRecord } from './key-record.ts'
import { KeyLimits } from './limits-model.ts'
import { Metadata } from './metadata.ts'

const KeyName = t.String({
  minLength: 1,
  maxLength: 100,
  pattern: printablePattern,
  description: 'For people',
})
export const permissionText = (description: string) => t.String({ pattern: permissionPattern, description })
const Permission = permissionText('resource:action, * for any')
const Permissions = t.Array(Permission, { maxItems: 100 })
const Time = t.String({ format: 'date-time', description: 'ISO 8601' })
/** RFC 3339 section 5.6. Elysia's `date-time` alone also takes other forms, some without a zone. */
const timePattern = '^\\d{4}-\\d{2}-\\d{2}[Tt]\\d{2}:\\d{2}:\\d{2}(\\.\\d{1,9})?([Zz]|[+-]\\d{2}:\\d{2})$'
const GivenTime = t.String({ format: 'date-time', pattern: timePattern, description: 'ISO 8601 with a zone' })

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
  revokedAt: t.Nullable(Time),
  lastUsedAt: t.Nullable(
    t.String({ format: 'date-time', description: 'Written in the background, within a minute or so' }),
  ),
  lastUsedAddress: t.Nullable(t.String({ description: 'The address that this use came from' })),
  metadata: t.Nullable(Metadata),
  allowedNetworks: t.Nullable(t.Array(t.String(), { description: 'CIDR; null for anywhere' })),
  limits: t.Nullable(KeyLimits),
  metered: t.Boolean({ description: 'Whether it spends credits' }),
})
export type ApiKey = typeof ApiKey.static

export const ApiKeyWithSecret = t.Composite([
  ApiKey,
  t.Object({ key: t.String({ description: 'The key itself. It is shown this once.' }) }),
])

export const ApiKeyList = t.Object({ items: t.Array(ApiKey), nextCursor: t.Nullable(t.String()) })

const strict = { additionalProperties: false } as const

export const ownerId = (description: string) => t.String({ minLength: 1, maxLength: 128, description })

const AllowedNetworks = t.Array(t.String({ minLength: 1, maxLength: 49 }), {
  minItems: 1,
  maxItems: 20,
  description: 'Addresses and networks (CIDR) that the key may be used from',
})

/** What both bodies take; of a key that exists, absent keeps, null clears, a value sets. */
const terms = {
  permissions: t.Optional(Permissions),
  expiresAt: t.Optional(t.Nullable(GivenTime)),
  metadata: t.Optional(t.Nullable(Metadata)),
  allowedNetworks: t.Optional(t.Nullable(AllowedNetworks)),
  limits: t.Optional(t.Nullable(KeyLimits)),
  credits: t.Optional(CreditsInput),
}

export const CreateKeyBody = t.Object(
  {
    name: KeyName,
    ...terms,
    ownerId: t.Optional(ownerId('A user (usr_…) or service account (cli_…): for admins; else the caller')),
  },
  strict,
)

export const ChangeKeyBody = t.Object(
  {
    name: t.Optional(KeyName),
    enabled: t.Optional(t.Boolean()),
    ...terms,
  },
  strict,
)

export const maxGraceSeconds = 30 * 86_400
export const defaultGraceSeconds = 86_400

export const RotateKeyBody = t.Optional(
  t.Object(
    {
      graceSeconds: t.Optional(
        Type.Integer({
          minimum: 0,
          maximum: maxGraceSeconds,
          description: `How long the old key lives on; ${defaultGraceSeconds} when absent, 0 for not at all`,
        }),
      ),
    },
    strict,
  ),
)

export const maxNamedKeys = 100

export const TransferKeysBody = t.Object(
  {
    from: ownerId('Whose keys: also one who is disabled'),
    to: ownerId('An active user or service account, who may do all that the keys may'),
    keyIds: t.Optional(
      t.Array(t.String({ minLength: 1, maxLength: 64 }), {
        minItems: 1,
        maxItems: maxNamedKeys,
        description: 'Only these; when absent all, 100 a call',
      }),
    ),
  },
  strict,
)

export const TransferredKeys = t.Object({
  items: t.Array(ApiKey, { description: 'What was moved, with what replaces a key or is replaced by it' }),
  remaining: Type.Integer({ description: 'Live keys that the old owner still has' }),
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
  revokedAt: isoTimeOrNull(key.revokedAt),
  lastUsedAt: isoTimeOrNull(key.lastUsedAt),
  lastUsedAddress: key.lastUsedAddress,
  metadata: key.metadata,
  allowedNetworks: key.allowedNetworks,
  limits: key.limits,
  metered: key.isMetered,
})

/** The last time that ISO 8601 writes with a year of four digits. */
const endOfTime = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

/** Whether a time names a day of the calendar: `Date.parse` takes February 30 for March 2. */
const isOnCalendar = (time: string): boolean => {
  const day = time.slice(0, 10)
  const midnight = Date.parse(`${day}T00:00:00Z`)
  return !Number.isNaN(midnight) && isoTime(midnight).startsWith(day)
}

/**
 * A time of expiry from a body, in milliseconds; undefined where none was said.
 *
 * @throws Failure `expiry_invalid` unless it lies in the future.
 */
export const toExpiry = (time: string | null | undefined, clock: Clock): number | null | undefined => {
  if (time === null || time === undefined) return time
  const milliseconds = Date.parse(time)
  if (!(milliseconds > clock() && milliseconds <= endOfTime && isOnCalendar(time))) {
    throw new Failure('expiry_invalid', { errors: [{ field: 'expiresAt', rule: 'must lie in the future' }] })
  }
  return milliseconds
}

/** A time in a query: see {@link toTime}. */
export const queryTime = (description: string) =>
  t.String({ format: 'date-time', pattern: timePattern, description })

/**
 * A time of a query, in milliseconds; undefined when it is absent.
 *
 * @throws Failure `invalid_request` for a day that no calendar has.
 */
export const toTime = (field: string, time: string | undefined): number | undefined => {
  if (time === undefined) return undefined
  const milliseconds = Date.parse(time)
  if (!Number.isNaN(milliseconds) && isOnCalendar(time)) return milliseconds
  throw new Failure('invalid_request', { errors: [{ field, rule: 'must be a day of the calendar' }] })
}

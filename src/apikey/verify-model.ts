import { Type } from '@sinclair/typebox'
import { t } from 'elysia'
import { Failure } from '../lib/failure.ts'
import { formatAddress, parseAddress } from '../lib/networks.ts'
import { permissionPattern } from '../lib/permission.ts'
import { mostCredits } from './credit-rows.ts'
import type { ApikeyCode } from './errors.ts'
import { Metadata } from './metadata.ts'

/** Held by services that may ask whether keys of others are good; `api-keys:*` in a role includes it. */
export const verifyKeys = 'api-keys:verify'

/** Permissions that one question may name. */
export const mostAsked = 20

/** The longest text of an address: IPv6 with an IPv4 part. */
const longestAddress = 45

export const VerifyKeyBody = t.Object(
  {
    // Of any length: what is too long is a bad key, and says so in the words of one.
    key: t.String({ description: 'The key as it was presented, whatever that is' }),
    permissions: t.Optional(
      t.Array(t.String({ pattern: permissionPattern, description: 'resource:action, * for any' }), {
        maxItems: mostAsked,
        description: 'All of them must be held',
      }),
    ),
    cost: t.Optional(
      Type.Integer({
        minimum: 0,
        maximum: mostCredits,
        description: 'Credits that this use takes of a metered key, 0 when absent',
      }),
    ),
    address: t.Optional(
      t.String({
        maxLength: longestAddress,
        description: 'The address of who presented the key, by which its allowed networks are judged',
      }),
    ),
  },
  { additionalProperties: false },
)
export type VerifyKeyBody = typeof VerifyKeyBody.static

const GoodKey = t.Object({
  valid: t.Literal(true),
  code: t.Null(),
  keyId: t.String(),
  ownerId: t.String({ description: 'On whose behalf the key acts' }),
  name: t.String(),
  permissions: t.Array(t.String(), { description: 'What it may do now: no more than its owner may' }),
  expiresAt: t.Nullable(t.String({ format: 'date-time', description: 'ISO 8601' })),
  metadata: t.Nullable(Metadata),
  creditsRemaining: t.Nullable(Type.Integer({ description: 'Null where nothing was taken' })),
})

/** Why a key is not good, in the codes of the status table and in their order. */
const BadKeyCode = t.Union([
  t.Literal('api_key_invalid'),
  t.Literal('api_key_revoked'),
  t.Literal('api_key_disabled'),
  t.Literal('api_key_owner_inactive'),
  t.Literal('api_key_expired'),
  t.Literal('api_key_network_not_allowed'),
  t.Literal('insufficient_permission'),
  t.Literal('rate_limited'),
  t.Literal('credits_exhausted'),
])
export type BadKeyCode = typeof BadKeyCode.static & ApikeyCode

const codes = BadKeyCode.anyOf.map(literal => literal.const)

/** The same code, where it is one of these: of the others none is about a key. */
export const toBadKeyCode = (code: string): BadKeyCode =>
  codes.find(known => known === code) ?? 'api_key_invalid'

const BadKey = t.Object({
  valid: t.Literal(false),
  code: BadKeyCode,
  keyId: t.Nullable(t.String({ description: 'Null unless the secret was right' })),
  retryAfterSeconds: t.Nullable(Type.Integer({ description: 'Where waiting helps' })),
})

export const VerifiedKey = t.Union([GoodKey, BadKey])
export type VerifiedKey = typeof VerifiedKey.static

/** In its one spelling. @throws Failure `invalid_request` for what is no address: to judge by it would be to judge by nothing. */
export const toAddress = (given: string | undefined): string | null => {
  if (given === undefined) return null
  const address = parseAddress(given)
  if (address !== null) return formatAddress(address)
  throw new Failure('invalid_request', {
    errors: [{ field: 'address', rule: 'must be an IPv4 or IPv6 address' }],
  })
}

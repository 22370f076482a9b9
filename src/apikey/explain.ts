import { type Clock, isoTime, isoTimeOrNull } from '../lib/clock.ts'
import { clockLeewaySeconds } from '../lib/jwt/verifier.ts'
import { type KeyCredits, toKeyCredits } from './credit-model.ts'
import { apikeyProblems } from './errors.ts'
import {
  bad,
  type Check,
  type Code,
  effectiveOf,
  good,
  idIn,
  inOrder,
  isService,
  judgeCredits,
  judgeFeed,
  judgeFormat,
  judgeLimits,
  judgeLookup,
  judgeNetwork,
  judgeOwner,
  judgePermission,
  judgeSecret,
  type Presented,
  unknown,
} from './explain-checks.ts'
import type { ExplainRows } from './explain-rows.ts'
import { isExpired, type KeyLimit, type KeyMetadata, type KeyRecord } from './key-record.ts'
import type { StaleMode } from './staleness.ts'

export type Explanation = {
  readonly keyId: string | null
  readonly accepted: boolean
  readonly status: number | null
  readonly code: Code | null
  readonly checks: readonly Check[]
  /** Where the key may be used from; null for anywhere. */
  readonly allowedNetworks: readonly string[] | null
  /** Null for those of the service, too. */
  readonly limits: readonly KeyLimit[] | null
  /** What the key and its successors may spend now; null for a key that is not metered. */
  readonly credits: KeyCredits | null
  readonly metadata: KeyMetadata | null
  readonly key: Readonly<Record<string, string | boolean | null>> | null
  readonly permissions: {
    readonly key: readonly string[]
    readonly ownerRoles: readonly string[] | null
    readonly ownerScopes: readonly string[] | null
    /** What the key may do now; null where the roles of its owner decide, which the service alone knows. */
    readonly effective: readonly string[] | null
  } | null
  readonly feed: {
    readonly followed: boolean
    readonly generation: string | null
    readonly heardAt: string | null
    readonly secondsSince: number | null
    readonly stale: boolean
  }
  readonly lineage: readonly {
    readonly id: string
    readonly createdAt: string
    readonly expiresAt: string | null
    readonly revokedAt: string | null
    readonly lastUsedAt: string | null
  }[]
}

export type ExplainOptions = {
  readonly rows: ExplainRows
  readonly clock: Clock
  /** Asks whether the key may do this. */
  readonly permission: string | null
  /** Asks whether the key may be used from there. */
  readonly address?: string | null
  /** Asks whether the key may pay so many credits. */
  readonly cost?: number | null
  readonly maxStalenessSeconds: number
  readonly staleMode: StaleMode
}

/** Checks for which there must be a key. */
const ofKey = [
  'secret',
  'revoked',
  'disabled',
  'owner',
  'expired',
  'network',
  'permission',
  'limits',
  'credits',
] as const

/** Says of a key what a service would do with it now, check by check, and since when. It never tells a secret. */
export const explainKey = async (
  presented: Presented,
  { rows, clock, permission, address = null, cost = null, maxStalenessSeconds, staleMode }: ExplainOptions,
): Promise<Explanation> => {
  const now = clock()
  const keyId = 'id' in presented ? presented.id : idIn(presented.text)
  const found = keyId === null ? null : rows.credential(keyId)
  const credits = found === null ? null : rows.credits(found.key, now)
  const feed = rows.feed()
  const owner = found === null || feed === null ? null : rows.owner(found.key.ownerId)
  const age = typeof feed?.heardAt === 'number' ? (now - feed.heardAt) / 1_000 : null
  // A time that is yet to come says that some clock was wrong.
  const isHeard = age !== null && age >= -clockLeewaySeconds && age <= maxStalenessSeconds
  const stale = feed !== null && !isHeard
  const secondsSince = age === null ? null : Math.max(0, Math.round(age))

  const first = [
    judgeFeed(feed, stale, staleMode),
    'text' in presented ? judgeFormat(presented.text) : unknown('format'),
  ]
  const lookup = keyId === null ? unknown('lookup') : judgeLookup(presented, found)
  const checks =
    found === null
      ? inOrder([...first, lookup, ...ofKey.map(name => unknown(name))])
      : inOrder([
          ...first,
          lookup,
          await judgeSecret(presented, found),
          found.key.revokedAt === null
            ? good('revoked')
            : bad('revoked', 'api_key_revoked', 'revoked', found.key.revokedAt),
          found.key.enabled
            ? good('disabled')
            : bad(
                'disabled',
                'api_key_disabled',
                'disabled',
                rows.disabledAt(found.key.id) ?? found.key.updatedAt,
              ),
          judgeOwner(feed, owner),
          isExpired(found.key, now)
            ? bad('expired', 'api_key_expired', 'expired', found.key.expiresAt)
            : good(
                'expired',
                found.key.expiresAt === null ? 'never' : `not before ${isoTime(found.key.expiresAt)}`,
              ),
          judgeNetwork(address, found.key),
          judgePermission(permission, found.key, owner),
          judgeLimits(found.key),
          judgeCredits(found.key, credits, cost),
        ])

  const failed = checks.find(({ outcome }) => outcome === 'failed')
  const code = failed?.code ?? null
  return {
    keyId,
    accepted: failed === undefined,
    status: code === null ? null : apikeyProblems[code].status,
    code,
    checks,
    allowedNetworks: found?.key.allowedNetworks ?? null,
    limits: found?.key.limits ?? null,
    credits: credits === null ? null : toKeyCredits(credits),
    metadata: found?.key.metadata ?? null,
    key: found === null ? null : describeKey(found.key),
    permissions:
      found === null
        ? null
        : {
            key: found.key.permissions,
            ownerRoles: owner === null || isService(found.key.ownerId) ? null : owner.roles,
            ownerScopes: owner === null || !isService(found.key.ownerId) ? null : owner.scopes,
            effective: effectiveOf(found.key, owner),
          },
    feed: {
      followed: feed !== null,
      generation: feed?.generation ?? null,
      heardAt: isoTimeOrNull(feed?.heardAt ?? null),
      secondsSince,
      stale,
    },
    lineage:
      found === null
        ? []
        : rows.lineage(found.key).map(({ id, createdAt, expiresAt, revokedAt, lastUsedAt }) => ({
            id,
            createdAt: isoTime(createdAt),
            expiresAt: isoTimeOrNull(expiresAt),
            revokedAt: isoTimeOrNull(revokedAt),
            lastUsedAt: isoTimeOrNull(lastUsedAt),
          })),
  }
}

const describeKey = (key: KeyRecord): Explanation['key'] => ({
  name: key.name,
  ownerId: key.ownerId,
  createdBy: key.createdBy,
  createdAt: isoTime(key.createdAt),
  enabled: key.enabled,
  expiresAt: isoTimeOrNull(key.expiresAt),
  revokedAt: isoTimeOrNull(key.revokedAt),
  lastUsedAt: isoTimeOrNull(key.lastUsedAt),
  rotatedFrom: key.rotatedFrom,
  rotatedTo: key.rotatedTo,
})

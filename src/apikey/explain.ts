import { type Clock, isoTime, isoTimeOrNull } from '../lib/clock.ts'
import { clockLeewaySeconds } from '../lib/jwt/verifier.ts'
import { allows, intersect, isPermission } from '../lib/permission.ts'
import { isAllowedFrom, networksOf } from './allowed-networks.ts'
import { apikeyProblems, type CredentialCode } from './errors.ts'
import type { ExplainRows, FeedState, FollowedOwner } from './explain-rows.ts'
import { isExpired, type KeyRecord } from './key-record.ts'
import type { StaleMode } from './staleness.ts'
import { keyPattern, parseKey, publicId } from './token.ts'

export type CheckName =
  | 'feed'
  | 'format'
  | 'lookup'
  | 'secret'
  | 'revoked'
  | 'disabled'
  | 'owner'
  | 'expired'
  | 'network'
  | 'permission'

export type Code = CredentialCode | 'unavailable'

/** One step in the order in which a service takes them. */
export type Check = {
  readonly check: CheckName
  /** Not reached: a check before it failed. Not checked: nothing was given to check. */
  readonly outcome: 'passed' | 'failed' | 'not reached' | 'not checked'
  /** Not reached, and would have failed as well. */
  readonly alsoFails: boolean
  readonly detail: string
  /** ISO 8601: since when it is so, where that is known. */
  readonly since: string | null
  /** What the service answers when this is the first check to fail. */
  readonly code: Code | null
}

export type Explanation = {
  readonly keyId: string | null
  readonly accepted: boolean
  readonly status: number | null
  readonly code: Code | null
  readonly checks: readonly Check[]
  /** Where the key may be used from; null for anywhere. */
  readonly allowedNetworks: readonly string[] | null
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
  readonly lineage: readonly Readonly<Record<string, string | null>>[]
}

/** The text of a key, or the name of one (`key_…`), whose secret is then not looked at. */
export type Presented = { readonly text: string } | { readonly id: string }

export type ExplainOptions = {
  readonly rows: ExplainRows
  readonly clock: Clock
  /** Asks whether the key may do this. */
  readonly permission: string | null
  /** Asks whether the key may be used from there. */
  readonly address?: string | null
  readonly maxStalenessSeconds: number
  readonly staleMode: StaleMode
}

type Judgement = {
  readonly check: CheckName
  readonly verdict: 'good' | 'bad' | 'unknown'
  readonly detail?: string
  readonly since?: number | null
  readonly code?: Code
}

const good = (check: CheckName, detail = ''): Judgement => ({ check, verdict: 'good', detail })
const bad = (check: CheckName, code: Code, detail: string, since: number | null = null): Judgement => ({
  check,
  verdict: 'bad',
  code,
  detail,
  since,
})
const unknown = (check: CheckName, detail = ''): Judgement => ({ check, verdict: 'unknown', detail })

const outcomes = { good: 'passed', bad: 'failed', unknown: 'not checked' } as const

/** Turns verdicts into checks: after the first bad one nothing is reached. */
const inOrder = (judgements: readonly Judgement[]): Check[] => {
  let isOver = false
  return judgements.map(({ check, verdict, detail = '', since = null, code = null }) => {
    const outcome = isOver ? 'not reached' : outcomes[verdict]
    const alsoFails = isOver && verdict === 'bad'
    if (outcome === 'failed') isOver = true
    return { check, outcome, alsoFails, detail, since: isoTimeOrNull(since), code }
  })
}

const judgeFormat = (text: string): Judgement => {
  if (parseKey(text) !== null) return good('format')
  return keyPattern.test(text)
    ? bad('format', 'api_key_invalid', 'the checksum does not fit: a character is wrong')
    : bad('format', 'api_key_invalid', 'no key: a prefix, _ and 65 letters and digits were expected')
}

/** The name of the key that a text means, also where its checksum does not fit. */
const idIn = (text: string): string | null => {
  const [, , random] = keyPattern.exec(text) ?? []
  return random === undefined ? null : publicId(random.slice(0, 16))
}

type Found = NonNullable<ReturnType<ExplainRows['credential']>>

const judgeSecret = async (presented: Presented, found: Found): Promise<Judgement> => {
  if ('id' in presented) return unknown('secret')
  const parts = parseKey(presented.text)
  if (parts === null) return unknown('secret')
  return (await Bun.password.verify(parts.secret, found.secretHash))
    ? good('secret')
    : bad('secret', 'api_key_invalid', 'not the secret of this key')
}

const judgeLookup = (presented: Presented, found: Found | null): Judgement => {
  if (found === null) return bad('lookup', 'api_key_invalid', 'there is no such key in this database')
  const [, prefix] = 'text' in presented ? (keyPattern.exec(presented.text) ?? []) : []
  return prefix === undefined || prefix === found.key.prefix
    ? good('lookup')
    : bad('lookup', 'api_key_invalid', `this key has another prefix: ${found.key.prefix}`)
}

/** Before a service looks at any key it must know enough of owners. */
const judgeFeed = (feed: FeedState | null, stale: boolean, staleMode: StaleMode): Judgement => {
  if (feed === null) return good('feed', 'not followed')
  if (feed.generation === null) return bad('feed', 'unavailable', 'no snapshot yet')
  if (!stale) return good('feed')
  return staleMode === 'deny'
    ? bad('feed', 'unavailable', 'login unheard', feed.heardAt)
    : good('feed', 'login unheard for long, which STALE_MODE=allow forgives')
}

const judgeOwner = (feed: FeedState | null, owner: FollowedOwner | null): Judgement => {
  if (feed === null) return good('owner', 'not followed')
  if (feed.generation === null) return unknown('owner')
  if (owner === null) {
    return bad('owner', 'api_key_owner_inactive', 'the change feed never told of this owner')
  }
  if (owner.status === 'active') return good('owner', 'active')
  const code = owner.status === 'deleted' ? 'api_key_revoked' : 'api_key_owner_inactive'
  return bad('owner', code, owner.status, owner.changedAt)
}

/** A service account has no permission with a `*`, whatever it was told to have. */
const isScope = (word: string): boolean => isPermission(word) && !word.includes('*')

const isService = (ownerId: string): boolean => ownerId.startsWith('cli_')

const effectiveOf = (key: KeyRecord, owner: FollowedOwner | null): readonly string[] | null => {
  if (owner === null || !isService(key.ownerId)) return null
  return intersect(key.permissions, owner.scopes.filter(isScope))
}

const judgePermission = (
  permission: string | null,
  key: KeyRecord,
  owner: FollowedOwner | null,
): Judgement => {
  if (permission === null) return unknown('permission')
  if (!allows(key.permissions, permission)) {
    return bad('permission', 'insufficient_permission', `the key has no ${permission}`)
  }
  const effective = effectiveOf(key, owner)
  if (effective !== null) {
    return allows(effective, permission)
      ? good('permission', permission)
      : bad('permission', 'insufficient_permission', `its owner has no ${permission}`)
  }
  return good(
    'permission',
    owner === null ? permission : `${permission}, if the roles of its owner allow it at the service`,
  )
}

const judgeNetwork = (address: string | null, key: KeyRecord): Judgement => {
  const networks = networksOf(key)
  if (networks === null) return good('network', 'from anywhere')
  if (address === null) return unknown('network', 'no address was given to judge')
  return isAllowedFrom(networks, address)
    ? good('network', address)
    : bad('network', 'api_key_network_not_allowed', `${address} is in none of them`)
}

/** Says of a key what a service would do with it now, check by check, and since when. It never tells a secret. */
export const explainKey = async (
  presented: Presented,
  { rows, clock, permission, address = null, maxStalenessSeconds, staleMode }: ExplainOptions,
): Promise<Explanation> => {
  const now = clock()
  const keyId = 'id' in presented ? presented.id : idIn(presented.text)
  const found = keyId === null ? null : rows.credential(keyId)
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
  const names = ['secret', 'revoked', 'disabled', 'owner', 'expired', 'network', 'permission'] as const
  const checks =
    found === null
      ? inOrder([...first, lookup, ...names.map(name => unknown(name))])
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

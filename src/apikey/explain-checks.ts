import { isoTime, isoTimeOrNull } from '../lib/clock.ts'
import { allows, intersect, isPermission } from '../lib/permission.ts'
import { isAllowedFrom, networksOf } from './allowed-networks.ts'
import type { CredentialCode } from './errors.ts'
import type { ExplainRows, FeedState, FollowedOwner } from './explain-rows.ts'
import type { KeyRecord } from './key-record.ts'
import type { StaleMode } from './staleness.ts'
import type { Credits } from './store-credits.ts'
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
  | 'limits'
  | 'credits'

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

/** The text of a key, or the name of one (`key_…`), whose secret is then not looked at. */
export type Presented = { readonly text: string } | { readonly id: string }

/** What is to be said of one check by itself. */
export type Judgement = {
  readonly check: CheckName
  readonly verdict: 'good' | 'bad' | 'unknown'
  readonly detail?: string
  readonly since?: number | null
  readonly code?: Code
}

export const good = (check: CheckName, detail = ''): Judgement => ({ check, verdict: 'good', detail })
export const bad = (
  check: CheckName,
  code: Code,
  detail: string,
  since: number | null = null,
): Judgement => ({
  check,
  verdict: 'bad',
  code,
  detail,
  since,
})
export const unknown = (check: CheckName, detail = ''): Judgement => ({ check, verdict: 'unknown', detail })

const outcomes = { good: 'passed', bad: 'failed', unknown: 'not checked' } as const

/** Turns verdicts into checks: after the first bad one nothing is reached. */
export const inOrder = (judgements: readonly Judgement[]): Check[] => {
  let isOver = false
  return judgements.map(({ check, verdict, detail = '', since = null, code = null }) => {
    const outcome = isOver ? 'not reached' : outcomes[verdict]
    const alsoFails = isOver && verdict === 'bad'
    if (outcome === 'failed') isOver = true
    return { check, outcome, alsoFails, detail, since: isoTimeOrNull(since), code }
  })
}

export const judgeFormat = (text: string): Judgement => {
  if (parseKey(text) !== null) return good('format')
  return keyPattern.test(text)
    ? bad('format', 'api_key_invalid', 'the checksum does not fit: a character is wrong')
    : bad('format', 'api_key_invalid', 'no key: a prefix, _ and 65 letters and digits were expected')
}

/** The name of the key that a text means, also where its checksum does not fit. */
export const idIn = (text: string): string | null => {
  const [, , random] = keyPattern.exec(text) ?? []
  return random === undefined ? null : publicId(random.slice(0, 16))
}

type Found = NonNullable<ReturnType<ExplainRows['credential']>>

export const judgeSecret = async (presented: Presented, found: Found): Promise<Judgement> => {
  if ('id' in presented) return unknown('secret')
  const parts = parseKey(presented.text)
  if (parts === null) return unknown('secret')
  return (await Bun.password.verify(parts.secret, found.secretHash))
    ? good('secret')
    : bad('secret', 'api_key_invalid', 'not the secret of this key')
}

export const judgeLookup = (presented: Presented, found: Found | null): Judgement => {
  if (found === null) return bad('lookup', 'api_key_invalid', 'there is no such key in this database')
  const [, prefix] = 'text' in presented ? (keyPattern.exec(presented.text) ?? []) : []
  return prefix === undefined || prefix === found.key.prefix
    ? good('lookup')
    : bad('lookup', 'api_key_invalid', `this key has another prefix: ${found.key.prefix}`)
}

/** Before a service looks at any key it must know enough of owners. */
export const judgeFeed = (feed: FeedState | null, stale: boolean, staleMode: StaleMode): Judgement => {
  if (feed === null) return good('feed', 'not followed')
  if (feed.generation === null) return bad('feed', 'unavailable', 'no snapshot yet')
  if (!stale) return good('feed')
  return staleMode === 'deny'
    ? bad('feed', 'unavailable', 'login unheard', feed.heardAt)
    : good('feed', 'login unheard for long, which STALE_MODE=allow forgives')
}

export const judgeOwner = (feed: FeedState | null, owner: FollowedOwner | null): Judgement => {
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

export const isService = (ownerId: string): boolean => ownerId.startsWith('cli_')

export const effectiveOf = (key: KeyRecord, owner: FollowedOwner | null): readonly string[] | null => {
  if (owner === null || !isService(key.ownerId)) return null
  return intersect(key.permissions, owner.scopes.filter(isScope))
}

export const judgePermission = (
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

export const judgeNetwork = (address: string | null, key: KeyRecord): Judgement => {
  const networks = networksOf(key)
  if (networks === null) return good('network', 'from anywhere')
  if (address === null) return unknown('network', 'no address was given to judge')
  return isAllowedFrom(networks, address)
    ? good('network', address)
    : bad('network', 'api_key_network_not_allowed', `${address} is in none of them`)
}

/** What has been counted is in the memory of the service: nothing here is judged by it. */
export const judgeLimits = ({ limits }: Pick<KeyRecord, 'limits'>): Judgement =>
  limits?.length === 0
    ? good('limits', 'none')
    : unknown('limits', 'counted in the memory of the service: not judged here')

/** By the balance as it is in the database, where the service takes from it too. */
export const judgeCredits = (
  { isMetered }: Pick<KeyRecord, 'isMetered'>,
  credits: Credits | null,
  cost: number | null,
): Judgement => {
  if (!isMetered) return good('credits', 'unmetered')
  const remaining = credits?.remaining ?? 0
  if (cost === null) return unknown('credits', `${remaining} left; no cost was given to judge`)
  if (remaining >= cost) return good('credits', `${cost} of ${remaining}`)
  const next = credits?.nextRefillAt ?? null
  const refill = next === null ? '' : `, the next refill is at ${isoTime(next)}`
  return bad('credits', 'credits_exhausted', `needs ${cost}, and there are ${remaining}${refill}`)
}

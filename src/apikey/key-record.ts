import type { CreditGrant } from './store-credits.ts'

/** JSON of the owner's own: an object, whose values may be any. */
export type KeyMetadata = { readonly [name: string]: unknown }

/** At most `limit` requests in any `windowSeconds`. Those of a key and its successors count together. */
export type KeyLimit = { readonly name: string; readonly limit: number; readonly windowSeconds: number }

/** A stored key without its hash. Times are milliseconds since the epoch. */
export type KeyRecord = {
  readonly id: string
  readonly prefix: string
  readonly start: string
  readonly last4: string
  readonly name: string
  readonly ownerId: string
  readonly createdBy: string
  readonly permissions: string[]
  readonly enabled: boolean
  readonly expiresAt: number | null
  readonly createdAt: number
  readonly updatedAt: number
  readonly revokedAt: number | null
  readonly rotatedFrom: string | null
  readonly rotatedTo: string | null
  readonly rotatedAt: number | null
  /** The first key of the line: its own id, unless it is the successor of another. */
  readonly lineageId: string
  readonly metadata: KeyMetadata | null
  /** CIDR; null for anywhere. */
  readonly allowedNetworks: string[] | null
  /** Null for the limits of the service. */
  readonly limits: KeyLimit[] | null
  /** Whether it spends credits. */
  readonly isMetered: boolean
  /** Written in the background, some time after the use. */
  readonly lastUsedAt: number | null
  /** Where that use came from: the address of the client. */
  readonly lastUsedAddress: string | null
}

/** What makes a key: its names and the hash of its secret. */
export type KeyMaterial = Pick<KeyRecord, 'id' | 'prefix' | 'start' | 'last4'> & {
  readonly secretHash: string
}

/** What is decided of a key, beside its name. */
export type KeyTerms = Pick<KeyRecord, 'metadata' | 'allowedNetworks' | 'limits'> & {
  /** What it may spend, together with those that it succeeds; null for a key that spends no credits. */
  readonly credits: CreditGrant | null
}

export type NewKey = KeyMaterial &
  Pick<KeyRecord, 'name' | 'ownerId' | 'createdBy' | 'permissions' | 'expiresAt'> &
  Partial<KeyTerms>

/** What is absent stays as it is. */
export type KeyChanges = Partial<Pick<KeyRecord, 'name' | 'permissions' | 'enabled' | 'expiresAt'> & KeyTerms>

/** From the very millisecond of its expiry on a key is dead. */
export const isExpired = ({ expiresAt }: KeyRecord, now: number): boolean =>
  expiresAt !== null && expiresAt <= now

export type KeyState = 'active' | 'disabled' | 'expired' | 'revoked'

/** The first thing by which the service would refuse it, its owner aside. */
export const stateOf = (key: KeyRecord, now: number): KeyState => {
  if (key.revokedAt !== null) return 'revoked'
  if (!key.enabled) return 'disabled'
  return isExpired(key, now) ? 'expired' : 'active'
}

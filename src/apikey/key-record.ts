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
  /** Written in the background, some time after the use. */
  readonly lastUsedAt: number | null
  /** Where that use came from: the address of the peer. */
  readonly lastUsedAddress: string | null
}

/** What makes a key: its names and the hash of its secret. */
export type KeyMaterial = Pick<KeyRecord, 'id' | 'prefix' | 'start' | 'last4'> & {
  readonly secretHash: string
}

export type NewKey = KeyMaterial &
  Pick<KeyRecord, 'name' | 'ownerId' | 'createdBy' | 'permissions' | 'expiresAt'>

export type KeyChanges = {
  readonly name?: string
  readonly permissions?: string[]
  readonly enabled?: boolean
  readonly expiresAt?: number | null
}

/** From the very millisecond of its expiry on a key is dead. */
export const isExpired = ({ expiresAt }: KeyRecord, now: number): boolean =>
  expiresAt !== null && expiresAt <= now

import type { Limiter, Windows } from '../lib/limiter.ts'
import type { KeyLimit, KeyRecord } from './key-record.ts'

/** What each use of a key has to keep to, remembered with its credential. */
export type KeyUse = {
  readonly keyId: string
  readonly lineageId: string
  readonly ownerId: string
  readonly name: string
  /** Null where no limit applies. */
  readonly windows: Windows | null
  /** Whether every answer tells of the limits: of those that the key has of its own. */
  readonly tellsLimits: boolean
  readonly isMetered: boolean
  /** What answers say of a key that has been replaced; null for any other. */
  readonly replaced: ReplacedFields | null
}

export type ReplacedFields = {
  /** Since when, as of RFC 9745. */
  readonly deprecation: string
  /** When it ends, as of RFC 8594. */
  readonly sunset: string
}

const replacedFields = ({ rotatedAt, expiresAt }: KeyRecord): ReplacedFields | null =>
  rotatedAt === null || expiresAt === null
    ? null
    : {
        deprecation: `@${Math.floor(rotatedAt / 1_000)}`,
        sunset: new Date(expiresAt).toUTCString(),
      }

/** How keys are used, with these limits where they have none of their own. */
export const createKeyUses =
  (limiter: Limiter, defaultLimits: readonly KeyLimit[]): ((key: KeyRecord) => KeyUse) =>
  key => {
    const limits = key.limits ?? defaultLimits
    return {
      keyId: key.id,
      lineageId: key.lineageId,
      ownerId: key.ownerId,
      name: key.name,
      windows: limits.length === 0 ? null : limiter.windowsOf(key.lineageId, limits, key.id),
      tellsLimits: key.limits !== null && limits.length > 0,
      isMetered: key.isMetered,
      replaced: replacedFields(key),
    }
  }

import { Failure } from '../lib/failure.ts'
import { intersect } from '../lib/permission.ts'
import type { KeyCode } from './errors.ts'
import type { KeyLimit } from './key-record.ts'
import { isWithinCeiling } from './limits-model.ts'

export type KeyLife = {
  /** Life of a key that is made without an expiry, seconds. */
  readonly defaultSeconds?: number
  /** The longest life that a key may be given, seconds from when its text was made. */
  readonly maxSeconds?: number
}

/** What people may give their keys at most. Who manages the keys of others is above it. */
export type CeilingOptions<Permission extends string = string> = {
  readonly life?: KeyLife
  /**
   * Limits that a key's own must stay within: by default those that a key has without any of its own, which people could
   * else take off by giving it others. `[]` for none.
   */
  readonly limits?: readonly KeyLimit[]
  /** Permissions that people may put on keys, of those that they have; all of them by default. */
  readonly grantable?: readonly Permission[]
}

export type Ceilings = {
  /** What may be put on a key of somebody who may do this. */
  grantable(permissions: readonly string[]): readonly string[]
  /**
   * The expiry of a key: as asked for, or the default where nothing was said. Milliseconds.
   *
   * @throws Failure `expiry_invalid` beyond the longest life
   */
  expiry(asked: number | null | undefined, createdAt: number): number | null
  /** @throws Failure `invalid_request` for limits that are looser */
  checkLimits(limits: readonly KeyLimit[] | null | undefined): void
}

const spell = ({ limit, windowSeconds }: KeyLimit): string => `${limit} in ${windowSeconds} s`

/** For those who manage keys: nothing is refused, and a life that is not named is the service's. */
const withoutCeilings = ({ life = {} }: CeilingOptions): Ceilings => ({
  grantable: permissions => permissions,
  expiry: (asked, createdAt) =>
    asked === undefined && life.defaultSeconds !== undefined
      ? createdAt + life.defaultSeconds * 1_000
      : (asked ?? null),
  checkLimits: () => {},
})

const withCeilings = ({ life = {}, limits: ceiling = [], grantable }: CeilingOptions): Ceilings => ({
  grantable: permissions => (grantable === undefined ? permissions : intersect(permissions, grantable)),

  expiry: (asked, createdAt) => {
    const { maxSeconds, defaultSeconds = maxSeconds } = life
    if (asked === undefined) return defaultSeconds === undefined ? null : createdAt + defaultSeconds * 1_000
    if (maxSeconds === undefined) return asked
    if (asked !== null && asked <= createdAt + maxSeconds * 1_000) return asked
    const rule = `must be within ${maxSeconds} seconds from when the key was made`
    throw new Failure<KeyCode>('expiry_invalid', { errors: [{ field: 'expiresAt', rule }] })
  },

  checkLimits: limits => {
    // Without limits of its own a key has those of the service.
    if (limits === null || limits === undefined || isWithinCeiling(limits, ceiling)) return
    const rule = `must hold to ${ceiling.map(spell).join(' and ')}`
    throw new Failure('invalid_request', { errors: [{ field: 'limits', rule }] })
  },
})

/** What keys may be given, by whether the caller manages the keys of others. */
export const createCeilings = (options: CeilingOptions): ((isManager: boolean) => Ceilings) => {
  const ofManagers = withoutCeilings(options)
  const ofOthers = withCeilings(options)
  return isManager => (isManager ? ofManagers : ofOthers)
}

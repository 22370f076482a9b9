import { addressGroupOf } from '../lib/address-group.ts'
import type { Clock } from '../lib/clock.ts'
import { Refusal } from '../lib/problem-answer.ts'
import { createThrottle, type Throttle } from '../lib/throttle.ts'
import type { CredentialCode } from './errors.ts'

/** Refusals of whoever did not show that a credential was ever theirs. */
const guesses = {
  credential_missing: true,
  credential_unsupported: true,
  credential_ambiguous: true,
  token_invalid: true,
  // Whoever has an expired token had it by right, and must hear that it is time for another.
  token_expired: false,
  api_key_invalid: true,
} as const satisfies Partial<Record<CredentialCode, boolean>>

export type FailureReason = keyof typeof guesses

export const isFailureReason = (code: CredentialCode): code is FailureReason => Object.hasOwn(guesses, code)

/** Failing requests that are answered with their reason, in any minute; null for as many as there are. */
export type FailureLimits = {
  /** Of one address, or one network of 64 bits in IPv6; 300 by default. */
  readonly perAddress?: number | null
  /** With one key id, whether or not there is such a key; 60 by default. */
  readonly perKey?: number | null
}

export const defaultFailureLimits = { perAddress: 300, perKey: 60 } as const

/** @throws Error for limits that can't be counted, with the reason. */
export const checkFailureLimits = (limits: FailureLimits): void => {
  for (const name of ['perAddress', 'perKey'] as const) {
    const limit = limits[name] ?? 1
    if (!(Number.isInteger(limit) && limit >= 1 && limit <= 60_000)) {
      throw new Error(`failures.${name} must be null or a whole number from 1 to 60,000.`)
    }
  }
}

/** A request that was refused for its credential. */
export type FailedRequest = {
  readonly reason: FailureReason
  /** The id in the key that was presented, whether or not there is such a key; null where there was none to read. */
  readonly keyId: string | null
  readonly address: string | null
  /** Which limit it was over; null for one that was answered with its reason. */
  readonly throttledBy: 'address' | 'key' | null
}

export type FailuresOptions = {
  readonly limits?: FailureLimits
  readonly clock: Clock
  /** Told of each: on the path of every refusal, so it must neither wait nor throw. */
  readonly onFailure?: (failed: FailedRequest) => void
}

export type Failures = {
  /** The refusal for a request that is over a limit; null for one that is to be told its reason, which counts it. */
  throttle(
    reason: FailureReason,
    keyId: string | null,
    address: string | null,
  ): Refusal<'rate_limited'> | null
  /** Since the start, those included that were over a limit. */
  readonly failed: Readonly<Record<FailureReason, number>>
  /** Since the start, by the limit that they were over. */
  readonly throttled: Readonly<Record<'address' | 'key', number>>
}

const windowSeconds = 60

type Limit = {
  readonly wait: Throttle['wait']
  readonly count: Throttle['count']
  readonly refusal: (milliseconds: number) => Refusal<'rate_limited'>
}

const noLimit: Limit = {
  wait: () => 0,
  count: () => {},
  refusal: () => new Refusal('rate_limited', {}),
}

/** A policy as of draft-ietf-httpapi-ratelimit-headers, by this name in the headers. */
const createLimit = (policy: string, limit: number | null): Limit => {
  if (limit === null) return noLimit
  const { wait, count } = createThrottle({ limit, windowMilliseconds: windowSeconds * 1_000 })
  /** One for each number of seconds, of which there are few: refusals are asked for in floods. */
  const made = new Map<number, Refusal<'rate_limited'>>()
  return {
    wait,
    count,
    refusal: milliseconds => {
      const seconds = Math.max(1, Math.ceil(milliseconds / 1_000))
      const known = made.get(seconds)
      if (known !== undefined) return known
      const headers = {
        'ratelimit-policy': `"${policy}";q=${limit};w=${windowSeconds}`,
        ratelimit: `"${policy}";r=0;t=${seconds}`,
      }
      const refusal = new Refusal('rate_limited', headers, { retryAfterSeconds: seconds })
      made.set(seconds, refusal)
      return refusal
    },
  }
}

/**
 * Counts requests that fail by their credential, by address and by the id of the key that they bring, and has those over
 * a limit told so instead of why they fail. It is asked after the credential was judged, so that a right one is never
 * turned away, whoever else fails from the same address or with the same id. To a caller an id that exists
 * is like any other: it is counted as it was presented.
 */
export const createFailures = ({ limits = {}, clock, onFailure = () => {} }: FailuresOptions): Failures => {
  const { perAddress, perKey } = { ...defaultFailureLimits, ...limits }
  const byAddress = createLimit('failures', perAddress)
  const byKey = createLimit('key-failures', perKey)
  const failed = {
    credential_missing: 0,
    credential_unsupported: 0,
    credential_ambiguous: 0,
    token_invalid: 0,
    token_expired: 0,
    api_key_invalid: 0,
  }
  const throttled = { address: 0, key: 0 }

  return {
    throttle: (reason, keyId, address) => {
      failed[reason] += 1
      if (!guesses[reason]) {
        onFailure({ reason, keyId, address, throttledBy: null })
        return null
      }
      const now = clock()
      const group = addressGroupOf(address)
      const ofAddress = byAddress.wait(group, now)
      const ofKey = keyId === null ? 0 : byKey.wait(keyId, now)
      if (ofAddress === 0 && ofKey === 0) {
        byAddress.count(group, now)
        if (keyId !== null) byKey.count(keyId, now)
        onFailure({ reason, keyId, address, throttledBy: null })
        return null
      }
      const throttledBy = ofAddress >= ofKey ? 'address' : 'key'
      throttled[throttledBy] += 1
      onFailure({ reason, keyId, address, throttledBy })
      return throttledBy === 'address' ? byAddress.refusal(ofAddress) : byKey.refusal(ofKey)
    },
    failed,
    throttled,
  }
}

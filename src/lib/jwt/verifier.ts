import { Value } from '@sinclair/typebox/value'
import { errors, type JWTHeaderParameters, jwtVerify } from 'jose'
import type { Clock } from '../clock.ts'
import { AccessTokenClaims, accessTokenType, longestTokenSeconds } from './claims.ts'

/** A key to verify with, and the one algorithm that it is for (RFC 8725 section 3.1). */
export type VerificationKey = {
  readonly algorithm: 'HS256' | 'ES256'
  readonly key: CryptoKey | Uint8Array
}

/** Where keys come from. */
export type KeySource = {
  /**
   * The key that a token names, null where there is none.
   *
   * @throws Failure `unavailable` when that can't be told.
   */
  find(kid: string | undefined): Promise<VerificationKey | null>
}

export type VerifierOptions = {
  readonly keys: KeySource
  /** Compared exactly with `iss`. */
  readonly issuer: string
  /** Must be among `aud`. */
  readonly audience: string
  readonly clock: Clock
}

export type Verification =
  | {
      readonly ok: true
      readonly claims: AccessTokenClaims
      /** `kid` of the key that signed it; null for the one shared secret. */
      readonly keyId: string | null
      /** From this millisecond of the epoch on it has expired. */
      readonly until: number
    }
  | { readonly ok: false; readonly code: 'token_invalid' | 'token_expired' }

export type TokenVerifier = { verify(token: string): Promise<Verification> }

/** What clocks of two machines may differ by, seconds. */
export const clockLeewaySeconds = 5

/**
 * How far a clock may be behind the issuer's before good tokens are refused for being from the future, seconds. It
 * takes nothing from anybody to be patient here: the life of a token is bounded by itself.
 */
const clockLagSeconds = 300

/** After this time no token can end that is good now, seconds since the epoch, for a clock in milliseconds. */
export const latestExpiry = (now: number): number =>
  Math.floor(now / 1_000) + longestTokenSeconds + clockLagSeconds

/**
 * Whether a token lives no longer than any may. One with a shared secret could be signed for centuries, and what was
 * ended of it would be forgotten before.
 */
const isShortLived = ({ iat, exp }: AccessTokenClaims, now: number): boolean =>
  exp - iat <= longestTokenSeconds + clockLeewaySeconds &&
  exp <= latestExpiry(now) &&
  iat <= Math.floor(now / 1_000) + clockLagSeconds

/** A shared secret as key source: HS256, for tokens that name no key. */
export const createSecretSource = (secret: string): KeySource => {
  const key: VerificationKey = { algorithm: 'HS256', key: new TextEncoder().encode(secret) }
  return { find: async kid => (kid === undefined ? key : null) }
}

/**
 * Whether there are three parts (RFC 7515 section 3.1), each the one base64url text of its bytes (section 2): jose takes
 * several spellings. Counted first, since a part costs the same however short it is, and there could be thousands.
 */
const isCanonical = (token: string): boolean => {
  const parts = token.split('.', 4)
  return (
    parts.length === 3 && parts.every(part => Buffer.from(part, 'base64url').toString('base64url') === part)
  )
}

const invalid: Verification = { ok: false, code: 'token_invalid' }
const expired: Verification = { ok: false, code: 'token_expired' }

/**
 * Checks access tokens as RFC 9068 section 4 and RFC 8725 ask: type, one algorithm for each key, signature,
 * issuer, audience, times and the presence and form of every claim, and that it lives for an hour at most. No check
 * is optional.
 *
 * Nothing in a token is fetched from: `jku`, `jwk`, `x5u` and `x5c` are not looked at, `crit` refuses.
 */
export const createVerifier = ({ keys, issuer, audience, clock }: VerifierOptions): TokenVerifier => {
  const findKey = async (header: JWTHeaderParameters): Promise<CryptoKey | Uint8Array> => {
    // jose understands `b64`, which no access token of ours needs.
    if ('crit' in header) throw new errors.JWSInvalid('crit')
    // The type says string; what a stranger sent need not be one.
    const kid: unknown = header.kid
    if (kid !== undefined && typeof kid !== 'string') throw new errors.JWSInvalid('kid')
    const found = await keys.find(kid)
    if (found === null || found.algorithm !== header.alg) throw new errors.JWSInvalid('key')
    return found.key
  }

  return {
    verify: async token => {
      // 8 KiB is more than any access token has; jose's own limit is the header block's.
      if (token.length > 8_192 || !isCanonical(token)) return invalid
      const now = clock()
      try {
        const { payload, protectedHeader } = await jwtVerify(token, findKey, {
          algorithms: ['HS256', 'ES256'],
          typ: accessTokenType,
          issuer,
          audience,
          clockTolerance: clockLeewaySeconds,
          currentDate: new Date(now),
          requiredClaims: ['exp'],
        })
        if (!Value.Check(AccessTokenClaims, payload)) return invalid
        if (!isShortLived(payload, now)) return invalid
        const until = (payload.exp + clockLeewaySeconds) * 1_000
        return { ok: true, claims: payload, keyId: protectedHeader.kid ?? null, until }
      } catch (error) {
        if (error instanceof errors.JWTExpired) return expired
        // A source that could not answer, or a fault of ours: neither says anything about the token.
        if (!(error instanceof errors.JOSEError) && !(error instanceof TypeError)) throw error
        return invalid
      }
    },
  }
}

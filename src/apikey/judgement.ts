import type { Clock } from '../lib/clock.ts'
import type { AccessTokenClaims } from '../lib/jwt/claims.ts'
import type { TokenVerifier, Verification } from '../lib/jwt/verifier.ts'
import type { Networks } from '../lib/networks.ts'
import type { Validity } from '../lib/verified-cache.ts'
import { networksOf } from './allowed-networks.ts'
import type { CredentialCode } from './errors.ts'
import { isExpired, type KeyRecord } from './key-record.ts'
import type { KeyUse } from './key-use.ts'
import type { Principal, Principals } from './principal.ts'
import { verifySecret } from './secret-hash.ts'
import type { KeyStore } from './store.ts'
import { revokedKeyId, type Subjects } from './subjects.ts'
import { type KeyParts, publicId } from './token.ts'

export type Authentication =
  | {
      readonly ok: true
      readonly principal: Principal
      /**
       * What the caller must come from, which each request has to show: it is remembered of a credential and not who
       * brought it. Absent for anywhere.
       */
      readonly networks?: Networks
      /** What a use has to keep to, where the caller brought a key. */
      readonly use?: KeyUse
    }
  | {
      readonly ok: false
      readonly code: CredentialCode
      /** The key that was refused, for whoever proved to hold its secret. */
      readonly keyId?: string
      /** The id in a key that is not right, as it was presented: there may be no such key. */
      readonly presentedId?: string
    }

export const refuse = (code: CredentialCode): Authentication => ({ ok: false, code })

/** What was found of a credential, and how long that may be remembered: null for not at all. */
export type Judgement = { readonly authentication: Authentication; readonly validity: Validity | null }

/** In the same words whether there is a key of this id or not. */
const unknownKey = (presentedId: string): Judgement => ({
  authentication: { ok: false, code: 'api_key_invalid', presentedId },
  validity: null,
})

/**
 * However much of a token is remembered, after this time it is verified anew, milliseconds: nobody announces that an
 * issuer no longer publishes a key.
 */
const rememberTokens = 60_000

/** The same for keys, in case that one is ever changed past everything that tells of it, such as a table made anew by hand. */
const rememberKeys = 600_000

export type JudgesOptions = {
  readonly store: Pick<KeyStore, 'findCredential'>
  readonly verifier: TokenVerifier
  readonly principals: Principals
  readonly clock: Clock
  /** Null where no feed is followed: credentials live to their expiry, and nobody asks how their owners are. */
  readonly subjects: Subjects | null
  /** Absent, uses of keys are not counted. */
  readonly useOf?: ((key: KeyRecord) => KeyUse) | undefined
}

/** The full look at a credential: whatever it takes, from the database and by cryptography. */
export const createJudges = ({ store, verifier, principals, clock, subjects, useOf }: JudgesOptions) => {
  /** Why a key is refused whose secret is right, if it is: the caller may learn what is the matter with it. */
  const refusalOf = (key: KeyRecord, now: number): CredentialCode | null => {
    if (key.revokedAt !== null) return 'api_key_revoked'
    if (!key.enabled) return 'api_key_disabled'
    if (subjects !== null) {
      const status = subjects.find(key.ownerId)?.status
      // Keys of who is gone are revoked; here the feed was faster than the database.
      if (status === 'deleted') return 'api_key_revoked'
      if (status !== 'active') return 'api_key_owner_inactive'
    }
    return isExpired(key, now) ? 'api_key_expired' : null
  }

  const accept = (key: KeyRecord): Authentication => {
    const principal = principals.ofKey(key, subjects?.find(key.ownerId) ?? null)
    const networks = networksOf(key)
    const use = useOf?.(key)
    return {
      ok: true,
      principal,
      ...(networks === null ? {} : { networks }),
      ...(use === undefined ? {} : { use }),
    }
  }

  const judgeFound = (key: KeyRecord): Judgement => {
    const now = clock()
    const code = refusalOf(key, now)
    const authentication: Authentication = code === null ? accept(key) : { ok: false, code, keyId: key.id }
    // A refusal holds until something changes: what is dead comes back to life by no passing of time.
    const expiry = code === null ? (key.expiresAt ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY
    const until = Math.min(expiry, now + rememberKeys)
    return { authentication, validity: { ids: [key.id, key.ownerId], from: now, until } }
  }

  const judgeKey = async (parts: KeyParts): Promise<Judgement> => {
    const id = publicId(parts.id)
    const found = await store.findCredential(id)
    // At once, without a hash for show: ids are 95 random bits, so nobody learns by the time it takes which there are.
    if (found === null) return unknownKey(id)
    const checked = verifySecret(parts.secret, found.secretHash)
    const isSecret = typeof checked === 'boolean' ? checked : await checked
    if (!isSecret || found.key.prefix !== parts.prefix) return unknownKey(id)
    return judgeFound(found.key)
  }

  /** A subject that nobody told of is as good as its token: it may have been made a moment ago. */
  const judgeClaims = (claims: AccessTokenClaims): Authentication => {
    const { sub, sid, jti } = claims
    const state = subjects?.find(sub) ?? null
    // RFC 9068 section 2.2: where no user is involved, `sub` is the client.
    const isService = sub === claims.client_id
    const isOver =
      subjects !== null &&
      ((state !== null && state.status !== 'active') ||
        (sid !== undefined && subjects.isEnded(sid)) ||
        subjects.isEnded(jti) ||
        (isService && claims.iat < (state?.tokensSince ?? 0)))
    if (isOver) return refuse('token_invalid')
    const principal = isService ? principals.ofService(claims, state) : principals.ofUser(claims, state)
    return { ok: true, principal }
  }

  const validityOf = ({
    claims: { sub, sid, jti },
    keyId,
    until,
  }: Extract<Verification, { ok: true }>): Validity => {
    const now = clock()
    const ids = [sub, jti]
    if (sid !== undefined) ids.push(sid)
    if (keyId !== null) ids.push(revokedKeyId(keyId))
    return { ids, from: now, until: Math.min(until, now + rememberTokens) }
  }

  const judgeToken = async (token: string): Promise<Judgement> => {
    const verification = await verifier.verify(token)
    if (!verification.ok) return { authentication: refuse(verification.code), validity: null }
    const authentication = judgeClaims(verification.claims)
    return { authentication, validity: authentication.ok ? validityOf(verification) : null }
  }

  return { judgeKey, judgeToken }
}

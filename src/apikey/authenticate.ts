import type { Clock } from '../lib/clock.ts'
import { readCredential } from '../lib/credential.ts'
import type { AccessTokenClaims } from '../lib/jwt/claims.ts'
import type { TokenVerifier } from '../lib/jwt/verifier.ts'
import { permissionsOf, type RolePermissions } from '../lib/permission.ts'
import type { CredentialCode } from './errors.ts'
import { lowestCost, type SecretHashCost } from './keys.ts'
import { isExpired, type KeyRecord, type KeyStore } from './store.ts'
import { generateKey, looksLikeKey, parseKey, publicId } from './token.ts'

/** Whoever is behind a credential that was found good. */
export type Principal = {
  readonly kind: 'user' | 'service' | 'key'
  /** On whose behalf: a user or a service account. Data belongs to this id. */
  readonly ownerId: string
  /** What the caller may do now; `*` stands for any segment. */
  readonly permissions: readonly string[]
  readonly roles: readonly string[]
  readonly userId?: string
  readonly clientId?: string
  readonly keyId?: string
  readonly sessionId?: string
}

export type Authentication =
  | { readonly ok: true; readonly principal: Principal }
  | { readonly ok: false; readonly code: CredentialCode }

export type AuthenticateOptions = {
  readonly store: Pick<KeyStore, 'findCredential'>
  readonly verifier: TokenVerifier
  readonly roles: RolePermissions
  readonly prefix: string
  readonly clock: Clock
  readonly cost?: SecretHashCost
}

/** Judges the credential in a request's headers. @throws Failure `unavailable` when it can't be judged. */
export type Authenticate = (
  headers: Headers,
  options: { readonly jwtOnly: boolean },
) => Promise<Authentication>

const refuse = (code: CredentialCode): Authentication => ({ ok: false, code })

const ofToken = (claims: AccessTokenClaims, roles: RolePermissions): Principal => {
  const names = claims.roles ?? []
  // RFC 9068 section 2.2: where no user is involved, `sub` is the client.
  const isService = claims.sub === claims.client_id
  return {
    kind: isService ? 'service' : 'user',
    ownerId: claims.sub,
    ...(isService ? {} : { userId: claims.sub }),
    clientId: claims.client_id,
    ...(claims.sid === undefined ? {} : { sessionId: claims.sid }),
    permissions: permissionsOf(roles, names),
    roles: names,
  }
}

const ofKey = (key: KeyRecord): Principal => ({
  kind: 'key',
  ownerId: key.ownerId,
  keyId: key.id,
  permissions: key.permissions,
  roles: [],
})

export const createAuthenticate = ({
  store,
  verifier,
  roles,
  prefix,
  clock,
  cost = lowestCost,
}: AuthenticateOptions): Authenticate => {
  // Verified where no key was found, so that its id can't be told from one that exists by the time it takes.
  let decoy: Promise<string> | null = null
  const decoyHash = (): Promise<string> => {
    decoy ??= Bun.password.hash(generateKey(prefix).secret, { algorithm: 'argon2id', ...cost })
    return decoy
  }

  const judgeKey = async (text: string): Promise<Authentication> => {
    const parts = parseKey(text)
    if (parts === null) return refuse('api_key_invalid')
    const found = await store.findCredential(publicId(parts.id))
    const isSecret = await Bun.password.verify(parts.secret, found?.secretHash ?? (await decoyHash()))
    if (found === null || !isSecret || found.key.prefix !== parts.prefix) return refuse('api_key_invalid')
    // From here on the caller holds the secret and may learn what is the matter with the key.
    const { key } = found
    if (key.revokedAt !== null) return refuse('api_key_revoked')
    if (!key.enabled) return refuse('api_key_disabled')
    if (isExpired(key, clock())) return refuse('api_key_expired')
    return { ok: true, principal: ofKey(key) }
  }

  return async (headers, { jwtOnly }) => {
    const presented = readCredential(headers, text => looksLikeKey(text, prefix))
    if (presented.kind === 'refused') return refuse(presented.code)
    if (presented.kind === 'key') return jwtOnly ? refuse('jwt_required') : judgeKey(presented.text)
    const verification = await verifier.verify(presented.token)
    return verification.ok
      ? { ok: true, principal: ofToken(verification.claims, roles) }
      : refuse(verification.code)
  }
}

import type { SubjectState } from '../lib/changes-schema.ts'
import type { Clock } from '../lib/clock.ts'
import { readCredential } from '../lib/credential.ts'
import type { AccessTokenClaims } from '../lib/jwt/claims.ts'
import type { TokenVerifier } from '../lib/jwt/verifier.ts'
import { intersect, isPermission, permissionsOf, type RolePermissions } from '../lib/permission.ts'
import type { CredentialCode } from './errors.ts'
import { lowestCost, type SecretHashCost } from './keys.ts'
import { isExpired, type KeyRecord, type KeyStore } from './store.ts'
import type { Subjects } from './subjects.ts'
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

/** What the change feed knows, where one is followed. */
export type Followed = Subjects & {
  /** @throws Failure `unavailable` while nobody can be judged: nothing was ever heard, or not for too long. */
  requireCurrent(): void
}

export type AuthenticateOptions = {
  readonly store: Pick<KeyStore, 'findCredential'>
  readonly verifier: TokenVerifier
  readonly roles: RolePermissions
  readonly prefix: string
  readonly clock: Clock
  readonly cost?: SecretHashCost
  /** Absent, credentials live to their expiry, and nobody asks how their owners are. */
  readonly followed?: Followed | null
}

/** Judges the credential in a request's headers. @throws Failure `unavailable` when it can't be judged. */
export type Authenticate = (
  headers: Headers,
  options: { readonly jwtOnly: boolean },
) => Promise<Authentication>

const refuse = (code: CredentialCode): Authentication => ({ ok: false, code })

/** The words of `scope` (RFC 6749 section 3.3) that are permissions; a service account has none with a `*`. */
const scopesOf = (words: readonly string[]): string[] =>
  words.filter(word => isPermission(word) && !word.includes('*'))

/** What subjects may do now. Lists of roles and scopes are shared between subjects, so each is worked out once. */
const createSubjectPermissions = (roles: RolePermissions) => {
  const byRoles = new WeakMap<readonly string[], readonly string[]>()
  const byScopes = new WeakMap<readonly string[], readonly string[]>()
  const once = (
    known: WeakMap<readonly string[], readonly string[]>,
    list: readonly string[],
    work: (list: readonly string[]) => readonly string[],
  ): readonly string[] => {
    const found = known.get(list)
    if (found !== undefined) return found
    const made = work(list)
    known.set(list, made)
    return made
  }
  return (state: SubjectState): readonly string[] => {
    const ofRoles = once(byRoles, state.roles, list => permissionsOf(roles, list))
    if (state.scopes.length === 0) return ofRoles
    const ofScopes = once(byScopes, state.scopes, scopesOf)
    return ofRoles.length === 0 ? ofScopes : [...ofRoles, ...ofScopes]
  }
}

const ofUser = (
  claims: AccessTokenClaims,
  names: readonly string[],
  permissions: readonly string[],
): Principal => ({
  kind: 'user',
  ownerId: claims.sub,
  userId: claims.sub,
  clientId: claims.client_id,
  ...(claims.sid === undefined ? {} : { sessionId: claims.sid }),
  permissions,
  roles: names,
})

const ofService = (claims: AccessTokenClaims, state: SubjectState | null): Principal => {
  const asked = scopesOf(claims.scope?.split(' ') ?? [])
  return {
    kind: 'service',
    ownerId: claims.sub,
    clientId: claims.client_id,
    ...(claims.sid === undefined ? {} : { sessionId: claims.sid }),
    permissions: state === null ? asked : intersect(asked, scopesOf(state.scopes)),
    roles: [],
  }
}

const ofKey = (key: KeyRecord, permissions: readonly string[]): Principal => ({
  kind: 'key',
  ownerId: key.ownerId,
  keyId: key.id,
  permissions,
  roles: [],
})

export const createAuthenticate = ({
  store,
  verifier,
  roles,
  prefix,
  clock,
  cost = lowestCost,
  followed = null,
}: AuthenticateOptions): Authenticate => {
  const permissionsNow = createSubjectPermissions(roles)

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
    const owner = followed?.find(key.ownerId) ?? null
    if (followed !== null) {
      // Keys of who is gone are revoked; here the feed was faster than the database.
      if (owner?.status === 'deleted') return refuse('api_key_revoked')
      if (owner?.status !== 'active') return refuse('api_key_owner_inactive')
    }
    if (isExpired(key, clock())) return refuse('api_key_expired')
    const permissions = owner === null ? key.permissions : intersect(key.permissions, permissionsNow(owner))
    return { ok: true, principal: ofKey(key, permissions) }
  }

  /** A subject that nobody told of is as good as its token: it may have been made a moment ago. */
  const judgeClaims = (claims: AccessTokenClaims): Authentication => {
    const { sub, sid, jti } = claims
    const state = followed?.find(sub) ?? null
    // RFC 9068 section 2.2: where no user is involved, `sub` is the client.
    const isService = sub === claims.client_id
    const isOver =
      followed !== null &&
      ((state !== null && state.status !== 'active') ||
        (sid !== undefined && followed.isEnded(sid)) ||
        followed.isEnded(jti) ||
        (isService && claims.iat < (state?.tokensSince ?? 0)))
    if (isOver) return refuse('token_invalid')
    if (isService) return { ok: true, principal: ofService(claims, state) }
    const names = state?.roles ?? claims.roles ?? []
    const permissions = state === null ? permissionsOf(roles, names) : permissionsNow(state)
    return { ok: true, principal: ofUser(claims, names, permissions) }
  }

  return async (headers, { jwtOnly }) => {
    const presented = readCredential(headers, text => looksLikeKey(text, prefix))
    if (presented.kind === 'refused') return refuse(presented.code)
    if (presented.kind === 'key' && jwtOnly) return refuse('jwt_required')
    followed?.requireCurrent()
    if (presented.kind === 'key') return judgeKey(presented.text)
    const verification = await verifier.verify(presented.token)
    return verification.ok ? judgeClaims(verification.claims) : refuse(verification.code)
  }
}

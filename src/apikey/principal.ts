import type { SubjectState } from '../lib/changes-schema.ts'
import type { AccessTokenClaims } from '../lib/jwt/claims.ts'
import { intersect, isPermission, permissionsOf, type RolePermissions } from '../lib/permission.ts'
import type { KeyRecord } from './key-record.ts'

/** Whoever is behind a credential that was found good. Requests with the same credential share it: it is frozen. */
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

/** The words of `scope` (RFC 6749 section 3.3) that are permissions; a service account has none with a `*`. */
const scopesOf = (words: readonly string[]): string[] =>
  words.filter(word => isPermission(word) && !word.includes('*'))

const freeze = (principal: Principal): Principal => {
  Object.freeze(principal.permissions)
  Object.freeze(principal.roles)
  return Object.freeze(principal)
}

/** Makes principals of what was verified, with the permissions that these roles give. */
export const createPrincipals = (roles: RolePermissions) => {
  // Lists of roles and scopes are shared between subjects, so each is worked out once.
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
  const scopesNow = ({ scopes }: SubjectState): readonly string[] => once(byScopes, scopes, scopesOf)

  /** What a subject may do now. */
  const permissionsNow = (state: SubjectState): readonly string[] => {
    const ofRoles = once(byRoles, state.roles, list => permissionsOf(roles, list))
    if (state.scopes.length === 0) return ofRoles
    const ofScopes = scopesNow(state)
    return ofRoles.length === 0 ? ofScopes : [...ofRoles, ...ofScopes]
  }

  return {
    /** @param state null for a user that nobody told of: then the token says what the roles are. */
    ofUser: (claims: AccessTokenClaims, state: SubjectState | null): Principal => {
      const names = state?.roles ?? claims.roles ?? []
      return freeze({
        kind: 'user',
        ownerId: claims.sub,
        userId: claims.sub,
        clientId: claims.client_id,
        ...(claims.sid === undefined ? {} : { sessionId: claims.sid }),
        permissions: state === null ? permissionsOf(roles, names) : permissionsNow(state),
        roles: [...names],
      })
    },

    ofService: (claims: AccessTokenClaims, state: SubjectState | null): Principal => {
      const asked = scopesOf(claims.scope?.split(' ') ?? [])
      return freeze({
        kind: 'service',
        ownerId: claims.sub,
        clientId: claims.client_id,
        ...(claims.sid === undefined ? {} : { sessionId: claims.sid }),
        permissions: state === null ? asked : intersect(asked, scopesNow(state)),
        roles: [],
      })
    },

    /** @param owner null where no feed is followed: then a key may do what it was given. */
    ofKey: (key: KeyRecord, owner: SubjectState | null): Principal =>
      freeze({
        kind: 'key',
        ownerId: key.ownerId,
        keyId: key.id,
        permissions: owner === null ? key.permissions : intersect(key.permissions, permissionsNow(owner)),
        roles: [],
      }),
  }
}

export type Principals = ReturnType<typeof createPrincipals>

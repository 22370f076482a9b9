import { Failure } from '../lib/failure.ts'
import { createInsufficient } from '../lib/insufficient.ts'
import { isPermission, permissionsOf, type RolePermissions } from '../lib/permission.ts'
import { createRequirement } from '../lib/requirement.ts'
import type { KeyCode } from './errors.ts'
import type { Principal } from './principal.ts'
import type { Subjects } from './subjects.ts'

/** What must be known of an owner who is not the caller: roles of a user, scopes of a service account. */
export type Owner = {
  readonly id: string
  readonly roles?: readonly string[]
  readonly scopes?: readonly string[]
}

/** Finds an owner by id; null for anyone who may not own keys, such as a disabled user. */
export type FindOwner = (ownerId: string, request: Request) => Promise<Owner | null>

/** Held by who may manage the keys of others; `api-keys:*` in a role includes it. */
export const manageKeys = 'api-keys:manage'

export type OwnersOptions = {
  readonly roles: RolePermissions
  /** Null where no change feed is followed. */
  readonly feed: () => Subjects | null
  readonly findOwner: FindOwner | undefined
}

export type Owners = {
  /** @throws Refusal `insufficient_permission` for a caller who may manage only their own keys. */
  requireManager(principal: Principal): void
  /**
   * What an owner may do now: the caller by the token, anybody else by who knows. `field` is where the owner was named.
   *
   * @throws Refusal `insufficient_permission`, Failure `owner_unknown`
   */
  grantableBy(
    principal: Principal,
    ownerId: string,
    request: Request,
    field?: string,
  ): Promise<readonly string[]>
}

/** A service account has no permission with a `*`: a token says what it is good for in full. */
const isScope = (word: string): boolean => isPermission(word) && !word.includes('*')

const unknownOwner = (field: string, rule: string) =>
  new Failure<KeyCode>('owner_unknown', { errors: [{ field, rule }] })

export const createOwners = ({ roles, feed, findOwner }: OwnersOptions): Owners => {
  /** The host asks whoever it wants; else the change feed has told, where one is followed. */
  const find = async (ownerId: string, request: Request, field: string): Promise<Owner | null> => {
    if (findOwner !== undefined) return findOwner(ownerId, request)
    const followed = feed()
    if (followed === null) {
      throw unknownOwner(field, 'must be the caller: this service knows no other owners')
    }
    const state = followed.find(ownerId)
    return state?.status === 'active' ? { ...state, id: ownerId } : null
  }

  const managing = createRequirement(manageKeys)
  const insufficient = createInsufficient(managing)

  const requireManager = ({ permissions }: Principal): void => {
    if (!managing.isMet(permissions)) throw insufficient.token
  }

  return {
    requireManager,
    grantableBy: async (principal, ownerId, request, field = 'ownerId') => {
      if (ownerId === principal.ownerId) return principal.permissions
      requireManager(principal)
      const owner = await find(ownerId, request, field)
      if (owner === null) throw unknownOwner(field, 'must be an active user or service account')
      return [...permissionsOf(roles, owner.roles ?? []), ...(owner.scopes ?? []).filter(isScope)]
    },
  }
}

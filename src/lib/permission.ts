/** `resource:action`, each segment a word or `*` for any. */
export const permissionPattern = '^([a-z][a-z0-9-]{0,39}|\\*):([a-z][a-z0-9-]{0,39}|\\*)$'

const form = new RegExp(permissionPattern)

/** Whether a value is a permission; those of more segments, say, would be cut short in a comparison. */
export const isPermission = (value: unknown): value is string => typeof value === 'string' && form.test(value)

const segmentCovers = (granted: string, needed: string): boolean => granted === '*' || granted === needed

/** Whether a granted permission includes a needed one; `*` is included only by `*`. */
export const covers = (granted: string, needed: string): boolean => {
  if (granted === needed) return true
  const [grantedResource = '', grantedAction = '', ...grantedRest] = granted.split(':')
  const [neededResource = '', neededAction = '', ...neededRest] = needed.split(':')
  if (grantedRest.length > 0 || neededRest.length > 0) return false
  return segmentCovers(grantedResource, neededResource) && segmentCovers(grantedAction, neededAction)
}

export const allows = (granted: readonly string[], needed: string): boolean =>
  granted.some(permission => covers(permission, needed))

/** The four permissions that include one: itself, every action of its resource, its action on any resource, all. */
export const whatIncludes = (needed: string): readonly [string, string, string, string] => {
  const [resource = '', action = ''] = needed.split(':')
  return [needed, `${resource}:*`, `*:${action}`, '*:*']
}

const segmentMeet = (one: string, other: string): string | null => {
  if (one === '*') return other
  return other === '*' || one === other ? one : null
}

/** What two permissions both allow, as one permission; null where that is nothing. */
const meet = (one: string, other: string): string | null => {
  const [oneResource = '', oneAction = '', ...oneRest] = one.split(':')
  const [otherResource = '', otherAction = '', ...otherRest] = other.split(':')
  if (oneRest.length > 0 || otherRest.length > 0) return null
  const resource = segmentMeet(oneResource, otherResource)
  const action = segmentMeet(oneAction, otherAction)
  return resource === null || action === null ? null : `${resource}:${action}`
}

/** What both lists allow: it allows a permission if, and only if, each of them does. */
export const intersect = (one: readonly string[], other: readonly string[]): readonly string[] => {
  // The usual case, which makes nothing: what is asked of the first list is all within the second.
  if (one.every(permission => allows(other, permission))) return one
  const met = one.flatMap(permission => other.flatMap(another => meet(permission, another) ?? []))
  return [...new Set(met)]
}

/** What each role may do. Role names are free; a role that is not listed grants nothing. */
export type RolePermissions<Permission extends string = string> = Readonly<
  Record<string, readonly Permission[]>
>

/** The permissions of a set of roles, each once. `Object.hasOwn`, since role names come from outside. */
export const permissionsOf = <Permission extends string>(
  table: RolePermissions<Permission>,
  roles: readonly string[],
): Permission[] => [
  ...new Set(roles.flatMap(role => (Object.hasOwn(table, role) ? (table[role] ?? []) : []))),
]

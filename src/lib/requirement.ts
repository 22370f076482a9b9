import { isPermission, whatIncludes } from './permission.ts'

type Some<Permission> = readonly [Permission, ...Permission[]]

/** What a route says that its callers must hold: one permission, all of a list, one of `anyOf`, or `'any'` for none. */
export type Needed<Permission extends string = string> =
  | Permission
  | 'any'
  | Some<Permission>
  | { readonly anyOf: Some<Permission> }

/** How OpenAPI shows it (`x-permission`): the name of one, or of several all or one. */
export type ShownNeed =
  | string
  | { readonly allOf: readonly (string | { readonly anyOf: readonly string[] })[] }
  | { readonly anyOf: readonly string[] }

/** What must be held, worked out once for a route: all of these permissions, or one of them. */
export type Requirement = {
  /** All of none is what `'any'` asks for. */
  readonly mode: 'all' | 'one'
  readonly permissions: readonly string[]
  /** Whether these permissions are enough. On the path of every request. */
  readonly isMet: (held: readonly string[]) => boolean
}

const mostPermissions = 20

const quote = (value: unknown): string => String(JSON.stringify(value)).slice(0, 200)

const isAnyOf = (needed: unknown): needed is { readonly anyOf: readonly unknown[] } =>
  typeof needed === 'object' &&
  needed !== null &&
  Object.keys(needed).join() === 'anyOf' &&
  'anyOf' in needed &&
  Array.isArray(needed.anyOf)

/** @throws TypeError that names what is wrong with the list */
const checkList = (items: readonly unknown[]): string[] => {
  if (items.length === 0) throw new TypeError("permission has an empty list; say 'any' if every caller may")
  if (items.length > mostPermissions) {
    throw new TypeError(`permission has a list of ${items.length}; it takes ${mostPermissions} at most`)
  }
  const permissions: string[] = []
  for (const item of items) {
    if (!isPermission(item)) {
      throw new TypeError(`permission takes resource:action in a list, not ${quote(item)}`)
    }
    if (permissions.includes(item)) throw new TypeError(`permission has ${quote(item)} twice in a list`)
    permissions.push(item)
  }
  return permissions
}

/** @throws TypeError for anything that is not one of the forms */
const readNeed = (needed: unknown): Pick<Requirement, 'mode' | 'permissions'> => {
  if (needed === 'any') return { mode: 'all', permissions: [] }
  if (isPermission(needed)) return { mode: 'all', permissions: [needed] }
  if (Array.isArray(needed)) return { mode: 'all', permissions: checkList(needed) }
  if (isAnyOf(needed)) {
    const permissions = checkList(needed.anyOf)
    return { mode: permissions.length === 1 ? 'all' : 'one', permissions }
  }
  throw new TypeError(
    `permission takes resource:action, a list of them, { anyOf: [...] } or "any", not ${quote(needed)}`,
  )
}

/** Whether something that is held includes a needed permission: compared with the four that do, nothing is made. */
const holdsOne = (needed: string): Requirement['isMet'] => {
  const [exact, ofResource, ofAction, all] = whatIncludes(needed)
  return held => {
    for (const one of held) {
      if (one === exact || one === ofResource || one === ofAction || one === all) return true
    }
    return false
  }
}

const check = ({ mode, permissions }: Pick<Requirement, 'mode' | 'permissions'>): Requirement['isMet'] => {
  const checks = permissions.map(holdsOne)
  const [only] = checks
  if (only === undefined) return () => true
  if (checks.length === 1) return only
  const isOne = mode === 'one'
  return held => {
    for (const holds of checks) if (holds(held) === isOne) return isOne
    return !isOne
  }
}

/**
 * Reads what a route needs, into a copy: Elysia merges the options of guards and groups into each other, lists included.
 *
 * @throws TypeError that names what is malformed, empty, twice there or more than 20
 */
export const createRequirement = (needed: unknown): Requirement => {
  const read = readNeed(needed)
  return Object.freeze({ ...read, permissions: Object.freeze(read.permissions), isMet: check(read) })
}

const combine = (requirements: readonly Requirement[]) => ({
  all: [...new Set(requirements.flatMap(({ mode, permissions }) => (mode === 'all' ? permissions : [])))],
  ones: requirements.filter(({ mode }) => mode === 'one').map(({ permissions }) => permissions),
})

/** What several requirements ask for together, as OpenAPI shows it. Frozen, and so nothing is merged into it. */
export const showNeed = (requirements: readonly Requirement[]): ShownNeed => {
  const { all, ones } = combine(requirements)
  const anyOf = ones.map(permissions => Object.freeze({ anyOf: permissions }))
  const [first = 'any'] = [...all, ...anyOf]
  return all.length + anyOf.length <= 1 ? first : Object.freeze({ allOf: Object.freeze([...all, ...anyOf]) })
}

/** The same in words, to follow "needs"; empty where nothing is needed. */
export const sayNeed = (requirements: readonly Requirement[]): string => {
  const { all, ones } = combine(requirements)
  return [
    ...(all.length === 0 ? [] : [all.length === 1 ? `${all[0]}` : `all of ${all.join(', ')}`]),
    ...ones.map(permissions => `one of ${permissions.join(', ')}`),
  ].join(', and ')
}

/** Every list of permissions of which holding all is enough; one that is empty where nothing is needed. */
export const waysToMeet = (requirements: readonly Requirement[]): readonly (readonly string[])[] => {
  const { all, ones } = combine(requirements)
  return ones.reduce<readonly (readonly string[])[]>(
    (ways, permissions) =>
      ways.flatMap(way =>
        permissions.map(permission => (way.includes(permission) ? way : [...way, permission])),
      ),
    [all],
  )
}

const enforced = new WeakMap<object, Requirement>()

/** Notes which requirement a hook enforces, for {@link requirementsOf}. */
export const noteRequirement = (hook: object, requirement: Requirement): void => {
  enforced.set(hook, requirement)
}

/**
 * What the hooks of a route enforce, those of guards and groups around it included. Read from the hooks, since in a
 * description (`detail`) anybody can write, and one guard's overwrites another's.
 */
export const requirementsOf = (hooks: object): readonly Requirement[] => {
  const transforms: unknown[] = 'transform' in hooks ? [hooks.transform].flat() : []
  return transforms.flatMap(transform => {
    const hook: unknown =
      typeof transform === 'object' && transform !== null && 'fn' in transform ? transform.fn : transform
    return typeof hook === 'function' ? (enforced.get(hook) ?? []) : []
  })
}

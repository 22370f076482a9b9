import { and, eq, gt, gte, isNull, lte, not, or, type SQL, sql } from 'drizzle-orm'
import { apiKeys } from './schema.ts'
import { unexpired } from './store-rows.ts'

/** What a key is: the first of these that holds, from the last to the first. So each key is exactly one of them. */
export const keyStatuses = ['active', 'disabled', 'expired', 'rotated', 'revoked'] as const
export type KeyStatus = (typeof keyStatuses)[number]

/** Times are milliseconds. A key is listed where all that is given holds. */
export type KeyFilter = {
  /** Without, all keys that are not revoked; `all` for those as well. */
  readonly status?: KeyStatus | 'all'
  /** Part of the name, in any case of its letters. */
  readonly name?: string
  /** What the key may do by its own permissions. */
  readonly permission?: string
  /** Keys whose end is set, and before this time. */
  readonly expiringBefore?: number
  readonly neverUsed?: true
  /** Keys whose last use was before this time; of those that were never used, the ones that were there by then. */
  readonly unusedSince?: number
  /** Keys that work now and did at or after this time: what would be missed. */
  readonly usedSince?: number
}

const isReplaced = sql`${apiKeys.rotatedTo} IS NOT NULL`

const statusIs = (status: KeyStatus, now: number): SQL | undefined => {
  const isDead = lte(apiKeys.expiresAt, now)
  const isKept = isNull(apiKeys.revokedAt)
  switch (status) {
    case 'revoked':
      return not(isKept)
    case 'rotated':
      return and(isKept, isReplaced)
    case 'expired':
      return and(isKept, not(isReplaced), isDead)
    case 'disabled':
      return and(isKept, not(isReplaced), unexpired(now), eq(apiKeys.enabled, false))
    case 'active':
      return and(isKept, not(isReplaced), unexpired(now), eq(apiKeys.enabled, true))
  }
}

/** Every permission that includes another, which has two segments: it is the one that is needed or a wider one. */
export const coveringPermissions = (needed: string): string[] => {
  const [resource = '', action = ''] = needed.split(':')
  return [...new Set([needed, `${resource}:*`, `*:${action}`, '*:*'])]
}

/** The forms that one letter has in both cases, where each is a letter too: `ß` has no other. */
const casesOf = (letter: string): string[] => {
  const forms = [letter, letter.toLowerCase(), letter.toUpperCase()]
  const all = [...forms, ...forms.flatMap(form => [form.toLowerCase(), form.toUpperCase()])]
  return [...new Set(all)].filter(form => [...form].length === 1)
}

/**
 * A pattern of SQLite's GLOB for texts that contain another, in any case: LIKE knows the cases of a to z alone. Each
 * letter becomes the set of its forms, and what means something in a pattern a set of itself.
 */
export const containing = (part: string): string => {
  const letters = [...part].map(letter => {
    const forms = casesOf(letter)
    return forms.length > 1 || '*?['.includes(letter) ? `[${forms.join('')}]` : letter
  })
  return `*${letters.join('')}*`
}

const mayDo = (permission: string): SQL => {
  const among = sql.join(
    coveringPermissions(permission).map(covering => sql`${covering}`),
    sql`, `,
  )
  return sql`EXISTS (SELECT 1 FROM json_each(${apiKeys.permissions}) WHERE value IN (${among}))`
}

/** The condition of a filter, at a time. */
export const matching = (filter: KeyFilter, now: number): SQL | undefined => {
  const { status, name, permission, expiringBefore, neverUsed, unusedSince, usedSince } = filter
  const has = <Value>(value: Value | undefined, condition: (value: Value) => SQL | undefined) =>
    value === undefined ? undefined : condition(value)
  const never = isNull(apiKeys.lastUsedAt)
  return and(
    status === undefined ? isNull(apiKeys.revokedAt) : undefined,
    status === undefined || status === 'all' ? undefined : statusIs(status, now),
    has(name, part => sql`${apiKeys.name} GLOB ${containing(part)}`),
    has(permission, mayDo),
    has(expiringBefore, time => sql`${apiKeys.expiresAt} < ${time}`),
    neverUsed === undefined ? undefined : never,
    has(unusedSince, time => {
      const isOld = sql`${apiKeys.createdAt} < ${time}`
      return or(sql`${apiKeys.lastUsedAt} < ${time}`, and(never, isOld))
    }),
    has(usedSince, time =>
      and(
        gte(apiKeys.lastUsedAt, time),
        isNull(apiKeys.revokedAt),
        eq(apiKeys.enabled, true),
        unexpired(now),
      ),
    ),
  )
}

/** Rows after one position and up to another, in the order of lists. */
export const between = (
  after: { readonly createdAt: number; readonly id: string } | null,
  end: { readonly createdAt: number; readonly id: string } | null,
): SQL | undefined => {
  const place = sql`(${apiKeys.createdAt}, ${apiKeys.id})`
  return and(
    after === null ? undefined : gt(place, sql`(${after.createdAt}, ${after.id})`),
    end === null ? undefined : lte(place, sql`(${end.createdAt}, ${end.id})`),
  )
}

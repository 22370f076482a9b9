import { Failure } from '../lib/failure.ts'
import { allows, isPermission } from '../lib/permission.ts'
import type { KeyCode } from './errors.ts'
import type { ExplainRows } from './explain-rows.ts'

/** What the operator grants: anything. What a key may do is at each use no more than its owner may do then. */
export const everything: readonly string[] = ['*:*']

/** Whatever issuers call their users, as HTTP takes it. */
export const isOwnerId = (text: string | undefined): text is string =>
  text !== undefined && /^[!-~]{1,128}$/.test(text)

/**
 * Sees that somebody may own keys, by what the change feed told the service.
 *
 * @returns what the operator should know.
 * @throws Failure `owner_unknown` for one who is not there, or not active.
 */
export const checkOwner = (
  { feed, owner: find }: Pick<ExplainRows, 'feed' | 'owner'>,
  id: string,
  permissions: readonly string[],
): string[] => {
  if (typeof feed()?.generation !== 'string') {
    return [
      'This service has heard nothing of owners yet: whether this one is there, and active, is not known.',
    ]
  }
  const owner = find(id)
  if (owner?.status !== 'active') {
    const rule = owner === null ? 'is nobody of whom this service has heard' : `is ${owner.status}`
    throw new Failure<KeyCode>('owner_unknown', { errors: [{ field: 'The owner', rule }] })
  }
  if (!id.startsWith('cli_')) return []
  const scopes = owner.scopes.filter(scope => isPermission(scope) && !scope.includes('*'))
  const beyond = permissions.filter(permission => !allows(scopes, permission))
  return beyond.length === 0
    ? []
    : [`Beyond what the owner may do now, and of no use until that changes: ${beyond.join(' ')}`]
}

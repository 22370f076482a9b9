import { t } from 'elysia'
import { isoTime } from '../lib/clock.ts'
import { Failure } from '../lib/failure.ts'
import { pageQuery } from '../lib/page-query.ts'
import { printablePattern } from '../lib/text.ts'
import type { KeyFilter } from './list-filter.ts'
import { ownerId, permissionText, queryTime, toTime } from './model.ts'

export const ListQuery = t.Object({
  ...pageQuery,
  owner: t.Optional(ownerId('For admins: keys of this user or service account, or * for those of everybody')),
  status: t.Optional(
    t.Union(
      [
        t.Literal('active'),
        t.Literal('disabled'),
        t.Literal('expired'),
        t.Literal('rotated'),
        t.Literal('revoked'),
        t.Literal('all'),
      ],
      {
        description:
          'What a key is: the last of these that holds. rotated: replaced by another, also within its time of grace. all but the revoked ones when absent',
      },
    ),
  ),
  name: t.Optional(
    t.String({
      minLength: 1,
      maxLength: 100,
      pattern: printablePattern,
      description: 'Part of the name, in any case of its letters',
    }),
  ),
  permission: t.Optional(permissionText('What the key may do by its own permissions')),
  expiringBefore: t.Optional(
    queryTime('Keys whose end is set, and before this time. With status=active those still to come'),
  ),
  neverUsed: t.Optional(t.Literal('true', { description: 'Only keys that were never let in' })),
  unusedSince: t.Optional(
    queryTime('Keys last used before this time, or made before it and never used: what may be superfluous'),
  ),
  usedSince: t.Optional(
    queryTime('Only keys that work now and were used at or after this time: what would be missed'),
  ),
})
export type ListQuery = typeof ListQuery.static

/** Whoever looks for a key by its text must not do so here: queries stand in the logs of every proxy. */
const keyText = /_[0-9A-Za-z]{65}/

/** @throws Failure `invalid_request` */
export const toFilter = (query: ListQuery): KeyFilter => {
  const { status, name, permission, neverUsed } = query
  if (name !== undefined && keyText.test(name)) {
    const rule = 'must not be the text of a key: for that there is POST /api-keys/find'
    throw new Failure('invalid_request', { errors: [{ field: 'name', rule }] })
  }
  const expiringBefore = toTime('expiringBefore', query.expiringBefore)
  const unusedSince = toTime('unusedSince', query.unusedSince)
  const usedSince = toTime('usedSince', query.usedSince)
  return {
    ...(status === undefined ? {} : { status }),
    ...(name === undefined ? {} : { name }),
    ...(permission === undefined ? {} : { permission }),
    ...(neverUsed === undefined ? {} : { neverUsed: true }),
    ...(expiringBefore === undefined ? {} : { expiringBefore }),
    ...(unusedSince === undefined ? {} : { unusedSince }),
    ...(usedSince === undefined ? {} : { usedSince }),
  }
}

/** What was asked for, as the audit trail keeps it: times as they leave the service. */
export const toNoted = (owner: string, filter: KeyFilter): Record<string, unknown> => ({
  owner,
  ...Object.fromEntries(
    Object.entries(filter).map(([name, value]) => [name, typeof value === 'number' ? isoTime(value) : value]),
  ),
})

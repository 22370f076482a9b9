import { isDeepStrictEqual } from 'node:util'
import type { KeyMetadata, KeyRecord } from './key-record.ts'

/** What people decide about a key. What it is made of, when it was used and what it counts are no part of it. */
const terms = [
  'name',
  'ownerId',
  'permissions',
  'enabled',
  'expiresAt',
  'allowedNetworks',
  'limits',
  'isMetered',
  'metadata',
] as const satisfies readonly (keyof KeyRecord)[]

type Terms = Partial<Pick<KeyRecord, (typeof terms)[number]>>

/** Names that are told of changed metadata, and how much of each. */
const mostNames = 20
const mostCharacters = 64

/**
 * Metadata is the owner's own, up to 4 KiB a version and of any kind: of it the trail keeps which members changed, and
 * never what they hold.
 */
const changedMembers = (before: KeyMetadata | null, after: KeyMetadata | null) => {
  const [old, made] = [before ?? {}, after ?? {}]
  const names = [...new Set([...Object.keys(old), ...Object.keys(made)])].filter(
    name =>
      Object.hasOwn(old, name) !== Object.hasOwn(made, name) || !isDeepStrictEqual(old[name], made[name]),
  )
  return {
    names: names.slice(0, mostNames).map(name => name.slice(0, mostCharacters)),
    ...(names.length > mostNames ? { more: names.length - mostNames } : {}),
  }
}

/** What the audit trail says of a change: the terms that it changed alone, as they were and as they are. */
export const differences = (before: Terms, after: Terms) => {
  const changed = terms.filter(term => !isDeepStrictEqual(before[term], after[term]))
  const told = changed.filter(term => term !== 'metadata')
  const pick = (of: Terms) => Object.fromEntries(told.map(term => [term, of[term]]))
  return {
    before: pick(before),
    after: pick(after),
    ...(changed.includes('metadata')
      ? { metadata: changedMembers(before.metadata ?? null, after.metadata ?? null) }
      : {}),
  }
}

/** What the audit trail says of a new key: the terms that somebody gave it. */
export const termsOf = (made: Terms) => {
  const { name, ownerId, permissions, expiresAt = null, allowedNetworks, limits, isMetered, metadata } = made
  return {
    name,
    ownerId,
    permissions,
    expiresAt,
    ...(allowedNetworks ? { allowedNetworks } : {}),
    ...(limits ? { limits } : {}),
    ...(isMetered ? { isMetered } : {}),
    ...(metadata ? { metadata: changedMembers(null, metadata) } : {}),
  }
}

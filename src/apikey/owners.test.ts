import { describe, expect, test } from 'bun:test'
import type { SubjectState } from '../lib/changes-schema.ts'
import { createOwners, type FindOwner } from './owners.ts'
import type { Principal } from './principal.ts'
import type { Subjects } from './subjects.ts'
import { codeOf } from './test-store.ts'

const roles = { user: ['notes:read'], admin: ['notes:*', 'api-keys:*'] }
const request = new Request('http://localhost/')
const admin: Principal = {
  kind: 'user',
  ownerId: 'usr_root',
  userId: 'usr_root',
  permissions: ['notes:*', 'api-keys:*'],
  roles: ['admin'],
}
const machine: Principal = { kind: 'service', ownerId: 'cli_ci', permissions: ['notes:read'], roles: [] }

const states: Record<string, SubjectState> = {
  usr_ann: { status: 'active', roles: ['user', 'unheard-of'], scopes: [] },
  cli_db: { status: 'active', roles: [], scopes: ['notes:write', 'openid', 'notes:*', '*:*'] },
  usr_off: { status: 'disabled', roles: ['user'], scopes: [] },
  usr_gone: { status: 'deleted', roles: ['user'], scopes: [] },
}
const followed: Subjects = {
  find: id => (Object.hasOwn(states, id) ? (states[id] ?? null) : null),
  isEnded: () => false,
}
const owners = (subjects: Subjects | null, findOwner?: FindOwner) =>
  createOwners({ roles, feed: () => subjects, findOwner })

describe('what an owner may do', () => {
  test('is for callers what their credential says, users and service accounts alike', async () => {
    const { grantableBy } = owners(null)
    expect(await grantableBy(admin, 'usr_root', request)).toEqual(admin.permissions)
    expect(await grantableBy(machine, 'cli_ci', request)).toEqual(['notes:read'])
  })

  test('is what the change feed told of others, where the host does not ask elsewhere', async () => {
    const { grantableBy } = owners(followed)
    expect(await grantableBy(admin, 'usr_ann', request)).toEqual(['notes:read'])
    expect(await grantableBy(admin, 'cli_db', request)).toEqual(['notes:write'])
    for (const id of ['usr_off', 'usr_gone', 'usr_ghost', '__proto__', '']) {
      const failure = await grantableBy(admin, id, request, 'to').catch((error: unknown) => error)
      expect(failure).toMatchObject({ code: 'owner_unknown', errors: [{ field: 'to' }] })
    }
  })

  test('is what the host finds, whatever the feed told', async () => {
    const found: string[] = []
    const { grantableBy } = owners(followed, async (id, given) => {
      expect(given).toBe(request)
      found.push(id)
      return id === 'usr_off' ? { id, roles: ['admin'], scopes: ['other:read'] } : null
    })
    expect(await grantableBy(admin, 'usr_off', request)).toEqual(['notes:*', 'api-keys:*', 'other:read'])
    expect(await codeOf(grantableBy(admin, 'usr_ann', request))).toBe('owner_unknown')
    expect(found).toEqual(['usr_off', 'usr_ann'])
  })

  test('nobody knows without a host that finds or a feed that tells', async () => {
    expect(await codeOf(owners(null).grantableBy(admin, 'usr_ann', request))).toBe('owner_unknown')
  })

  test('is not asked for callers who manage only their own keys', async () => {
    const { grantableBy, requireManager } = owners(followed, async () => {
      throw new Error('asked')
    })
    expect(await codeOf(grantableBy(machine, 'usr_ann', request))).toBe('insufficient_permission')
    expect(() => requireManager(machine)).toThrow('insufficient_permission')
    expect(() => requireManager(admin)).not.toThrow()
  })
})

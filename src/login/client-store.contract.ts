import { beforeEach, describe, expect, test } from 'bun:test'
import { type AuditContext, bySystem } from '../lib/audit.ts'
import { changeTypes } from '../lib/changes-schema.ts'
import type { Client } from './client-model.ts'
import type { ClientStore, NewClient } from './client-store.ts'
import type { AuditRow, TestTime } from './test-login.ts'

export type ClientSite = {
  readonly store: ClientStore
  /** Another one on the same data, as a second process has it. */
  readonly other: ClientStore
  readonly time: TestTime
  readonly audit: () => AuditRow[]
  readonly changes: () => readonly { type: string; at: number; subjectId: string; state: unknown }[]
}

const by: AuditContext = { actorId: 'usr_root', requestId: 'req_1', address: '127.0.0.1' }

let number = 0
export const newClient = (over: Partial<NewClient> = {}): NewClient => {
  number += 1
  return {
    id: `cli_${number}`,
    name: 'A service',
    scopes: ['changes:read'],
    secret: { id: `sec_${number}`, hash: `hash ${number}` },
    ...over,
  }
}

/** What every store of clients keeps to. */
export const clientStoreContract = (create: (limit?: number) => ClientSite): void => {
  let site: ClientSite
  beforeEach(() => {
    site = create()
  })

  const written = () => ({
    audit: site.audit().map(({ action }) => action),
    changes: site.changes().map(({ type }) => type),
  })
  const last = () => ({ audit: site.audit().at(-1), change: site.changes().at(-1) })
  const refused = (work: Promise<unknown>, code: string) => expect(work).rejects.toMatchObject({ code })

  describe('a client', () => {
    test('is made as it was given, with one secret, by whoever made it', async () => {
      const { secret, ...given } = newClient()
      const client = await site.store.insert({ ...given, secret }, by)
      const at = site.time.now
      expect(client).toEqual({
        ...given,
        status: 'active',
        createdBy: 'usr_root',
        createdAt: at,
        updatedAt: at,
        tokensSince: null,
        secrets: [{ id: secret.id, createdAt: at, expiresAt: null }],
      })
      expect(await site.store.find(given.id)).toEqual(client)
      expect(await site.store.findCredential(given.id)).toEqual({ client, hashes: [secret.hash] })
      expect(last()).toMatchObject({
        audit: {
          at,
          action: 'client.created',
          subject_id: given.id,
          actor_id: 'usr_root',
          address: '127.0.0.1',
        },
        change: {
          at,
          type: changeTypes.accountCreated,
          subjectId: given.id,
          state: { status: 'active', roles: [], scopes: ['changes:read'] },
        },
      })
      expect(JSON.stringify([client, site.audit(), site.changes()])).not.toContain(secret.hash)
    })

    test('that is not there is null, and can not be changed', async () => {
      expect(await site.store.find('cli_nobody')).toBeNull()
      expect(await site.store.findCredential('cli_nobody')).toBeNull()
      await refused(site.store.update('cli_nobody', { name: 'x' }, by), 'client_not_found')
      await refused(site.store.disable('cli_nobody', by), 'client_not_found')
      await refused(site.store.enable('cli_nobody', by), 'client_not_found')
      await refused(site.store.remove('cli_nobody', by), 'client_not_found')
      await refused(site.store.rotate('cli_nobody', { id: 's', hash: 'h' }, 0, by), 'client_not_found')
      expect(written()).toEqual({ audit: [], changes: [] })
    })

    test('changes name and scopes, of which services hear where the scopes are others', async () => {
      const { id } = await site.store.insert(newClient(), by)
      site.time.now += 1_000
      const renamed = await site.store.update(id, { name: 'Another' }, by)
      expect(renamed).toMatchObject({ name: 'Another', scopes: ['changes:read'], updatedAt: site.time.now })
      expect(JSON.parse(last().audit?.detail ?? '')).toEqual({
        before: { name: 'A service', scopes: ['changes:read'] },
        after: { name: 'Another', scopes: ['changes:read'] },
      })
      expect(await site.store.update(id, { scopes: ['a:b'] }, by)).toMatchObject({
        name: 'Another',
        scopes: ['a:b'],
      })
      expect(last().change).toMatchObject({
        type: changeTypes.claimsChanged,
        state: { status: 'active', roles: [], scopes: ['a:b'] },
      })
      expect(written()).toEqual({
        audit: ['client.created', 'client.changed', 'client.changed'],
        changes: [changeTypes.accountCreated, changeTypes.claimsChanged],
      })
    })

    test('is disabled and enabled, and says so', async () => {
      const { id } = await site.store.insert(newClient(), by)
      site.time.now += 1
      expect(await site.store.disable(id, by)).toMatchObject({ status: 'disabled', updatedAt: site.time.now })
      const tokensSince = Math.floor(site.time.now / 1_000) + 1
      const state = { roles: [], scopes: ['changes:read'], tokensSince }
      expect(last().change?.state).toEqual({ status: 'disabled', ...state })
      expect(await site.store.findCredential(id)).toMatchObject({ client: { status: 'disabled' } })
      site.time.now += 60_000
      expect(await site.store.enable(id, by)).toMatchObject({ status: 'active', tokensSince })
      expect(last().change?.state).toEqual({ status: 'active', ...state })
      expect(written()).toEqual({
        audit: ['client.created', 'client.disabled', 'client.enabled'],
        changes: [changeTypes.accountCreated, changeTypes.accountDisabled, changeTypes.accountEnabled],
      })
    })

    test('that is as it is asked to be is not written', async () => {
      const { id } = await site.store.insert(newClient(), by)
      site.time.now += 1
      await site.store.enable(id, by)
      await site.store.update(id, { name: 'A service', scopes: ['changes:read'] }, by)
      await site.store.update(id, {}, by)
      await site.store.disable(id, by)
      await site.store.disable(id, by)
      expect(written().audit).toEqual(['client.created', 'client.disabled'])
      expect(written().changes).toHaveLength(2)
    })

    test('that is deleted is gone for good with its secrets, and its id is nobody’s again', async () => {
      const given = newClient()
      await site.store.insert(given, by)
      await site.store.remove(given.id, by)
      expect(await site.store.find(given.id)).toBeNull()
      expect(await site.store.findCredential(given.id)).toBeNull()
      expect(last()).toMatchObject({
        audit: { action: 'client.deleted', subject_id: given.id },
        change: { type: changeTypes.accountPurged, state: { status: 'deleted', roles: [], scopes: [] } },
      })
      await refused(site.store.enable(given.id, by), 'client_not_found')
      await refused(site.store.remove(given.id, by), 'client_not_found')
      await refused(site.store.insert(given, by), 'client_id_taken')
      expect(await site.store.register(given, bySystem)).toBe('deleted')
      expect(written().audit).toEqual(['client.created', 'client.deleted'])
    })

    test('whose id is taken is not made', async () => {
      const given = newClient()
      await site.store.insert(given, by)
      await refused(site.store.insert({ ...newClient(), id: given.id }, by), 'client_id_taken')
      expect(await site.store.findCredential(given.id)).toMatchObject({ hashes: [given.secret.hash] })
      expect(written().audit).toHaveLength(1)
    })

    test('that settings name is registered once, and never changed by them', async () => {
      const given = newClient()
      expect(await site.store.register(given, bySystem)).toBe('created')
      const before = await site.store.findCredential(given.id)
      expect(await site.store.register({ ...newClient(), id: given.id }, bySystem)).toBe('known')
      expect(await site.store.findCredential(given.id)).toEqual(before)
      expect(written().audit).toEqual(['client.created'])
      expect(last().audit?.actor_id).toBeNull()
    })
  })

  describe('secrets', () => {
    const rotate = (id: string, name: string, grace: number) =>
      site.store.rotate(id, { id: `sec_${name}`, hash: name }, grace, by)
    const hashesOf = async (id: string) => (await site.store.findCredential(id))?.hashes
    const ids = ({ secrets }: Client) => secrets.map(secret => secret.id)

    test('are two until the grace of a rotation is over, to the millisecond', async () => {
      const given = newClient()
      const { id } = await site.store.insert(given, by)
      site.time.now += 1
      const client = await rotate(id, 'second', 60)
      expect(client.secrets).toEqual([
        { id: given.secret.id, createdAt: site.time.now - 1, expiresAt: site.time.now + 60_000 },
        { id: 'sec_second', createdAt: site.time.now, expiresAt: null },
      ])
      site.time.now += 59_999
      expect(await hashesOf(id)).toEqual([given.secret.hash, 'second'])
      site.time.now += 1
      expect(await hashesOf(id)).toEqual(['second'])
      expect(ids((await site.store.find(id)) ?? client)).toEqual(['sec_second'])
      expect(last().change).toMatchObject({
        type: changeTypes.credentialChanged,
        state: { status: 'active', roles: [], scopes: ['changes:read'] },
      })
      expect(last().audit).toMatchObject({
        action: 'client.secret_rotated',
        detail: JSON.stringify({ secretId: 'sec_second', graceSeconds: 60 }),
      })
    })

    test('with no grace the one before ends at once', async () => {
      const { id } = await site.store.insert(newClient(), by)
      expect(ids(await rotate(id, 'second', 0))).toEqual(['sec_second'])
      expect(await hashesOf(id)).toEqual(['second'])
    })

    test('end all tokens with no grace, whatever part of a second it is, and none with some', async () => {
      const { id } = await site.store.insert(newClient(), by)
      const second = Math.floor(site.time.now / 1_000)
      expect(await rotate(id, 'second', 1)).toMatchObject({ tokensSince: null })
      expect(last().change?.state).toEqual({ status: 'active', roles: [], scopes: ['changes:read'] })
      for (const milliseconds of [0, 1, 999]) {
        site.time.now = second * 1_000 + milliseconds
        expect(await rotate(id, `at ${milliseconds}`, 0)).toMatchObject({ tokensSince: second + 1 })
        expect(last().change?.state).toMatchObject({ status: 'active', tokensSince: second + 1 })
      }
    })

    test('are never three: another rotation ends the older one', async () => {
      const { id } = await site.store.insert(newClient(), by)
      await rotate(id, 'second', 86_400)
      site.time.now += 1
      await rotate(id, 'third', 86_400)
      expect(await hashesOf(id)).toEqual(['second', 'third'])
      site.time.now += 1
      await rotate(id, 'fourth', 0)
      expect(await hashesOf(id)).toEqual(['fourth'])
    })

    test('of a disabled client can be rotated, those of others stay', async () => {
      const [one, two] = [await site.store.insert(newClient(), by), await site.store.insert(newClient(), by)]
      const before = await hashesOf(two.id)
      await site.store.disable(one.id, by)
      await rotate(one.id, 'second', 0)
      expect(await hashesOf(one.id)).toEqual(['second'])
      expect(await hashesOf(two.id)).toEqual(before)
    })
  })

  describe('a list', () => {
    test('has all but the deleted, oldest first, page by page, with a clock that stands', async () => {
      const ids: string[] = []
      for (let index = 0; index < 7; index += 1) {
        ids.push((await site.store.insert(newClient({ id: `cli_list_${index}` }), by)).id)
        if (index === 3) site.time.now += 5
      }
      await site.store.remove('cli_list_2', by)
      await site.store.disable('cli_list_3', by)
      const found: string[] = []
      let after: Awaited<ReturnType<ClientStore['list']>>['next'] = null
      do {
        const page: Awaited<ReturnType<ClientStore['list']>> = await site.store.list({ limit: 2, after })
        expect(page.items.length).toBeLessThanOrEqual(2)
        found.push(...page.items.map(({ id }) => id))
        after = page.next
      } while (after !== null)
      expect(found).toEqual(ids.filter(id => id !== 'cli_list_2'))
    })
  })

  describe('two processes at once', () => {
    test('make a client of one id once', async () => {
      const given = newClient()
      const results = await Promise.allSettled(
        [site.store, site.other, site.store, site.other].map(store => store.insert(given, by)),
      )
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
      expect(written().changes).toHaveLength(1)
    })

    test('register a client of one id once', async () => {
      const given = newClient()
      const outcomes = await Promise.all(
        [site.store, site.other].map(store => store.register(given, bySystem)),
      )
      expect(outcomes.toSorted()).toEqual(['created', 'known'])
    })

    test('never leave it more than two secrets, and always the last one', async () => {
      const { id } = await site.store.insert(newClient(), by)
      await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          (index % 2 === 0 ? site.store : site.other).rotate(
            id,
            { id: `sec_r${index}`, hash: `${index}` },
            60,
            by,
          ),
        ),
      )
      const { client, hashes = [] } = (await site.store.findCredential(id)) ?? {}
      expect(hashes).toHaveLength(2)
      expect(client?.secrets.filter(({ expiresAt }) => expiresAt === null)).toHaveLength(1)
      expect(written().changes).toHaveLength(21)
    })

    test('a client that one of them deletes is not brought back by the other', async () => {
      const { id } = await site.store.insert(newClient(), by)
      await Promise.allSettled([
        site.other.disable(id, by),
        site.store.remove(id, by),
        site.other.enable(id, by),
        site.other.update(id, { scopes: ['a:b'] }, by),
        site.other.rotate(id, { id: 'sec_late', hash: 'late' }, 60, by),
      ])
      expect(await site.store.find(id)).toBeNull()
      expect(await site.other.findCredential(id)).toBeNull()
      expect(last().change?.type).toBe(changeTypes.accountPurged)
    })
  })

  test('there are at most as many as allowed, of which the deleted are none, and settings are not held up', async () => {
    const { store } = create(5)
    const ids: string[] = []
    for (let index = 0; index < 5; index += 1) ids.push((await store.insert(newClient(), by)).id)
    const [first = '', second = ''] = ids
    await refused(store.insert(newClient(), by), 'client_limit_reached')
    await refused(store.insert(newClient({ id: first }), by), 'client_id_taken')
    expect(await store.register(newClient(), bySystem)).toBe('created')
    await store.remove(first, by)
    await refused(store.insert(newClient(), by), 'client_limit_reached')
    await store.remove(second, by)
    await store.insert(newClient(), by)
    await refused(store.insert(newClient(), by), 'client_limit_reached')
  })
}

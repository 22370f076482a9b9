import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { AuditContext } from '../lib/audit.ts'
import type { Clock } from '../lib/clock.ts'
import type { KeyRecord } from './key-record.ts'
import type { StorePair } from './store.contract.ts'
import type { KeyTransfer } from './store.ts'
import { codeOf, newKey, newMaterial } from './test-store.ts'

const context: AuditContext = { actorId: 'usr_root', requestId: 'req_1', address: '192.0.2.1' }

/** What every store promises about keys that get another owner. Writes go through one store, reads through the other. */
export const describeKeyTransfer = (name: string, open: (clock: Clock) => StorePair): void =>
  describe(`${name}: transfer`, () => {
    let pair: StorePair
    let now: number
    beforeEach(() => {
      now = 1_000
      pair = open(() => now)
    })
    afterEach(() => pair.close())

    const insert = (ownerId = 'usr_ann', changes: Parameters<typeof newKey>[1] = {}): Promise<KeyRecord> =>
      pair.first.insert(newKey(ownerId, changes), 1_000, context)
    const rotate = (id: string, graceUntil: number): Promise<KeyRecord> =>
      pair.first.rotate(id, 'all', newMaterial(), graceUntil, context)
    const transfer = (changes: Partial<KeyTransfer> = {}) =>
      pair.first.transfer(
        {
          from: 'usr_ann',
          to: 'cli_ci',
          keyIds: null,
          most: 100,
          limit: 100,
          grantable: ['*:*'],
          ...changes,
        },
        context,
      )
    const ownerOf = async (id: string): Promise<string | undefined> =>
      (await pair.second.findCredential(id))?.key.ownerId
    const idsOf = async (ownerId: string): Promise<string[]> =>
      (await pair.second.list({ scope: { ownerId }, limit: 200, after: null })).items.map(({ id }) => id)
    const transferred = () => pair.audit().filter(({ action }) => action === 'api_key.transferred')

    test('changes the owner and nothing else, with a row for each key', async () => {
      const one = await insert('usr_ann', { name: 'one', permissions: ['a:read'], expiresAt: 9_000 })
      now = 2_000
      const two = await insert()
      const { secretHash } = (await pair.second.findCredential(one.id)) ?? {}
      const other = await insert('usr_bob')
      now = 3_000
      const moved = await transfer()
      const expected = [one, two].map(key => ({ ...key, ownerId: 'cli_ci', updatedAt: 3_000 }))
      expect(moved).toEqual({ keys: expected, remaining: 0 })
      expect(await idsOf('usr_ann')).toEqual([])
      expect(await pair.second.findCredential(one.id)).toEqual({
        key: { ...one, ownerId: 'cli_ci', updatedAt: 3_000 },
        secretHash: secretHash ?? '',
      })
      expect(await ownerOf(other.id)).toBe('usr_bob')
      const detail = { before: { ownerId: 'usr_ann' }, after: { ownerId: 'cli_ci' } }
      expect(transferred()).toEqual(
        [one, two].map(({ id }) => ({ action: 'api_key.transferred', subjectId: id, detail, ...context })),
      )
      expect(await transfer()).toEqual({ keys: [], remaining: 0 })
    })

    test('what is dead stays where it was; what is only disabled goes along', async () => {
      const expired = await insert('usr_ann', { expiresAt: 2_000 })
      const revoked = await insert()
      const disabled = await insert()
      await pair.first.revoke(revoked.id, 'all', context)
      await pair.first.update(disabled.id, 'all', { enabled: false }, context)
      now = 2_000
      expect((await transfer()).keys.map(({ id }) => id)).toEqual([disabled.id])
      expect(await ownerOf(expired.id)).toBe('usr_ann')
      expect(await ownerOf(revoked.id)).toBe('usr_ann')
    })

    test('only the named ones go, and those that go by the same name twice once', async () => {
      const [one, two, three] = [await insert(), await insert(), await insert()]
      const moved = await transfer({ keyIds: [three.id, one.id, three.id] })
      expect(moved.keys.map(({ id }) => id).toSorted()).toEqual([one.id, three.id].toSorted())
      expect(moved.remaining).toBe(1)
      expect(await idsOf('usr_ann')).toEqual([two.id])
    })

    test('a name that is none of theirs, or dead, stops all', async () => {
      const good = await insert()
      const foreign = await insert('usr_bob')
      const expired = await insert('usr_ann', { expiresAt: 1_500 })
      const revoked = await insert()
      await pair.first.revoke(revoked.id, 'all', context)
      now = 1_500
      for (const bad of [foreign.id, expired.id, revoked.id, 'key_ghost', '', "' OR 1=1 --"]) {
        const attempt = transfer({ keyIds: [good.id, bad] })
        const failure = await attempt.catch((error: unknown) => error)
        expect(failure).toMatchObject({ code: 'api_key_not_found', errors: [{ field: 'keyIds/1' }] })
      }
      expect(await ownerOf(good.id)).toBe('usr_ann')
      expect(transferred()).toEqual([])
    })

    test.each(['old', 'new'] as const)(
      'a key in its time of grace and its successor go together: naming the %s one is enough',
      async which => {
        const old = await insert()
        const successor = await rotate(old.id, 9_000)
        const other = await insert()
        const named = which === 'old' ? old.id : successor.id
        const { keys, remaining } = await transfer({ keyIds: [named] })
        expect(keys.map(({ id }) => id).toSorted()).toEqual([old.id, successor.id].toSorted())
        expect(remaining).toBe(1)
        expect(await ownerOf(other.id)).toBe('usr_ann')
        // The lineage holds: the next rotation ends the oldest, whoever owns it.
        await rotate(successor.id, 9_000)
        expect((await pair.second.findCredential(old.id))?.key.expiresAt).toBe(now)
      },
    )

    test('a predecessor that is over stays with whom it was', async () => {
      const old = await insert()
      const successor = await rotate(old.id, 2_000)
      now = 2_000
      expect((await transfer({ keyIds: [successor.id] })).keys.map(({ id }) => id)).toEqual([successor.id])
      expect(await ownerOf(old.id)).toBe('usr_ann')
    })

    test('KEY-16: what the new owner may not do stops all, by key and permission', async () => {
      const good = await insert('usr_ann', { permissions: ['a:read'] })
      const bad = await insert('usr_ann', { permissions: ['a:read', 'b:write', '*:*'] })
      const failure = await transfer({ grantable: ['a:*'] }).catch((error: unknown) => error)
      expect(failure).toMatchObject({
        code: 'permission_not_grantable',
        errors: [
          { field: bad.id, rule: expect.stringContaining('b:write') },
          { field: bad.id, rule: expect.stringContaining('*:*') },
        ],
      })
      expect(await ownerOf(good.id)).toBe('usr_ann')
      expect(transferred()).toEqual([])
      expect((await transfer({ grantable: ['a:*'], keyIds: [good.id] })).keys).toHaveLength(1)
    })

    test('KEY-16: a partner that may more than the new owner stops it too', async () => {
      const old = await insert('usr_ann', { permissions: ['b:write'] })
      const successor = await rotate(old.id, 9_000)
      await pair.first.update(successor.id, 'all', { permissions: [] }, context)
      const attempt = transfer({ keyIds: [successor.id], grantable: [] })
      expect(await codeOf(attempt)).toBe('permission_not_grantable')
      expect(await ownerOf(successor.id)).toBe('usr_ann')
    })

    test('KEY-12: the new owner has no more keys than allowed, of which replaced ones are none', async () => {
      await insert('cli_ci')
      const old = await insert()
      await rotate(old.id, 9_000)
      await insert()
      expect(await codeOf(transfer({ limit: 2 }))).toBe('api_key_limit_reached')
      expect(await idsOf('usr_ann')).toHaveLength(3)
      expect((await transfer({ limit: 3 })).keys).toHaveLength(3)
    })

    test('of very many keys the oldest go first, and how many are left is told', async () => {
      const ids: string[] = []
      for (let index = 0; index < 7; index += 1) {
        now += 1
        ids.push((await insert()).id)
      }
      const first = await transfer({ most: 3 })
      expect(first.keys.map(({ id }) => id)).toEqual(ids.slice(0, 3))
      expect(first.remaining).toBe(4)
      expect((await transfer({ most: 3 })).remaining).toBe(1)
      expect((await transfer({ most: 3 })).remaining).toBe(0)
      expect((await idsOf('cli_ci')).toSorted()).toEqual(ids.toSorted())
    })

    test('whatever goes where, no key is lost, doubled, or beyond its owner', async () => {
      const owners = ['usr_ann', 'usr_bob', 'cli_ci']
      const may: Record<string, string[]> = {
        usr_ann: ['*:*'],
        usr_bob: ['a:*'],
        cli_ci: ['a:read', 'b:read'],
      }

      const owner = fc.constantFrom(...owners)
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.subarray(['a:read', 'a:write', 'b:read']), { minLength: 1, maxLength: 4 }),
          fc.array(fc.tuple(owner, owner, fc.option(fc.array(fc.nat(3), { minLength: 1 }), { nil: null })), {
            maxLength: 6,
          }),
          async (keys, moves) => {
            const made: string[] = []
            for (const permissions of keys) made.push((await insert('usr_ann', { permissions })).id)
            for (const [from, to, picks] of moves.filter(([from, to]) => from !== to)) {
              const keyIds = picks === null ? null : picks.map(pick => made[pick] ?? 'key_ghost')
              const before = await Promise.all(made.map(ownerOf))
              const code = await codeOf(transfer({ from, to, keyIds, grantable: may[to] ?? [] }))
              const after = await Promise.all(made.map(ownerOf))
              if (code !== null) expect(after).toEqual(before)
              for (const [index, id] of after.entries()) {
                expect(id === before[index] || (id === to && before[index] === from)).toBe(true)
              }
            }
            for (const id of made) {
              const { key } = (await pair.second.findCredential(id)) ?? {}
              const granted = may[key?.ownerId ?? ''] ?? []
              const isWithin = (needed: string) =>
                granted.includes('*:*') ||
                granted.includes(needed) ||
                (granted.includes('a:*') && needed.startsWith('a:'))
              expect(key?.permissions.every(isWithin)).toBe(true)
            }
            for (const id of made) await pair.first.revoke(id, 'all', context)
          },
        ),
        { numRuns: 25 },
      )
    })
  })

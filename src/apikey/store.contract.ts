import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import type { AuditContext } from '../lib/audit.ts'
import type { Clock } from '../lib/clock.ts'
import type { Position } from '../lib/cursor.ts'
import type { KeyRecord } from './key-record.ts'
import type { KeyScope, KeyStore } from './store.ts'
import { codeOf, newKey, newMaterial, secretHash } from './test-store.ts'
import type { UsageStore } from './usage-store.ts'

/** A row of the audit trail, as far as it says what happened. */
export type AuditEntry = {
  readonly action: string
  readonly subjectId: string | null
  readonly detail: unknown
  readonly actorId: string | null
  readonly requestId: string | null
  readonly address: string | null
}

/** Two stores over the same keys; one and the same where only one can be had. */
export type StorePair = {
  readonly first: KeyStore
  readonly second: KeyStore
  /** The same of their uses. */
  readonly firstUses: UsageStore
  readonly secondUses: UsageStore
  /** The audit trail, oldest first. */
  audit(): AuditEntry[]
  close(): void
}

const context: AuditContext = { actorId: 'usr_actor', requestId: 'req_1', address: '192.0.2.1' }
const ann: KeyScope = { ownerId: 'usr_ann' }
const bob: KeyScope = { ownerId: 'usr_bob' }

/** What every {@link KeyStore} promises. Each write goes through one store and is read through the other. */
export const describeKeyStore = (name: string, open: (clock: Clock) => StorePair): void =>
  describe(name, () => {
    let pair: StorePair
    let now: number
    beforeEach(() => {
      now = 1_000
      pair = open(() => now)
    })
    afterEach(() => pair.close())

    const insert = (changes: Parameters<typeof newKey>[1] = {}): Promise<KeyRecord> =>
      pair.first.insert(newKey('usr_ann', changes), 1_000, context)
    const rotate = (id: string, graceUntil = now, store = pair.first): Promise<KeyRecord> =>
      store.rotate(id, 'all', newMaterial(), graceUntil, context)
    const stored = async (id: string): Promise<KeyRecord | undefined> =>
      (await pair.second.findCredential(id))?.key
    const actions = (): string[] => pair.audit().map(({ action }) => action)

    describe('inserting', () => {
      test('keeps what it was given, enabled and with the time, and writes who asked for it', async () => {
        const given = newKey('usr_ann', { name: 'ci', permissions: ['a:read'], expiresAt: 9_000 })
        const made = await pair.first.insert(given, 1, context)
        const { secretHash: _, ...visible } = given
        expect(made).toEqual({
          ...visible,
          enabled: true,
          createdAt: 1_000,
          updatedAt: 1_000,
          revokedAt: null,
          rotatedFrom: null,
          rotatedTo: null,
          rotatedAt: null,
          lineageId: given.id,
          metadata: null,
          allowedNetworks: null,
          limits: null,
          isMetered: false,
          lastUsedAt: null,
          lastUsedAddress: null,
        })
        expect(await pair.second.find(given.id, ann)).toEqual(made)
        expect(pair.audit()).toEqual([
          {
            action: 'api_key.created',
            subjectId: given.id,
            detail: { name: 'ci', ownerId: 'usr_ann', permissions: ['a:read'], expiresAt: 9_000 },
            ...context,
          },
        ])
      })

      test('KEY-12: an owner has no more keys than allowed, and others none the fewer', async () => {
        for (let index = 0; index < 3; index += 1) await pair.first.insert(newKey('usr_ann'), 3, context)
        expect(await codeOf(pair.second.insert(newKey('usr_ann'), 3, context))).toBe('api_key_limit_reached')
        expect(await codeOf(pair.second.insert(newKey('usr_bob'), 3, context))).toBeNull()
        expect(actions()).toHaveLength(4)
      })

      test('KEY-12: 50 creations at once keep the limit', async () => {
        const outcomes = await Promise.all(
          Array.from({ length: 50 }, (_, index) =>
            codeOf((index % 2 === 0 ? pair.first : pair.second).insert(newKey('usr_ann'), 10, context)),
          ),
        )
        expect(outcomes.filter(code => code === null)).toHaveLength(10)
        expect(outcomes.filter(code => code === 'api_key_limit_reached')).toHaveLength(40)
        const { items } = await pair.first.list({ scope: ann, limit: 100, after: null })
        expect(items).toHaveLength(10)
      })

      test('KEY-12: a revoked key makes room for another', async () => {
        const { id } = await pair.first.insert(newKey('usr_ann'), 1, context)
        await pair.second.revoke(id, ann, context)
        expect(await codeOf(pair.first.insert(newKey('usr_ann'), 1, context))).toBeNull()
      })
    })

    describe('reading', () => {
      test('KEY-05: the hash is given to whoever verifies a secret, and in no record', async () => {
        const made = await insert()
        const next = await rotate(made.id, 5_000)
        const records = [
          made,
          next,
          await pair.second.find(made.id, 'all'),
          await pair.second.list({ scope: 'all', limit: 10, after: null }),
          await pair.first.update(next.id, 'all', { name: 'renamed' }, context),
          (await pair.second.findCredential(made.id))?.key,
        ]
        expect(JSON.stringify(records)).not.toContain(secretHash)
        expect(JSON.stringify(records)).not.toContain('hash')
        expect(JSON.stringify(pair.audit())).not.toContain(secretHash)
        expect((await pair.second.findCredential(made.id))?.secretHash).toBe(secretHash)
      })

      test('no key and a revoked key are alike to whoever manages keys, not to whoever verifies one', async () => {
        const { id } = await insert()
        now = 2_000
        await pair.first.revoke(id, ann, context)
        expect(await codeOf(pair.second.find(id, 'all'))).toBe('api_key_not_found')
        expect(await codeOf(pair.second.find('key_ghost', 'all'))).toBe('api_key_not_found')
        expect((await stored(id))?.revokedAt).toBe(2_000)
        expect(await pair.second.findCredential('key_ghost')).toBeNull()
      })
    })

    describe("somebody else's key", () => {
      test('KEY-06: is one that never was, and stays as it is, whatever is tried', async () => {
        const { id } = await insert({ name: 'mine' })
        const before = await stored(id)
        for (const attempt of [
          pair.second.find(id, bob),
          pair.second.update(id, bob, { name: 'theirs', enabled: false }, context),
          pair.second.rotate(id, bob, newMaterial(), 9_000, context),
          pair.second.revoke(id, bob, context),
        ]) {
          expect(await codeOf(attempt)).toBe('api_key_not_found')
        }
        expect(await pair.second.revokeOwned('usr_bob', context)).toBe(0)
        expect(await stored(id)).toEqual(before)
        expect((await pair.second.list({ scope: bob, limit: 10, after: null })).items).toEqual([])
        expect(actions()).toEqual(['api_key.created'])
      })

      test('is found by who may see all', async () => {
        const { id } = await insert()
        expect((await pair.second.find(id, 'all')).ownerId).toBe('usr_ann')
      })
    })

    describe('changing', () => {
      test('changes what is named and nothing else, and writes that as it was and is', async () => {
        const made = await insert({ permissions: ['a:read'], expiresAt: 9_000 })
        now = 2_000
        const changed = await pair.first.update(made.id, ann, { name: 'ci', expiresAt: null }, context)
        expect(changed).toEqual({ ...made, name: 'ci', expiresAt: null, updatedAt: 2_000 })
        expect(await pair.second.find(made.id, ann)).toEqual(changed)
        expect(pair.audit().at(-1)).toEqual({
          action: 'api_key.changed',
          subjectId: made.id,
          detail: {
            before: { name: 'test', expiresAt: 9_000 },
            after: { name: 'ci', expiresAt: null },
          },
          ...context,
        })
      })

      test('what has been replaced stays as it is: its end is settled', async () => {
        const { id } = await insert()
        await rotate(id, 5_000)
        const before = await stored(id)
        expect(await codeOf(pair.second.update(id, ann, { expiresAt: null }, context))).toBe(
          'api_key_rotated',
        )
        expect(await stored(id)).toEqual(before)
      })
    })

    describe('rotating', () => {
      test('the successor inherits everything but secret and times', async () => {
        const made = await insert({
          name: 'ci',
          createdBy: 'usr_admin',
          permissions: ['a:read'],
          expiresAt: 90_000,
        })
        now = 2_000
        const material = newMaterial('lk_test')
        const next = await pair.first.rotate(made.id, ann, material, 5_000, context)
        const { secretHash: _, ...names } = material
        expect(next).toEqual({ ...made, ...names, createdAt: 2_000, updatedAt: 2_000, rotatedFrom: made.id })
        expect(await stored(made.id)).toEqual({
          ...made,
          updatedAt: 2_000,
          expiresAt: 5_000,
          rotatedTo: next.id,
          rotatedAt: 2_000,
        })
        expect(pair.audit().at(-1)).toMatchObject({
          action: 'api_key.rotated',
          subjectId: made.id,
          detail: { before: { expiresAt: 90_000 }, after: { rotatedTo: next.id, expiresAt: 5_000 } },
        })
      })

      test('LOG-01: the successor has a row as a new key has, and one that is ended by it another', async () => {
        const made = await insert({ name: 'ci', permissions: ['a:read'] })
        const next = await rotate(made.id, 5_000)
        now = 2_000
        const last = await rotate(next.id, 9_000)
        expect(pair.audit().slice(1)).toMatchObject([
          {
            action: 'api_key.created',
            subjectId: next.id,
            detail: { name: 'ci', ownerId: 'usr_ann', permissions: ['a:read'], rotatedFrom: made.id },
            ...context,
          },
          { action: 'api_key.rotated', subjectId: made.id },
          {
            action: 'api_key.changed',
            subjectId: made.id,
            detail: {
              before: { expiresAt: 5_000 },
              after: { expiresAt: 2_000 },
              reason: 'replaced_again',
            },
            ...context,
          },
          { action: 'api_key.created', subjectId: last.id },
          { action: 'api_key.rotated', subjectId: next.id },
        ])
      })

      test('the time of grace never goes past the end that the old key had', async () => {
        const { id } = await insert({ expiresAt: 3_000 })
        const next = await rotate(id, 90_000)
        expect((await stored(id))?.expiresAt).toBe(3_000)
        expect(next.expiresAt).toBe(3_000)
      })

      test('KEY-10: of 20 rotations at once one wins and one live key is left', async () => {
        const { id } = await insert()
        const outcomes = await Promise.all(
          Array.from({ length: 20 }, (_, index) =>
            codeOf(rotate(id, now, index % 2 === 0 ? pair.first : pair.second)),
          ),
        )
        expect(outcomes.filter(code => code === null)).toHaveLength(1)
        expect(outcomes.filter(code => code === 'api_key_rotated')).toHaveLength(19)
        const { items } = await pair.first.list({ scope: ann, limit: 100, after: null })
        expect(items.filter(({ expiresAt }) => expiresAt === null || expiresAt > now)).toHaveLength(1)
      })

      test.each([0, 1])('KEY-10: a key that expired %d ms ago has no successor', async ago => {
        const { id } = await insert({ expiresAt: 5_000 })
        now = 5_000 + ago
        expect(await codeOf(rotate(id, 90_000))).toBe('api_key_inactive')
        expect((await pair.second.list({ scope: ann, limit: 10, after: null })).items).toHaveLength(1)
      })

      test('KEY-10: neither has one that is disabled or revoked', async () => {
        const disabled = await insert()
        await pair.first.update(disabled.id, ann, { enabled: false }, context)
        expect(await codeOf(rotate(disabled.id, 90_000))).toBe('api_key_inactive')
        const revoked = await insert()
        await pair.first.revoke(revoked.id, ann, context)
        expect(await codeOf(rotate(revoked.id, 90_000))).toBe('api_key_not_found')
        expect((await pair.second.list({ scope: ann, limit: 10, after: null })).items).toHaveLength(1)
      })

      test('KEY-10: rotation and revocation at once never make a key out of a revoked one', async () => {
        for (let round = 0; round < 20; round += 1) {
          const { id } = await insert()
          const acts = [() => codeOf(rotate(id, 90_000)), () => codeOf(pair.second.revoke(id, ann, context))]
          await Promise.all((round % 2 === 0 ? acts : acts.toReversed()).map(act => act()))
          const old = await stored(id)
          // The old key is dead either way. A successor is there only where the rotation came first.
          expect(old?.revokedAt).toBe(now)
          expect(old?.rotatedTo === null).toBe(round % 2 === 1)
        }
      })
    })

    describe('revoking', () => {
      test('is for good: nothing is found, changed or revoked again', async () => {
        const { id } = await insert()
        await pair.first.revoke(id, ann, context)
        for (const attempt of [
          pair.second.revoke(id, ann, context),
          pair.second.update(id, ann, { enabled: true }, context),
          pair.second.find(id, ann),
        ]) {
          expect(await codeOf(attempt)).toBe('api_key_not_found')
        }
        expect(actions()).toEqual(['api_key.created', 'api_key.revoked'])
      })

      test('all keys of an owner go at once, with a row for each, and nobody else loses one', async () => {
        const ids = [await insert(), await insert()].map(({ id }) => id).sort()
        const other = await pair.first.insert(newKey('usr_bob'), 10, context)
        now = 2_000
        expect(await pair.first.revokeOwned('usr_ann', context)).toBe(2)
        for (const id of ids) expect((await stored(id))?.revokedAt).toBe(2_000)
        expect((await stored(other.id))?.revokedAt).toBeNull()
        const revoked = pair.audit().filter(({ action }) => action === 'api_key.revoked')
        expect(revoked.map(({ subjectId }) => subjectId).sort()).toEqual(ids)
        expect(await pair.second.revokeOwned('usr_ann', context)).toBe(0)
      })
    })

    describe('listing', () => {
      const walk = async (between: (page: number) => Promise<unknown>): Promise<string[]> => {
        const seen: string[] = []
        let after: Position | null = null
        for (let page = 0; page === 0 || after !== null; page += 1) {
          const { items, next }: { items: readonly KeyRecord[]; next: Position | null } =
            await pair.second.list({ scope: ann, limit: 3, after })
          seen.push(...items.map(({ id }) => id))
          after = next
          await between(page)
        }
        return seen
      }

      test('KEY-12: pages neither skip nor repeat a key, also of one millisecond', async () => {
        const ids: string[] = []
        for (let index = 0; index < 20; index += 1) {
          now += index % 4 === 0 ? 1 : 0
          ids.push((await insert()).id)
        }
        await pair.first.insert(newKey('usr_bob'), 10, context)
        const seen = await walk(async () => null)
        expect(seen.toSorted()).toEqual(ids.toSorted())
      })

      test('what was there all the while is listed once, while others come and go', async () => {
        const kept: string[] = []
        const doomed: string[] = []
        for (let index = 0; index < 12; index += 1) {
          now += 1
          const list = index % 3 === 0 ? doomed : kept
          list.push((await insert()).id)
        }
        const made: string[] = []
        const seen = await walk(async page => {
          const victim = doomed[page]
          if (victim !== undefined) await pair.first.revoke(victim, ann, context)
          now += 1
          if (page < 4) made.push((await insert()).id)
        })
        expect(seen.filter(id => kept.includes(id))).toEqual(kept)
        expect(new Set(seen).size).toBe(seen.length)
        expect(made.every(id => seen.includes(id))).toBe(true)
      })

      test('who may see all sees all', async () => {
        await insert()
        await pair.first.insert(newKey('usr_bob'), 10, context)
        const { items, next } = await pair.second.list({ scope: 'all', limit: 10, after: null })
        expect(items.map(({ ownerId }) => ownerId).sort()).toEqual(['usr_ann', 'usr_bob'])
        expect(next).toBeNull()
      })
    })
  })

import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { type AuditContext, bySystem } from '../lib/audit.ts'
import type { Clock } from '../lib/clock.ts'
import type { Position } from '../lib/cursor.ts'
import type { KeyRecord } from './key-record.ts'
import type { StorePair } from './store.contract.ts'
import type { KeyScope } from './store.ts'
import { newKey, newMaterial } from './test-store.ts'
import type { KeyUses } from './usage-store.ts'

const context: AuditContext = bySystem
const ann: KeyScope = { ownerId: 'usr_ann' }

/** What every store promises about when keys were used. Writes go through one store, reads through the other. */
export const describeKeyUses = (name: string, open: (clock: Clock) => StorePair): void =>
  describe(`${name}: uses`, () => {
    let pair: StorePair
    let now: number
    beforeEach(() => {
      now = 1_000
      pair = open(() => now)
    })
    afterEach(() => pair.close())

    const insert = (changes: Parameters<typeof newKey>[1] = {}): Promise<KeyRecord> =>
      pair.first.insert(newKey('usr_ann', changes), 1_000, context)
    const address = '192.0.2.1'
    const accepted = (id: string, lastUsedAt: number, day = 0): KeyUses => ({
      id,
      day,
      lastUsedAt,
      lastUsedAddress: address,
      counts: [{ outcome: 'accepted', uses: 1 }],
    })
    /** Writes all, however little there is time for in one transaction. */
    const writeAll = async (uses: readonly KeyUses[]): Promise<void> => {
      for (let written = 0; written < uses.length; ) {
        written += await pair.firstUses.recordUses(uses.slice(written))
      }
    }
    const use = (...uses: (readonly [id: string, at: number])[]): Promise<void> =>
      writeAll(uses.map(([id, at]) => accepted(id, at)))
    const stored = async (id: string): Promise<KeyRecord | undefined> =>
      (await pair.second.findCredential(id))?.key

    test('are noted with the key, never back in time, and change nothing else', async () => {
      const made = await insert()
      const other = await insert()
      now = 2_000
      await use([made.id, 1_500], ['key_ghost', 1_500])
      expect(await stored(made.id)).toEqual({ ...made, lastUsedAt: 1_500, lastUsedAddress: address })
      await use([made.id, 1_400])
      expect((await stored(made.id))?.lastUsedAt).toBe(1_500)
      await use([made.id, 1_501], [made.id, 1_500])
      expect((await stored(made.id))?.lastUsedAt).toBe(1_501)
      expect((await stored(other.id))?.lastUsedAt).toBeNull()
      expect(pair.audit().map(({ action }) => action)).toEqual(['api_key.created', 'api_key.created'])
    })

    test('come with the address of the last', async () => {
      const { id } = await insert()
      const from = async (lastUsedAt: number, lastUsedAddress: string | null) => {
        await pair.firstUses.recordUses([{ ...accepted(id, lastUsedAt), lastUsedAddress }])
        return (await stored(id))?.lastUsedAddress
      }
      expect(await from(1_500, '192.0.2.1')).toBe('192.0.2.1')
      expect(await from(1_400, '192.0.2.2')).toBe('192.0.2.1')
      expect(await from(1_600, '2001:db8::1')).toBe('2001:db8::1')
      expect(await from(1_700, null)).toBeNull()
    })

    test('are counted by day and outcome, and come to what is written already', async () => {
      const [{ id }, other] = [await insert(), await insert()]
      const uses: KeyUses = {
        ...accepted(id, 1_500, 20_000),
        counts: [
          { outcome: 'accepted', uses: 2 },
          { outcome: 'api_key_expired', uses: 1 },
        ],
      }
      expect(await pair.firstUses.recordUses([uses])).toBe(1)
      await pair.secondUses.recordUses([uses])
      await pair.secondUses.recordUses([accepted(other.id, 1_500, 20_000)])
      await writeAll([accepted(id, 1_400, 19_999), accepted(id, 1_400, 20_001)])
      const counts = (from: number, to: number) => pair.secondUses.countsOf(id, from, to)
      expect(await counts(19_999, 20_000)).toEqual([
        { day: 19_999, outcome: 'accepted', uses: 1 },
        { day: 20_000, outcome: 'accepted', uses: 4 },
        { day: 20_000, outcome: 'api_key_expired', uses: 2 },
      ])
      expect((await counts(0, 30_000)).map(({ day }) => day)).toEqual([19_999, 20_000, 20_000, 20_001])
      expect(await counts(20_002, 30_000)).toEqual([])
    })

    test('that were refused are no last use', async () => {
      const made = await insert()
      await pair.firstUses.recordUses([
        {
          id: made.id,
          day: 1,
          lastUsedAt: null,
          lastUsedAddress: null,
          counts: [{ outcome: 'api_key_disabled', uses: 3 }],
        },
      ])
      expect(await stored(made.id)).toEqual(made)
      expect(await pair.secondUses.countsOf(made.id, 0, 9)).toEqual([
        { day: 1, outcome: 'api_key_disabled', uses: 3 },
      ])
    })

    test('of days long ago are removed bit by bit, and those of others stay', async () => {
      const { id } = await insert()
      const days = Array.from({ length: 100 }, (_, day) => day)
      await writeAll(days.map(day => accepted(id, 1_500, day)))
      const left = async () => (await pair.secondUses.countsOf(id, 0, 100)).length
      const written = await left()
      expect(await pair.firstUses.pruneUses(0)).toBe(false)
      expect(await left()).toBe(written)
      let bits = 0
      let isMore = true
      while (isMore) {
        const before = await left()
        isMore = await pair.firstUses.pruneUses(80)
        bits += 1
        expect(before - (await left())).toBeLessThanOrEqual(32)
      }
      expect(bits).toBe(3)
      expect((await pair.secondUses.countsOf(id, 0, 100)).map(({ day }) => day)).toEqual(days.slice(80))
    })

    test('a successor has not been used yet', async () => {
      const { id } = await insert()
      await use([id, 1_500])
      expect((await pair.first.rotate(id, ann, newMaterial(), 9_000, context)).lastUsedAt).toBeNull()
      expect((await stored(id))?.lastUsedAt).toBe(1_500)
    })

    test('tell which keys would be missed: those that work now and were used then or later', async () => {
      const make = async (label: string, usedAt: number | null, expiresAt: number | null = null) => {
        const { id } = await insert({ name: label, expiresAt })
        if (usedAt !== null) await use([id, usedAt])
        return id
      }
      await make('before', 1_999)
      await make('then', 2_000)
      await make('after', 2_001)
      await make('never', null)
      await make('expired', 2_000, 3_000)
      await make('expires later', 2_000, 3_001)
      const off = await make('off', 2_000)
      const revoked = await make('revoked', 2_000)
      const replaced = await make('in its time of grace', 2_000)
      const over = await make('replaced', 2_000)
      await pair.first.update(off, ann, { enabled: false }, context)
      await pair.first.revoke(revoked, ann, context)
      await pair.first.rotate(replaced, ann, newMaterial(), 9_000, context)
      await pair.first.rotate(over, ann, newMaterial(), 3_000, context)
      now = 3_000
      const { items } = await pair.second.list({ scope: ann, limit: 20, after: null, usedSince: 2_000 })
      expect(items.map(({ name: label }) => label).toSorted()).toEqual([
        'after',
        'expires later',
        'in its time of grace',
        'then',
      ])
    })

    test('KEY-12: pages of what was used hold it once, whatever lies between', async () => {
      const used: string[] = []
      for (let index = 0; index < 20; index += 1) {
        now += 1
        const { id } = await insert()
        if (index % 3 === 0) used.push(id)
      }
      await use(...used.map(id => [id, now] as const))
      const seen: string[] = []
      let after: Position | null = null
      do {
        const page: { items: readonly KeyRecord[]; next: Position | null } = await pair.second.list({
          scope: ann,
          limit: 2,
          after,
          usedSince: now,
        })
        seen.push(...page.items.map(({ id }) => id))
        after = page.next
      } while (after !== null)
      expect(seen).toEqual(used)
    })
  })

import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import type { AuditContext } from '../lib/audit.ts'
import type { Clock } from '../lib/clock.ts'
import type { KeyRecord } from './key-record.ts'
import type { Refill } from './refill.ts'
import type { StorePair } from './store.contract.ts'
import type { KeyScope } from './store.ts'
import type { CreditChange } from './store-credits.ts'
import { codeOf, newKey, newMaterial } from './test-store.ts'

const context: AuditContext = { actorId: 'usr_root', requestId: 'req_1', address: '192.0.2.1' }
const daily: Refill = { amount: 50, interval: 'daily', dayOfMonth: null }
const day = 86_400_000
const most = 1_000_000_000_000

/** What every store promises about the credits of keys. Writes go through one store, reads through the other. */
export const describeKeyCredits = (name: string, open: (clock: Clock) => StorePair): void =>
  describe(`${name}: credits`, () => {
    let pair: StorePair
    let now: number
    let told: string[]
    let key: KeyRecord
    beforeEach(async () => {
      now = 1_000
      pair = open(() => now)
      told = []
      pair.first.watch(ids => told.push(...(ids ?? ['any'])))
      key = await pair.first.insert(newKey('usr_ann'), 1_000, context)
    })
    afterEach(() => pair.close())

    const change = (wanted: CreditChange, id = key.id, scope: KeyScope = 'all') =>
      pair.first.changeCredits(id, scope, wanted, context)
    const credits = (id = key.id, scope: KeyScope = 'all') => pair.second.credits(id, scope)
    const isMetered = async (id = key.id): Promise<boolean | undefined> =>
      (await pair.second.findCredential(id))?.key.isMetered
    const audited = () =>
      pair
        .audit()
        .filter(({ action }) => action === 'api_key.credits_changed')
        .map(({ detail }) => detail)
    const rotate = (): Promise<KeyRecord> =>
      pair.first.rotate(key.id, 'all', newMaterial(), now + day, context)

    test('a key that was given none spends none', async () => {
      expect([await credits(), await isMetered()]).toEqual([null, false])
    })

    test('to set them makes a key metered, with a row of who did it', async () => {
      expect(await change({ set: 7 })).toEqual({ remaining: 7, refill: null, nextRefillAt: null })
      expect(await credits()).toEqual({ remaining: 7, refill: null, nextRefillAt: null })
      expect([await isMetered(), told]).toEqual([true, [key.id]])
      expect(pair.audit().at(-1)).toEqual({
        action: 'api_key.credits_changed',
        subjectId: key.id,
        detail: { before: null, after: { remaining: 7, refill: null } },
        ...context,
      })
    })

    test('adds and subtracts, down to 0 and not below', async () => {
      await change({ set: 7 })
      told = []
      expect(await change({ add: 5 })).toMatchObject({ remaining: 12 })
      expect(await change({ subtract: 4 })).toMatchObject({ remaining: 8 })
      expect(await change({ subtract: most })).toMatchObject({ remaining: 0 })
      expect(await credits()).toMatchObject({ remaining: 0 })
      // The balance is nothing that anybody remembers.
      expect([await isMetered(), told]).toEqual([true, []])
      expect(audited()).toHaveLength(4)
    })

    test('adds up to the most and not beyond', async () => {
      await change({ set: most - 5 })
      expect(await codeOf(change({ add: 6 }))).toBe('invalid_request')
      expect(await credits()).toMatchObject({ remaining: most - 5 })
      expect(await change({ add: 5 })).toMatchObject({ remaining: most })
      expect(audited()).toHaveLength(2)
    })

    test('neither adds to nor subtracts from no balance: that would make a limit where there is none', async () => {
      expect(await codeOf(change({ add: 1 }))).toBe('api_key_unmetered')
      expect(await codeOf(change({ subtract: 1 }))).toBe('api_key_unmetered')
      expect([await credits(), await isMetered(), audited()]).toEqual([null, false, []])
    })

    test('a grant has balance and refill anew, and none ends metering', async () => {
      const nextRefillAt = day
      expect(await change({ grant: { remaining: 9, refill: daily } })).toEqual({
        remaining: 9,
        refill: daily,
        nextRefillAt,
      })
      expect(await change({ set: 3 })).toEqual({ remaining: 3, refill: daily, nextRefillAt })
      expect(await change({ grant: { remaining: 2, refill: null } })).toMatchObject({ refill: null })
      told = []
      expect(await change({ grant: null })).toBeNull()
      expect([await credits(), await isMetered(), told]).toEqual([null, false, [key.id]])
      expect(audited().at(-1)).toEqual({ before: { remaining: 2, refill: null }, after: null })
      await change({ grant: null })
      expect(audited()).toHaveLength(4)
    })

    test('a refill that is due is in what is read, and comes before a change', async () => {
      await change({ grant: { remaining: 9, refill: daily } })
      now = day - 1
      expect(await credits()).toMatchObject({ remaining: 9, nextRefillAt: day })
      now = day
      expect(await credits()).toMatchObject({ remaining: 50, nextRefillAt: 2 * day })
      expect(await change({ subtract: 1 })).toMatchObject({ remaining: 49 })
      expect(await credits()).toMatchObject({ remaining: 49 })
      expect(audited().at(-1)).toMatchObject({ before: { remaining: 50 }, after: { remaining: 49 } })
      now += day
      expect(await change({ add: 100 })).toMatchObject({ remaining: 150 })
    })

    test('a refill does not come the day that credits were set: it is in them', async () => {
      now = 10 * day + 5
      await change({ grant: { remaining: 9, refill: daily } })
      expect(await credits()).toMatchObject({ remaining: 9, nextRefillAt: 11 * day })
    })

    test('KEY-10: a key and its successor have one balance, which a rotation moves and never doubles', async () => {
      await change({ set: 7 })
      const next = await rotate()
      expect([await isMetered(next.id), await credits(next.id)]).toMatchObject([true, { remaining: 7 }])
      await change({ subtract: 2 }, next.id)
      expect(await credits()).toMatchObject({ remaining: 5 })
      await change({ add: 1 })
      expect(await credits(next.id)).toMatchObject({ remaining: 6 })
    })

    test("who has nothing of a line any more but dead keys reads nothing of the new owner's balance", async () => {
      await change({ set: 7 })
      const next = await pair.first.rotate(key.id, 'all', newMaterial(), now, context)
      const ann = { ownerId: 'usr_ann' }
      expect(await credits(key.id, ann)).toMatchObject({ remaining: 7 })
      const to = 'usr_bob'
      const move = { from: 'usr_ann', to, keyIds: [next.id], most: 1, limit: 1, grantable: [] }
      await pair.first.transfer(move, context)
      expect(await codeOf(credits(key.id, ann))).toBe('api_key_not_found')
      expect(await credits(next.id, { ownerId: to })).toMatchObject({ remaining: 7 })
      expect(await credits(key.id)).toMatchObject({ remaining: 7 })
    })

    test('metering touches none of the dead keys of a line, however often it was rotated', async () => {
      let last = key
      for (let count = 0; count < 5; count += 1) {
        last = await pair.first.rotate(last.id, 'all', newMaterial(), now, context)
      }
      told.length = 0
      await change({ set: 7 }, last.id)
      expect(told).toEqual([last.id])
      expect([await isMetered(), await isMetered(last.id)]).toEqual([false, true])
      const next = await pair.first.rotate(last.id, 'all', newMaterial(), now, context)
      told.length = 0
      await change({ grant: null }, next.id)
      expect(told).toEqual([next.id])
    })

    test('metering begins and ends for a key and its successors at once, and each is told', async () => {
      const next = await rotate()
      const other = await pair.first.insert(newKey('usr_ann'), 1_000, context)
      told = []
      await change({ set: 7 }, next.id)
      expect([await isMetered(), await isMetered(next.id), await isMetered(other.id)]).toEqual([
        true,
        true,
        false,
      ])
      expect(told.toSorted()).toEqual([key.id, next.id].toSorted())
      told = []
      await change({ grant: null })
      expect([await isMetered(), await isMetered(next.id)]).toEqual([false, false])
      expect(told.toSorted()).toEqual([key.id, next.id].toSorted())
    })

    test('another process hears that metering began', async () => {
      const heard: unknown[] = []
      const watch = pair.second.watch(ids => heard.push(...(ids ?? ['any'])))
      await change({ set: 7 })
      watch.catchUp()
      expect(heard).toContain(key.id)
    })

    test('KEY-06: the key of another, or one that is revoked, is not there', async () => {
      await change({ set: 7 })
      const bob: KeyScope = { ownerId: 'usr_bob' }
      expect(await codeOf(credits(key.id, bob))).toBe('api_key_not_found')
      expect(await codeOf(change({ set: 9 }, key.id, bob))).toBe('api_key_not_found')
      expect(await credits(key.id, { ownerId: 'usr_ann' })).toMatchObject({ remaining: 7 })
      await pair.first.revoke(key.id, 'all', context)
      expect(await codeOf(change({ set: 9 }))).toBe('api_key_not_found')
      expect(await codeOf(credits())).toBe('api_key_not_found')
    })
  })

import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { type AuditContext, bySystem } from '../lib/audit.ts'
import type { Clock } from '../lib/clock.ts'
import type { Page, Position } from '../lib/cursor.ts'
import { allows } from '../lib/permission.ts'
import type { KeyRecord } from './key-record.ts'
import { type KeyFilter, type KeyStatus, keyStatuses } from './list-filter.ts'
import { createScan, type Scan } from './scan.ts'
import type { StorePair } from './store.contract.ts'
import type { KeyScope } from './store.ts'
import { newKey, newMaterial } from './test-store.ts'

const context: AuditContext = { actorId: 'usr_root', requestId: 'req_1', address: '192.0.2.1' }

/** What a key is, told another way than by the store. */
const statusOf = (key: KeyRecord, now: number): KeyStatus => {
  if (key.revokedAt !== null) return 'revoked'
  if (key.rotatedTo !== null) return 'rotated'
  if (key.expiresAt !== null && key.expiresAt <= now) return 'expired'
  return key.enabled ? 'active' : 'disabled'
}

const works = (key: KeyRecord, now: number): boolean =>
  key.revokedAt === null && key.enabled && (key.expiresAt === null || key.expiresAt > now)

/** Whether a filter lists a key, word by word. */
const isListed = (key: KeyRecord, filter: KeyFilter, now: number): boolean => {
  const { status, name, permission, expiringBefore, neverUsed, unusedSince, usedSince } = filter
  const is = statusOf(key, now)
  return [
    status === undefined ? is !== 'revoked' : status === 'all' || status === is,
    name === undefined || key.name.toLowerCase().includes(name.toLowerCase()),
    permission === undefined || allows(key.permissions, permission),
    expiringBefore === undefined || (key.expiresAt !== null && key.expiresAt < expiringBefore),
    neverUsed === undefined || key.lastUsedAt === null,
    unusedSince === undefined || (key.lastUsedAt ?? key.createdAt) < unusedSince,
    usedSince === undefined || (works(key, now) && key.lastUsedAt !== null && key.lastUsedAt >= usedSince),
  ].every(holds => holds)
}

const permission = fc.constantFrom('a:read', 'a:write', 'b:read', 'a:*', '*:read', '*:*', 'a-b:read')
const time = fc.integer({ min: 990, max: 1_060 })
const filters: fc.Arbitrary<KeyFilter> = fc.record(
  {
    status: fc.constantFrom(...keyStatuses, 'all' as const),
    name: fc.constantFrom('a', 'B', 'ci', 'ä', '%', '_', '*', '[', '\\', '?'),
    permission,
    expiringBefore: time,
    neverUsed: fc.constant(true as const),
    unusedSince: time,
    usedSince: time,
  },
  { requiredKeys: [] },
)

type Act =
  | { kind: 'make'; owner: string; name: string; permissions: string[]; expiresIn: number | null }
  | { kind: 'use' | 'revoke' | 'rotate' | 'disable' | 'rename' | 'move'; which: number }

const acts: fc.Arbitrary<Act> = fc.oneof(
  fc.record({
    kind: fc.constant('make' as const),
    owner: fc.constantFrom('usr_ann', 'usr_bob'),
    name: fc.constantFrom('ci', 'CI build', 'Ännchen', '100%', 'a_b', 'x*[y]?', 'b\\'),
    permissions: fc.array(permission, { maxLength: 3 }),
    expiresIn: fc.option(fc.integer({ min: 1, max: 40 })),
  }),
  fc.record({
    kind: fc.constantFrom(
      'use' as const,
      'revoke' as const,
      'rotate' as const,
      'disable' as const,
      'rename' as const,
      'move' as const,
    ),
    which: fc.nat(),
  }),
)
/** Steps of the clock: mostly none, a little, and sometimes back. */
const ticks = fc.constantFrom(0, 0, 0, 1, 1, 5, -2)

/** What every store promises of lists. Writes go through one store, reads through the other. */
export const describeKeyList = (name: string, open: (clock: Clock, scan?: Scan) => StorePair): void =>
  describe(`${name}: list`, () => {
    let pair: StorePair
    let now: number
    let ids: string[]
    const start = (scan?: Scan): void => {
      now = 1_000
      ids = []
      pair = open(() => now, scan)
    }
    beforeEach(() => start())
    afterEach(() => pair.close())

    const insert = async (
      ownerId = 'usr_ann',
      changes: Parameters<typeof newKey>[1] = {},
    ): Promise<string> => {
      const { id } = await pair.first.insert(newKey(ownerId, changes), 10_000, context)
      ids.push(id)
      return id
    }
    const stored = async (id: string): Promise<KeyRecord> => {
      const found = await pair.second.findCredential(id)
      if (found === null) throw new Error(`${id} is gone`)
      return found.key
    }
    /** Does it, as far as the key lets. */
    const perform = async (act: Act): Promise<void> => {
      if (act.kind === 'make') {
        const expiresAt = act.expiresIn === null ? null : now + act.expiresIn
        const { owner, name: label, permissions } = act
        await insert(owner, { name: label, permissions, expiresAt })
        return
      }
      const id = ids[act.which % Math.max(1, ids.length)]
      if (id === undefined) return
      const ignore = (): void => undefined
      if (act.kind === 'use') {
        const counts = [{ outcome: 'accepted', uses: 1 }] as const
        await pair.firstUses.recordUses([{ id, day: 0, lastUsedAt: now, lastUsedAddress: null, counts }])
      }
      if (act.kind === 'revoke') await pair.first.revoke(id, 'all', context).catch(ignore)
      if (act.kind === 'disable')
        await pair.first.update(id, 'all', { enabled: false }, context).catch(ignore)
      if (act.kind === 'rename') await pair.first.update(id, 'all', { name: 'ci' }, context).catch(ignore)
      if (act.kind === 'rotate') {
        const material = newMaterial()
        await pair.first
          .rotate(id, 'all', material, now + 10, context)
          .then(() => ids.push(material.id), ignore)
      }
      if (act.kind === 'move') {
        const { ownerId: from } = await stored(id)
        const to = from === 'usr_ann' ? 'usr_bob' : 'usr_ann'
        const move = { from, to, keyIds: [id], most: 1, limit: 10_000, grantable: ['*:*'] }
        await pair.first.transfer(move, context).catch(ignore)
      }
    }
    const walk = async (
      scope: KeyScope,
      filter: KeyFilter,
      limit: number,
      between: (page: number) => Promise<unknown> = async () => null,
    ): Promise<string[]> => {
      const seen: string[] = []
      let after: Position | null = null
      for (let page = 0; page === 0 || after !== null; page += 1) {
        const found: Page<KeyRecord> = await pair.second.list({ ...filter, scope, limit, after })
        expect(found.items.length).toBeLessThanOrEqual(limit)
        seen.push(...found.items.map(({ id }) => id))
        after = found.next
        if (after !== null) await between(page)
      }
      return seen
    }
    const scopes = fc.constantFrom<KeyScope>({ ownerId: 'usr_ann' }, 'all')
    const isWithin = (scope: KeyScope, key: KeyRecord): boolean =>
      scope === 'all' || scope.ownerId === key.ownerId

    test('KEY-12: has what the filters say, all of them together, and nothing else, oldest first', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(ticks, acts), { minLength: 5, maxLength: 25 }),
          fc.array(fc.tuple(scopes, filters), { minLength: 5, maxLength: 10 }),
          fc.integer({ min: 1, max: 4 }),
          async (life, questions, limit) => {
            pair.close()
            // Steps of three keys, and five a page: most pages are cut short by it.
            start(createScan({ rowsPerStep: 3, mostRows: 5, turn: async () => undefined }))
            for (const [tick, act] of life) {
              now += tick
              await perform(act)
            }
            const keys = await Promise.all(ids.map(stored))
            const inOrder = keys.toSorted((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1))
            for (const [scope, filter] of questions) {
              const expected = inOrder.filter(key => isWithin(scope, key) && isListed(key, filter, now))
              expect(await walk(scope, filter, limit)).toEqual(expected.map(({ id }) => id))
            }
          },
        ),
        { numRuns: name.includes('file') ? 8 : 40 },
      )
    })

    test('KEY-12: pages hold every key that matches all the while once, whatever is done between them', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(ticks, acts), { minLength: 5, maxLength: 25 }),
          fc.array(fc.array(fc.tuple(ticks, acts), { maxLength: 4 }), { maxLength: 20 }),
          scopes,
          filters,
          fc.integer({ min: 1, max: 3 }),
          async (before, between, scope, filter, limit) => {
            pair.close()
            start(createScan({ rowsPerStep: 3, mostRows: 5, turn: async () => undefined }))
            for (const [tick, act] of before) {
              now += tick
              await perform(act)
            }
            const matching = async (): Promise<Set<string>> => {
              const keys = await Promise.all(ids.map(stored))
              const found = keys.filter(key => isWithin(scope, key) && isListed(key, filter, now))
              return new Set(found.map(({ id }) => id))
            }
            let always = await matching()
            const note = async (): Promise<void> => {
              always = always.intersection(await matching())
            }
            const seen = await walk(scope, filter, limit, async page => {
              for (const [tick, act] of between[page] ?? []) {
                now += tick
                await perform(act)
                await note()
              }
            })
            expect(new Set(seen).size).toBe(seen.length)
            expect([...always].filter(id => !seen.includes(id))).toEqual([])
          },
        ),
        { numRuns: name.includes('file') ? 8 : 40 },
      )
    })

    test('every key has one status, and is listed by it', async () => {
      const active = await insert()
      const disabled = await insert()
      await pair.first.update(disabled, 'all', { enabled: false }, context)
      const expired = await insert('usr_ann', { expiresAt: 1_500 })
      const both = await insert('usr_ann', { expiresAt: 1_500 })
      await pair.first.update(both, 'all', { enabled: false }, context)
      const inGrace = await insert()
      const over = await insert()
      const revoked = await insert('usr_ann', { expiresAt: 1_500 })
      await pair.first.revoke(revoked, 'all', context)
      const successors = [newMaterial(), newMaterial()] as const
      await pair.first.rotate(inGrace, 'all', successors[0], 9_000, context)
      await pair.first.rotate(over, 'all', successors[1], 1_200, context)
      now = 1_500
      const by = async (status: KeyStatus | 'all'): Promise<string[]> =>
        (await walk('all', { status }, 2)).toSorted()
      expect(await by('active')).toEqual([active, ...successors.map(({ id }) => id)].toSorted())
      expect(await by('disabled')).toEqual([disabled])
      expect(await by('expired')).toEqual([expired, both].toSorted())
      expect(await by('rotated')).toEqual([inGrace, over].toSorted())
      expect(await by('revoked')).toEqual([revoked])
      expect(await by('all')).toHaveLength(9)
      expect(await walk('all', {}, 2)).toHaveLength(8)
    })

    test('KEY-06: of another owner nothing is listed, by no filter', async () => {
      await insert('usr_bob', { permissions: ['*:*'], expiresAt: 2_000 })
      for (const filter of [{}, { status: 'all' }, { name: 'test' }, { permission: 'a:read' }] as const) {
        expect(await walk({ ownerId: 'usr_ann' }, filter, 10)).toEqual([])
      }
    })

    test('LOG-01: that the keys of others are read is written, with the filters', async () => {
      await pair.first.noteListing({ owner: '*', status: 'revoked' }, context)
      expect(pair.audit()).toEqual([
        {
          action: 'api_key.listed',
          subjectId: null,
          detail: { filters: { owner: '*', status: 'revoked' } },
          ...context,
        },
      ])
      await pair.first.noteListing({}, bySystem)
      expect(pair.audit()).toHaveLength(2)
    })
  })

import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { Value } from '@sinclair/typebox/value'
import type { AuditContext } from '../lib/audit.ts'
import type { Clock } from '../lib/clock.ts'
import type { Position } from '../lib/cursor.ts'
import { User } from './model.ts'
import type { UserEvent, UserStore } from './store.ts'
import { codeOf, newUser } from './test-store.ts'

/** Two stores over the same users; one and the same where only one can be had. */
export type StorePair = { readonly first: UserStore; readonly second: UserStore; close(): void }

export type OpenStorePair = (clock: Clock, onEvent: (event: UserEvent) => void) => StorePair

const context: AuditContext = { actorId: 'usr_actor', requestId: 'req_1', address: '192.0.2.1' }

/** What every {@link UserStore} promises. Each write goes through one store and is read through the other. */
export const describeUserStore = (name: string, open: OpenStorePair): void =>
  describe(name, () => {
    let pair: StorePair
    let now: number
    let events: UserEvent[]
    let failure: Error | null

    beforeEach(() => {
      now = 1_000
      events = []
      failure = null
      pair = open(
        () => now,
        event => {
          events.push(event)
          if (failure) throw failure
        },
      )
    })
    afterEach(() => pair.close())

    /** What calls failed with, null for each that did not. */
    const race = (calls: Promise<unknown>[]): Promise<unknown[]> => Promise.all(calls.map(codeOf))

    const takeEvents = (): UserEvent[] => events.splice(0)

    const insert = async (email: string, roles: string[] = ['user']): Promise<User> => {
      const user = await pair.first.insert(newUser(email, { roles }), context)
      takeEvents()
      return user
    }

    describe('inserting', () => {
      test('keeps what it was given, with the time and in the active state, and says so', async () => {
        const given = newUser('ann@example.com', { displayName: 'Ann', roles: ['user', 'billing'] })
        const user = await pair.first.insert(given, context)
        expect(user).toEqual({
          id: given.id,
          email: 'ann@example.com',
          displayName: 'Ann',
          roles: ['billing', 'user'],
          status: 'active',
          createdAt: 1_000,
          updatedAt: 1_000,
        })
        expect(await pair.second.findById(user.id)).toEqual(user)
        expect(events).toEqual([{ type: 'user_created', user, context, at: 1_000 }])
      })

      test('takes a user without roles and without a password', async () => {
        const user = await pair.first.insert(
          newUser('ann@example.com', { roles: [], passwordHash: null }),
          context,
        )
        expect(user.roles).toEqual([])
        expect(await pair.second.findCredential('ann@example.com')).toEqual({ user, passwordHash: null })
      })

      test('PWD-13: refuses an address that is taken, and leaves its owner as it was', async () => {
        const ann = await insert('ann@example.com')
        const again = newUser('ann@example.com', { displayName: 'Eve', roles: ['admin'] })
        expect(await codeOf(pair.second.insert(again, context))).toBe('email_taken')
        expect(await pair.first.findByEmail('ann@example.com')).toEqual(ann)
        expect(await pair.first.findById(again.id)).toBeNull()
        expect(events).toEqual([])
      })

      test('PWD-13: of many that ask for one address at once, one gets it', async () => {
        const outcomes = await race(
          Array.from({ length: 10 }, (_, index) =>
            (index % 2 ? pair.first : pair.second).insert(newUser('ann@example.com'), context),
          ),
        )
        expect(outcomes.filter(code => code === null)).toHaveLength(1)
        expect(outcomes.filter(code => code === 'email_taken')).toHaveLength(9)
        expect(events).toHaveLength(1)
      })
    })

    describe('the first admin', () => {
      const admin = (email: string) => newUser(email, { roles: ['admin', 'user'] })

      test('is made where there is none, and not a second time', async () => {
        expect(await pair.second.hasAdmin()).toBe(false)
        const ann = await pair.first.insertFirstAdmin(admin('ann@example.com'), context)
        expect(ann?.roles).toEqual(['admin', 'user'])
        expect(events).toMatchObject([{ type: 'user_created', user: { email: 'ann@example.com' } }])
        expect(await pair.second.hasAdmin()).toBe(true)
        expect(await pair.second.insertFirstAdmin(admin('bob@example.com'), context)).toBeNull()
        expect(await pair.second.findByEmail('bob@example.com')).toBeNull()
        expect(events).toHaveLength(1)
      })

      test('is made among users who are none, under an address that is free', async () => {
        await insert('ann@example.com')
        expect(await pair.first.hasAdmin()).toBe(false)
        expect(await codeOf(pair.first.insertFirstAdmin(admin('ann@example.com'), context))).toBe(
          'email_taken',
        )
        expect(await pair.first.insertFirstAdmin(admin('bob@example.com'), context)).not.toBeNull()
      })

      test('is one only, when many are made at once', async () => {
        const made = await Promise.all(
          Array.from({ length: 10 }, (_, index) =>
            (index % 2 ? pair.first : pair.second).insertFirstAdmin(
              admin(`admin-${index}@example.com`),
              context,
            ),
          ),
        )
        expect(made.filter(user => user !== null)).toHaveLength(1)
      })
    })

    describe('finding', () => {
      test('by id, by address and with the hash; null for nobody', async () => {
        const ann = await insert('ann@example.com')
        await insert('bob@example.com')
        expect(await pair.second.findById(ann.id)).toEqual(ann)
        expect(await pair.second.findByEmail('ann@example.com')).toEqual(ann)
        expect(await pair.second.findCredential('ann@example.com')).toEqual({
          user: ann,
          passwordHash: '$argon2id$secret',
        })
        expect(await pair.second.findById('usr_nobody')).toBeNull()
        expect(await pair.second.findByEmail('nobody@example.com')).toBeNull()
        expect(await pair.second.findCredential('nobody@example.com')).toBeNull()
      })

      test('HTTP-14: what looks like SQL or a wildcard is only text', async () => {
        const ann = await insert("o'hara%@example.com")
        expect(await pair.second.findByEmail("o'hara%@example.com")).toEqual(ann)
        expect(await pair.second.findByEmail('%')).toBeNull()
        expect((await pair.second.list({ limit: 10, after: null, email: '%' })).items).toEqual([])
        expect(await pair.second.findById("' OR 1=1 --")).toBeNull()
      })
    })

    describe('listing', () => {
      const walk = async (limit: number): Promise<string[]> => {
        const found: string[] = []
        let after: Position | null = null
        do {
          const page = await pair.second.list({ limit, after })
          found.push(...page.items.map(({ id }) => id))
          after = page.next
        } while (after)
        return found
      }

      test('goes through everybody once, oldest first, also where times are equal', async () => {
        const made: User[] = []
        for (let index = 0; index < 7; index += 1) {
          if (index % 3 === 0) now += 1
          made.push(await insert(`user-${index}@example.com`))
        }
        const order = made
          .toSorted((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1))
          .map(({ id }) => id)
        for (const limit of [1, 2, 3, 7, 8]) expect(await walk(limit)).toEqual(order)
      })

      test('passes nobody over who is added meanwhile, and stumbles over nobody who is removed', async () => {
        const [ann, bob] = [await insert('ann@example.com'), await insert('bob@example.com')]
        const page = await pair.first.list({ limit: 1, after: null })
        await pair.second.remove(page.items[0]?.id ?? '', context)
        now += 1
        const cid = await insert('cid@example.com')
        const rest = await pair.first.list({ limit: 9, after: page.next })
        expect([...page.items, ...rest.items].map(({ id }) => id)).toEqual(
          [ann, bob]
            .map(({ id }) => id)
            .toSorted()
            .concat(cid.id),
        )
        expect(rest.next).toBeNull()
      })

      test('keeps to one address or one status when asked to', async () => {
        const ann = await insert('ann@example.com')
        const bob = await pair.first.disable((await insert('bob@example.com')).id, context)
        const of = async (filter: { email?: string; status?: 'active' | 'disabled' }) =>
          (await pair.second.list({ limit: 10, after: null, ...filter })).items
        expect(await of({ status: 'active' })).toEqual([ann])
        expect(await of({ status: 'disabled' })).toEqual([bob])
        expect(await of({ email: 'bob@example.com' })).toEqual([bob])
        expect(await of({ email: 'bob@example.com', status: 'active' })).toEqual([])
      })
    })

    describe('updating', () => {
      test('an absent field stays, null clears, a value sets; before and after are told', async () => {
        const ann = await insert('ann@example.com')
        now = 2_000
        const named = await pair.first.update(ann.id, { displayName: 'Ann' }, context)
        expect(named).toEqual({ ...ann, displayName: 'Ann', updatedAt: 2_000 })
        const moved = await pair.first.update(ann.id, { roles: ['support', 'billing'] }, context)
        expect(moved).toEqual({ ...named, roles: ['billing', 'support'] })
        const cleared = await pair.first.update(ann.id, { displayName: null, roles: [] }, context)
        expect(cleared).toEqual({ ...named, displayName: null, roles: [] })
        expect(await pair.second.findById(ann.id)).toEqual(cleared)
        expect(events).toEqual([
          { type: 'user_updated', before: ann, user: named, context, at: 2_000 },
          { type: 'user_updated', before: named, user: moved, context, at: 2_000 },
          { type: 'user_updated', before: moved, user: cleared, context, at: 2_000 },
        ])
      })

      test('what changes nothing writes nothing', async () => {
        const ann = await insert('ann@example.com', ['user', 'billing'])
        now = 2_000
        expect(await pair.first.update(ann.id, {}, context)).toEqual(ann)
        const same = { displayName: null, roles: ['user', 'billing'] }
        expect(await pair.first.update(ann.id, same, context)).toEqual(ann)
        expect(events).toEqual([])
      })

      test('touches nobody else', async () => {
        const [ann, bob] = [await insert('ann@example.com'), await insert('bob@example.com')]
        await pair.first.update(ann.id, { displayName: 'Ann', roles: ['support'] }, context)
        await pair.first.setPassword(ann.id, '$argon2id$other', context)
        await pair.first.remove(ann.id, context)
        expect(await pair.second.findCredential(bob.email)).toEqual({
          user: bob,
          passwordHash: '$argon2id$secret',
        })
      })
    })

    describe('disabling, enabling, removing', () => {
      test('disabling and enabling turn the status, and a second time do nothing', async () => {
        const ann = await insert('ann@example.com')
        now = 2_000
        const disabled = await pair.first.disable(ann.id, context)
        expect(disabled).toEqual({ ...ann, status: 'disabled', updatedAt: 2_000 })
        now = 3_000
        expect(await pair.second.disable(ann.id, context)).toEqual(disabled)
        const enabled = await pair.second.enable(ann.id, context)
        expect(enabled).toEqual({ ...ann, updatedAt: 3_000 })
        now = 4_000
        expect(await pair.first.enable(ann.id, context)).toEqual(enabled)
        expect(events).toEqual([
          { type: 'user_disabled', user: disabled, context, at: 2_000 },
          { type: 'user_enabled', user: enabled, context, at: 3_000 },
        ])
      })

      test('removing returns the last state and frees the address; nothing of it comes back', async () => {
        const ann = await insert('ann@example.com', ['support'])
        expect(await pair.first.remove(ann.id, context)).toEqual(ann)
        expect(events).toEqual([{ type: 'user_deleted', user: ann, context, at: 1_000 }])
        expect(await pair.second.findById(ann.id)).toBeNull()
        const again = await pair.second.insert(newUser(ann.email, { id: ann.id, roles: ['user'] }), context)
        expect(again.roles).toEqual(['user'])
      })
    })

    describe('the password', () => {
      test('is set, and told without the hash', async () => {
        const ann = await insert('ann@example.com')
        now = 2_000
        const user = await pair.first.setPassword(ann.id, '$argon2id$new', context)
        expect(user).toEqual({ ...ann, updatedAt: 2_000 })
        expect(events).toEqual([{ type: 'password_changed', user, context, at: 2_000 }])
        expect((await pair.second.findCredential(ann.email))?.passwordHash).toBe('$argon2id$new')
      })

      test('PWD-06: hashed anew replaces only the hash it was made from, and is no change of the user', async () => {
        const ann = await insert('ann@example.com')
        now = 2_000
        expect(await pair.first.replaceHash(ann.id, '$argon2id$secret', '$argon2id$anew')).toBe(true)
        expect(await pair.second.replaceHash(ann.id, '$argon2id$secret', '$argon2id$stale')).toBe(false)
        expect(await pair.second.findCredential(ann.email)).toEqual({
          user: ann,
          passwordHash: '$argon2id$anew',
        })
        expect(events).toEqual([])
      })

      test('has its hash in no User and no event, in no form', async () => {
        const seen: unknown[] = []
        const see = async (user: Promise<User | null>) => {
          const value = await user
          if (value) expect(Value.Check(User, value)).toBe(true)
          seen.push(value)
        }
        const { id } = await pair.first.insert(newUser('ann@example.com'), context)
        await see(pair.first.insert(newUser('bob@example.com'), context))
        await see(pair.first.insertFirstAdmin(newUser('cid@example.com', { roles: ['admin'] }), context))
        await see(pair.first.findById(id))
        await see(pair.first.findByEmail('ann@example.com'))
        await see(pair.first.update(id, { displayName: 'Ann' }, context))
        await see(pair.first.disable(id, context))
        await see(pair.first.enable(id, context))
        await see(pair.first.setPassword(id, '$argon2id$secret', context))
        seen.push((await pair.first.findCredential('ann@example.com'))?.user)
        seen.push(await pair.first.list({ limit: 10, after: null }))
        await see(pair.first.remove(id, context))
        expect(events.length).toBe(8)
        expect(seen).not.toContain(null)
        expect(JSON.stringify([seen, events])).not.toMatch(/argon2|secret|hash/i)
        expect(Bun.inspect([seen, events], { depth: 9 })).not.toMatch(/argon2|secret|hash/i)
      })
    })

    test('every command on nobody fails as user_not_found, and says nothing', async () => {
      const nobody = 'usr_nobody'
      expect(
        await race([
          pair.first.update(nobody, { displayName: 'Ann' }, context),
          pair.first.disable(nobody, context),
          pair.first.enable(nobody, context),
          pair.first.remove(nobody, context),
          pair.first.setPassword(nobody, '$argon2id$new', context),
        ]),
      ).toEqual(Array.from({ length: 5 }, () => 'user_not_found'))
      expect(await pair.first.replaceHash(nobody, 'a', 'b')).toBe(false)
      expect(events).toEqual([])
    })

    describe('AZ-04: the last active admin', () => {
      const ways: [string, (store: UserStore, id: string) => Promise<unknown>][] = [
        ['deleted', (store, id) => store.remove(id, context)],
        ['disabled', (store, id) => store.disable(id, context)],
        ['demoted', (store, id) => store.update(id, { roles: ['user'] }, context)],
        ['left without roles', (store, id) => store.update(id, { roles: [] }, context)],
      ]

      test.each(ways)('can not be %s', async (_, act) => {
        const ann = await insert('ann@example.com', ['admin', 'user'])
        await insert('bob@example.com')
        expect(await codeOf(act(pair.second, ann.id))).toBe('last_admin')
        expect(await pair.first.findById(ann.id)).toEqual(ann)
        expect(events).toEqual([])
      })

      test.each(ways)('can not be %s though a disabled admin is left', async (_, act) => {
        const ann = await insert('ann@example.com', ['admin'])
        await pair.first.disable((await insert('bob@example.com', ['admin'])).id, context)
        expect(await codeOf(act(pair.second, ann.id))).toBe('last_admin')
      })

      test.each(ways)('can be %s once there is another', async (_, act) => {
        const ann = await insert('ann@example.com', ['admin'])
        await insert('bob@example.com', ['admin'])
        expect(await codeOf(act(pair.second, ann.id))).toBeNull()
        expect(await pair.second.hasAdmin()).toBe(true)
      })

      test.each(ways)('is left when all are %s at once, through both stores', async (_, act) => {
        const admins: User[] = []
        for (let index = 0; index < 8; index += 1) {
          admins.push(await insert(`admin-${index}@example.com`, ['admin']))
        }
        const outcomes = await race(
          admins.map(({ id }, index) => act(index % 2 ? pair.first : pair.second, id)),
        )
        expect(outcomes.filter(code => code === null)).toHaveLength(7)
        expect(outcomes.filter(code => code === 'last_admin')).toHaveLength(1)
        const left = (await pair.first.list({ limit: 100, after: null, status: 'active' })).items
        expect(left.filter(({ roles }) => roles.includes('admin'))).toHaveLength(1)
      })

      test('may get other roles and another name, as long as it stays one', async () => {
        const ann = await insert('ann@example.com', ['admin', 'user'])
        const changes = { displayName: 'Ann', roles: ['admin', 'support'] }
        expect(await pair.first.update(ann.id, changes, context)).toMatchObject(changes)
      })

      test('does not stand in the way of removing an admin who is disabled', async () => {
        await insert('ann@example.com', ['admin'])
        const bob = await insert('bob@example.com', ['admin'])
        await pair.first.disable(bob.id, context)
        expect(await codeOf(pair.first.remove(bob.id, context))).toBeNull()
      })
    })

    test('a change whose event can not be written does not happen', async () => {
      const ann = await insert('ann@example.com', ['user', 'support'])
      const bob = await pair.first.disable((await insert('bob@example.com')).id, context)
      failure = new Error('the audit table is full')
      const reasons = await race([
        pair.first.insert(newUser('cid@example.com'), context),
        pair.first.insertFirstAdmin(newUser('dan@example.com', { roles: ['admin'] }), context),
        pair.first.update(ann.id, { displayName: 'Ann', roles: ['billing'] }, context),
        pair.first.disable(ann.id, context),
        pair.first.enable(bob.id, context),
        pair.first.setPassword(ann.id, '$argon2id$new', context),
        pair.first.remove(ann.id, context),
      ])
      expect(reasons).toEqual(reasons.map(() => failure))
      const { items } = await pair.second.list({ limit: 10, after: null })
      expect(items.toSorted((a, b) => (a.email < b.email ? -1 : 1))).toEqual([ann, bob])
      expect((await pair.second.findCredential(ann.email))?.passwordHash).toBe('$argon2id$secret')

      failure = null
      expect(await codeOf(pair.first.disable(ann.id, context))).toBeNull()
    })
  })

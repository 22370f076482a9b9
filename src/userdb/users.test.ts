import { describe, expect, test } from 'bun:test'
import { Value } from '@sinclair/typebox/value'
import { type AuditContext, bySystem } from '../lib/audit.ts'
import { Failure } from '../lib/failure.ts'
import { readCost } from './argon2-hash.ts'
import { User } from './model.ts'
import { createPasswords, type Passwords } from './password.ts'
import { createSqliteUserStore, type UserEvent } from './store.ts'
import { codeOf, newUser, openUserDatabase } from './test-store.ts'
import { createUsers, type UserInput } from './users.ts'

const password = 'correct horse battery'
const refused = { ok: false, reason: 'invalid_credentials' } as const
const cheap = { memoryCost: 8, timeCost: 1 }

/** The service over a database in memory, with argon2 watched. `onVerify` runs while a password is checked. */
const setUp = ({
  parameters = cheap,
  changed = {},
}: {
  parameters?: typeof cheap
  changed?: Partial<Passwords>
} = {}) => {
  const hashed: string[] = []
  const verified: string[] = []
  const events: UserEvent[] = []
  const during: { verify: (() => Promise<unknown>) | null } = { verify: null }
  const clock = () => 1_700_000_000_000
  const database = openUserDatabase()
  const store = createSqliteUserStore({
    database,
    clock,
    inTransaction: (_, event) => void events.push(event),
  })
  const passwordsWith = (cost: typeof cheap): Passwords =>
    createPasswords({
      concurrency: 4,
      parameters: cost,
      argon2: {
        hash: (text, options) => {
          hashed.push(text)
          return Bun.password.hash(text, options)
        },
        verify: async (text, hash) => {
          verified.push(hash)
          const { verify } = during
          during.verify = null
          await verify?.()
          return Bun.password.verify(text, hash)
        },
      },
    })
  const users = createUsers({ store, passwords: { ...passwordsWith(parameters), ...changed }, clock })
  /** The same users, after a start with another cost. */
  const withCost = (cost: typeof cheap, other: Partial<Passwords> = {}) =>
    createUsers({ store, passwords: { ...passwordsWith(cost), ...other }, clock })
  return { users, withCost, store, hashed, verified, events, during }
}

const ann: UserInput = { email: 'Ann@Example.com', password }

describe('creating a user', () => {
  test('normalises the address, hashes the password and gives the role user', async () => {
    const { users, store, events } = setUp()
    const context: AuditContext = { actorId: 'usr_1', requestId: 'req_1', address: null }
    const user = await users.create(ann, context)
    expect(Value.Check(User, user)).toBe(true)
    expect(user).toMatchObject({ email: 'ann@example.com', displayName: null, roles: ['user'] })
    const { passwordHash } = (await store.findCredential(user.email)) ?? {}
    expect(await Bun.password.verify(password, passwordHash ?? '')).toBe(true)
    expect(events).toMatchObject([{ type: 'user_created', context }])
    expect(JSON.stringify([user, events])).not.toMatch(/argon2|hash|correct/i)
  })

  test('takes a display name and roles', async () => {
    const { users } = setUp()
    const user = await users.create({ ...ann, displayName: 'Ann', roles: ['support'] }, bySystem)
    expect(user).toMatchObject({ displayName: 'Ann', roles: ['support'] })
  })

  test.each<[string, Partial<UserInput>, string, string]>([
    ['an address that is none', { email: 'ann' }, 'email_invalid', 'email'],
    ['an empty display name', { displayName: '' }, 'display_name_invalid', 'displayName'],
    ['a control character', { displayName: 'a\u0007' }, 'display_name_invalid', 'displayName'],
    ['a role in capitals', { roles: ['Admin'] }, 'roles_invalid', 'roles'],
    ['a role twice', { roles: ['user', 'user'] }, 'roles_invalid', 'roles'],
    ['a short password', { password: 'short' }, 'password_unacceptable', 'password'],
    ['the address as password', { password: 'xx ann@example.com' }, 'password_unacceptable', 'password'],
    [
      'the display name as password',
      { displayName: 'horse batter', password },
      'password_unacceptable',
      'password',
    ],
  ])('with %s fails before anything is hashed, and says where', async (_, change, code, field) => {
    const { users, hashed, events } = setUp()
    await expect(users.create({ ...ann, ...change }, bySystem)).rejects.toMatchObject({
      code,
      errors: [{ field, rule: expect.any(String) }],
    })
    expect(hashed).toEqual([])
    expect(events).toEqual([])
  })

  test('PWD-13: a second user can not have the address in another spelling', async () => {
    const { users } = setUp()
    await users.create(ann, bySystem)
    expect(await codeOf(users.create({ ...ann, email: 'ａｎｎ@EXAMPLE.com' }, bySystem))).toBe('email_taken')
  })
})

describe('PWD-12: the first admin', () => {
  test('is made once; after that nothing is judged or hashed', async () => {
    const { users, hashed } = setUp()
    const admin = await users.createFirstAdmin(ann, bySystem)
    expect(admin?.roles).toEqual(['admin', 'user'])
    expect(await users.createFirstAdmin({ email: 'bob@example.com', password: '' }, bySystem)).toBeNull()
    expect(hashed).toHaveLength(1)
  })

  test('has to have a good password too', async () => {
    const { users } = setUp()
    const weak = users.createFirstAdmin({ ...ann, password: 'admin' }, bySystem)
    expect(await codeOf(weak)).toBe('password_unacceptable')
  })

  test('is one, when two are made at once', async () => {
    const { users } = setUp()
    const made = await Promise.all(
      ['ann@example.com', 'bob@example.com'].map(email =>
        users.createFirstAdmin({ email, password }, bySystem),
      ),
    )
    expect(made.filter(user => user !== null)).toHaveLength(1)
  })
})

describe('signing in', () => {
  test('lets in who knows the password, however the address is written', async () => {
    const { users } = setUp()
    const user = await users.create(ann, bySystem)
    for (const email of ['ann@example.com', 'ANN@EXAMPLE.COM', 'ａｎｎ@example.com']) {
      expect(await users.authenticate(email, password)).toEqual({ ok: true, user })
    }
  })

  test('PWD-03: a password typed in another composition is the same password', async () => {
    const { users } = setUp()
    await users.create({ ...ann, password: 'caf\u00E9 au lait for two' }, bySystem)
    expect(await users.authenticate(ann.email, 'cafe\u0301 au lait for two')).toMatchObject({ ok: true })
  })

  test('PWD-08: every refusal is the same answer, for one verification at the current cost', async () => {
    const { users, store, hashed, verified } = setUp()
    await users.create(ann, bySystem)
    await users.disable(
      (await users.create({ ...ann, email: 'disabled@example.com' }, bySystem)).id,
      bySystem,
    )
    await store.insert(newUser('without@example.com', { passwordHash: null }), bySystem)
    await store.insert(
      newUser('greedy@example.com', {
        passwordHash: '$argon2id$v=19$m=4194304,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAA',
      }),
      bySystem,
    )
    await store.insert(newUser('garbage@example.com', { passwordHash: 'garbage' }), bySystem)
    hashed.length = 0

    const refusals: [string, string][] = [
      ['ann@example.com', 'wrong horse battery'],
      ['ann@example.com', ` ${password}`],
      ['ann@example.com', password.toUpperCase()],
      ['disabled@example.com', password],
      ['disabled@example.com', 'wrong horse battery'],
      ['without@example.com', password],
      ['greedy@example.com', password],
      ['garbage@example.com', password],
      ['unknown@example.com', password],
      ['no address', password],
      ['', password],
      ['ann@example.com', ''],
      ['unknown@example.com', ''],
    ]
    for (const [email, attempt] of refusals) {
      verified.length = 0
      expect(await users.authenticate(email, attempt)).toEqual(refused)
      expect(verified.map(readCost)).toEqual([{ ...cheap, parallelism: 1 }])
    }
    expect(hashed).toEqual([])
  })

  test('costs one verification when it succeeds', async () => {
    const { users, verified } = setUp()
    await users.create(ann, bySystem)
    await users.authenticate(ann.email, password)
    expect(verified).toHaveLength(1)
  })

  test('PWD-07: is shed before anything is hashed when too many are in line, known and unknown alike', async () => {
    const shed = async () => {
      throw new Failure('overloaded', { retryAfterSeconds: 1 })
    }
    const { users, withCost } = setUp()
    await users.create(ann, bySystem)
    const busy = withCost(cheap, { verify: shed, verifyAgainstDummy: shed })
    expect(await codeOf(busy.authenticate(ann.email, password))).toBe('overloaded')
    expect(await codeOf(busy.authenticate('unknown@example.com', password))).toBe('overloaded')
  })

  test('a user disabled while the password is checked is refused', async () => {
    const { users, during } = setUp()
    const user = await users.create(ann, bySystem)
    during.verify = () => users.disable(user.id, bySystem)
    expect(await users.authenticate(ann.email, password)).toEqual(refused)
  })

  test('a user removed while the password is checked is refused', async () => {
    const { users, during } = setUp()
    const user = await users.create(ann, bySystem)
    during.verify = () => users.remove(user.id, bySystem)
    expect(await users.authenticate(ann.email, password)).toEqual(refused)
  })

  test('the old password is refused when it is changed while it is checked', async () => {
    const { users, store, during } = setUp()
    const user = await users.create(ann, bySystem)
    const newHash = await Bun.password.hash('another good password', {
      algorithm: 'argon2id',
      ...cheap,
    })
    during.verify = () => store.setPassword(user.id, newHash, bySystem)
    expect(await users.authenticate(ann.email, password)).toEqual(refused)
    expect(await users.authenticate(ann.email, 'another good password')).toMatchObject({ ok: true })
  })
})

describe('PWD-06: when the parameters have changed', () => {
  const dearer = { memoryCost: 16, timeCost: 2 }

  test('a sign-in stores the password hashed anew, once, and says nothing of it', async () => {
    const { users, withCost, store, hashed, events } = setUp()
    const user = await users.create(ann, bySystem)
    const later = withCost(dearer)
    expect(await later.authenticate(ann.email, password)).toEqual({ ok: true, user })
    const stored = (await store.findCredential(user.email))?.passwordHash ?? ''
    expect(readCost(stored)).toEqual({ ...dearer, parallelism: 1 })
    expect(await later.authenticate(ann.email, password)).toEqual({ ok: true, user })
    expect(hashed).toHaveLength(2)
    expect(events.map(({ type }) => type)).toEqual(['user_created'])
  })

  test('a wrong password changes nothing', async () => {
    const { users, withCost, hashed } = setUp()
    await users.create(ann, bySystem)
    await withCost(dearer).authenticate(ann.email, 'wrong horse battery')
    expect(hashed).toHaveLength(1)
  })

  test('two sign-ins at once both get in', async () => {
    const { users, withCost } = setUp()
    const user = await users.create(ann, bySystem)
    const later = withCost(dearer)
    const both = [later.authenticate(ann.email, password), later.authenticate(ann.email, password)]
    expect(await Promise.all(both)).toEqual([
      { ok: true, user },
      { ok: true, user },
    ])
  })

  test('a server too busy to hash anew lets the user in all the same', async () => {
    const { users, withCost } = setUp()
    const user = await users.create(ann, bySystem)
    const busy = withCost(dearer, { hash: async () => Promise.reject(new Failure('overloaded')) })
    expect(await busy.authenticate(ann.email, password)).toEqual({ ok: true, user })
  })

  test('an error that nobody foresaw is not swallowed', async () => {
    const { users, withCost } = setUp()
    await users.create(ann, bySystem)
    const broken = withCost(dearer, { hash: async () => Promise.reject(new Error('broken')) })
    await expect(broken.authenticate(ann.email, password)).rejects.toThrow('broken')
  })
})

describe('managing users', () => {
  test('get and list find them; list takes the address in any spelling', async () => {
    const { users } = setUp()
    const user = await users.create(ann, bySystem)
    expect(await users.get(user.id)).toEqual(user)
    expect(await codeOf(users.get('usr_nobody'))).toBe('user_not_found')
    const page = { items: [user], next: null }
    expect(await users.list({ limit: 10, after: null })).toEqual(page)
    expect(await users.list({ limit: 10, after: null, email: 'ANN@example.com' })).toEqual(page)
    expect(await codeOf(users.list({ limit: 10, after: null, email: 'ann' }))).toBe('email_invalid')
  })

  test('update checks names and roles as create does', async () => {
    const { users } = setUp()
    const { id } = await users.create({ ...ann, displayName: 'Ann' }, bySystem)
    expect(await codeOf(users.update(id, { displayName: '\n' }, bySystem))).toBe('display_name_invalid')
    expect(await codeOf(users.update(id, { roles: ['no role'] }, bySystem))).toBe('roles_invalid')
    expect(await users.update(id, { displayName: null, roles: ['support'] }, bySystem)).toMatchObject({
      displayName: null,
      roles: ['support'],
    })
  })

  test('disable, enable and remove reach the store, with who asked', async () => {
    const { users, events } = setUp()
    const { id } = await users.create(ann, bySystem)
    const context: AuditContext = { actorId: 'usr_1', requestId: 'req_1', address: '192.0.2.1' }
    expect((await users.disable(id, context)).status).toBe('disabled')
    expect((await users.enable(id, context)).status).toBe('active')
    expect((await users.remove(id, context)).id).toBe(id)
    expect(events.slice(1).map(event => [event.type, event.context])).toEqual([
      ['user_disabled', context],
      ['user_enabled', context],
      ['user_deleted', context],
    ])
  })

  test('AZ-04: the last admin stays', async () => {
    const { users } = setUp()
    const admin = await users.createFirstAdmin(ann, bySystem)
    const id = admin?.id ?? ''
    expect(await codeOf(users.remove(id, bySystem))).toBe('last_admin')
    expect(await codeOf(users.disable(id, bySystem))).toBe('last_admin')
    expect(await codeOf(users.update(id, { roles: ['user'] }, bySystem))).toBe('last_admin')
  })
})

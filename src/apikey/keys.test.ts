import type { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, spyOn, test } from 'bun:test'
import fc from 'fast-check'
import { Failure } from '../lib/failure.ts'
import { covers } from '../lib/permission.ts'
import { createKeys, type Keys, lowestCost } from './keys.ts'
import { createSqliteKeyStore, type KeyStore } from './store.ts'
import { codeOf, openKeyDatabase } from './test-store.ts'
import { parseKey, publicId } from './token.ts'

const context = { actorId: 'usr_ann', requestId: null, address: null }
const scope = { ownerId: 'usr_ann' }
const input = { name: 'ci', ownerId: 'usr_ann', permissions: ['a:read'], expiresAt: null }

let database: Database
let store: KeyStore
let keys: Keys
let now: number
beforeEach(() => {
  now = 1_000_000
  database = openKeyDatabase()
  store = createSqliteKeyStore({ database, clock: () => now })
  keys = createKeys({ store, clock: () => now, prefix: 'lk_test', cost: lowestCost, keysPerOwner: 3 })
})
afterEach(() => database.close())

const hashOf = async (id: string): Promise<string> => (await store.findCredential(id))?.secretHash ?? ''
const rows = () => database.query('SELECT count(*) FROM api_keys').values().flat()[0]

describe('a new key', () => {
  test('KEY-01: the text opens what was stored, and what was stored is an argon2id hash of the secret', async () => {
    const { key, text } = await keys.create(input, ['a:read'], context)
    const parts = parseKey(text)
    expect(parts?.prefix).toBe('lk_test')
    expect(publicId(parts?.id ?? '')).toBe(key.id)
    const hash = await hashOf(key.id)
    expect(hash).toStartWith('$argon2id$v=19$m=8,t=1,p=1$')
    expect(await Bun.password.verify(parts?.secret ?? '', hash)).toBe(true)
  })

  test('KEY-05: neither text nor secret is kept anywhere', async () => {
    const { key, text } = await keys.create(input, ['a:read'], context)
    const next = await keys.rotate(key.id, scope, 60, context)
    const dump = JSON.stringify([
      database.query('SELECT * FROM api_keys').all(),
      database.query('SELECT * FROM api_key_audit').all(),
    ])
    for (const shown of [text, next.text]) {
      expect(dump).not.toContain(shown)
      expect(dump).not.toContain(parseKey(shown)?.secret ?? shown)
    }
  })

  test('is recognised by its start and its last four characters, and by who made it for whom', async () => {
    const { key, text } = await keys.create({ ...input, ownerId: 'usr_bob' }, ['a:read'], context)
    expect(text).toStartWith(key.start)
    expect(text).toEndWith(key.last4)
    expect(key).toMatchObject({ ownerId: 'usr_bob', createdBy: 'usr_ann', name: 'ci' })
  })

  test('KEY-12: one above the limit is refused', async () => {
    for (let index = 0; index < 3; index += 1) await keys.create(input, ['a:read'], context)
    expect(await codeOf(keys.create(input, ['a:read'], context))).toBe('api_key_limit_reached')
  })
})

describe('the permissions of a key', () => {
  test('KEY-16: those beyond what the owner may do are refused by index, before a hash is made', async () => {
    const hash = spyOn(Bun.password, 'hash')
    try {
      const attempt = keys.create(
        { ...input, permissions: ['a:read', 'a:write', 'b:read', '*:*'] },
        ['a:*'],
        context,
      )
      const failure = await attempt.catch((error: unknown) => error)
      expect(failure).toBeInstanceOf(Failure)
      expect(failure).toMatchObject({
        code: 'permission_not_grantable',
        errors: [{ field: 'permissions/2' }, { field: 'permissions/3' }],
      })
      expect(hash).not.toHaveBeenCalled()
      expect(rows()).toBe(0)
    } finally {
      hash.mockRestore()
    }
  })

  test('KEY-16: whatever is asked for, a key never gets more than is grantable', async () => {
    const permission = fc
      .tuple(fc.constantFrom('a', 'b', '*'), fc.constantFrom('read', 'write', '*'))
      .map(segments => segments.join(':'))
    const { key } = await keys.create({ ...input, permissions: [] }, [], context)
    await fc.assert(
      fc.asyncProperty(
        fc.array(permission, { maxLength: 3 }),
        fc.array(permission, { maxLength: 3 }),
        async (asked, grantable) => {
          const isWithin = asked.every(needed => grantable.some(granted => covers(granted, needed)))
          const outcome = await codeOf(keys.change(key.id, scope, { permissions: asked }, grantable, context))
          expect(outcome).toBe(isWithin ? null : 'permission_not_grantable')
          if (isWithin) expect((await store.find(key.id, scope)).permissions).toEqual([...new Set(asked)])
        },
      ),
      { numRuns: 100 },
    )
  })

  test('stay as they are when something else is changed, also beyond what is grantable now', async () => {
    const { key } = await keys.create(input, ['a:read'], context)
    const changed = await keys.change(key.id, scope, { name: 'other' }, [], context)
    expect(changed).toMatchObject({ name: 'other', permissions: ['a:read'] })
  })
})

describe('a rotated key', () => {
  test('has a new id and secret, and the old one ends with the time of grace', async () => {
    const old = await keys.create(input, ['a:read'], context)
    const { key, text } = await keys.rotate(old.key.id, scope, 60, context)
    expect(key).toMatchObject({
      name: 'ci',
      permissions: ['a:read'],
      rotatedFrom: old.key.id,
      expiresAt: null,
    })
    expect(parseKey(text)?.secret).not.toBe(parseKey(old.text)?.secret)
    expect(await hashOf(key.id)).not.toBe(await hashOf(old.key.id))
    expect((await store.find(old.key.id, scope)).expiresAt).toBe(now + 60_000)
  })

  test('KEY-10: without grace the old one has ended', async () => {
    const { key } = await keys.create(input, ['a:read'], context)
    await keys.rotate(key.id, scope, 0, context)
    expect((await store.find(key.id, scope)).expiresAt).toBe(now)
  })

  test("KEY-06: a stranger's id costs no hash and makes no key", async () => {
    const { key } = await keys.create(input, ['a:read'], context)
    const hash = spyOn(Bun.password, 'hash')
    try {
      expect(await codeOf(keys.rotate(key.id, { ownerId: 'usr_bob' }, 0, context))).toBe('api_key_not_found')
      expect(hash).not.toHaveBeenCalled()
      expect(rows()).toBe(1)
    } finally {
      hash.mockRestore()
    }
  })
})

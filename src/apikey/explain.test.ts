import type { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { bySystem } from '../lib/audit.ts'
import { type ExplainOptions, type Explanation, explainKey } from './explain.ts'
import type { Presented } from './explain-checks.ts'
import { createExplainRows } from './explain-rows.ts'
import { formatExplanation } from './explain-text.ts'
import { createKeys, type IssuedKey, type Keys, lowestCost, type NewKeyInput } from './keys.ts'
import { createSqliteKeyStore, type KeyStore } from './store.ts'
import { openKeyDatabase, writeUse } from './test-store.ts'
import { formatKey, parseKey } from './token.ts'

const start = Date.UTC(2026, 0, 1)
const iso = (time: number): string => new Date(time).toISOString()
const context = { ...bySystem, actorId: 'usr_ann' }

let now: number
let database: Database
let store: KeyStore
let keys: Keys
beforeEach(() => {
  now = start
  database = openKeyDatabase()
  store = createSqliteKeyStore({ database, clock: () => now })
  keys = createKeys({ store, clock: () => now, prefix: 'lk', cost: lowestCost, keysPerOwner: 100 })
})
afterEach(() => database.close())

const make = (changes: Partial<NewKeyInput> = {}) => {
  const input = { name: 'ci', ownerId: 'usr_ann', permissions: ['notes:*'], expiresAt: null, ...changes }
  return keys.create(input, ['*:*'], context)
}
const follow = ({
  generation = 'g1',
  heardAt = now,
}: {
  generation?: string | null
  heardAt?: number | null
} = {}) =>
  database.run(
    "INSERT INTO feed_position (id, follower, generation, cursor, epoch, heard_at) VALUES (1, 'f', ?, 'c', 1, ?)",
    [generation, heardAt],
  )
const subject = (
  id: string,
  status: 'active' | 'disabled' | 'deleted',
  {
    roles = [],
    scopes = [],
    changedAt = now,
  }: { roles?: string[]; scopes?: string[]; changedAt?: number } = {},
) =>
  database.run(
    'INSERT INTO subjects (id, status, roles, scopes, sequence, epoch, changed_at) VALUES (?, ?, ?, ?, 1, 1, ?)',
    [id, status, JSON.stringify(roles), JSON.stringify(scopes), changedAt],
  )
const explain = (presented: Presented, options: Partial<ExplainOptions> = {}): Promise<Explanation> =>
  explainKey(presented, {
    rows: createExplainRows(database),
    clock: () => now,
    permission: null,
    maxStalenessSeconds: 300,
    staleMode: 'allow',
    ...options,
  })
/** Every check in short: `failed+also` for one that would have failed as well. */
const outcomes = ({ checks }: Explanation): string[] =>
  checks.map(({ outcome, alsoFails }) => `${outcome}${alsoFails ? '+also' : ''}`)
const check = ({ checks }: Explanation, name: string) => checks.find(found => found.check === name)
const passed = (count: number): string[] => Array(count).fill('passed')

describe('a good key', () => {
  test('passes every check, in the order in which a service takes them', async () => {
    const { key, text } = await make()
    const explanation = await explain({ text })
    expect(explanation.checks.map(({ check: name }) => name)).toEqual([
      'feed',
      'format',
      'lookup',
      'secret',
      'revoked',
      'disabled',
      'owner',
      'expired',
      'network',
      'permission',
      'limits',
      'credits',
    ])
    expect(outcomes(explanation)).toEqual([...passed(9), 'not checked', 'not checked', 'passed'])
    expect(explanation).toMatchObject({ accepted: true, status: null, code: null, keyId: key.id })
    expect(check(explanation, 'owner')?.detail).toContain('not followed')
    expect(explanation.feed).toEqual({
      followed: false,
      generation: null,
      heardAt: null,
      secondsSince: null,
      stale: false,
    })
  })

  test('is explained by its name too, without a look at the secret', async () => {
    const { key } = await make()
    expect(outcomes(await explain({ id: key.id }))).toEqual([
      'passed',
      'not checked',
      'passed',
      'not checked',
      ...passed(5),
      'not checked',
      'not checked',
      'passed',
    ])
  })

  test('tells its use and what it was rotated from and into, oldest first', async () => {
    const one = await make()
    now += 1_000
    const two = await keys.rotate(one.key.id, 'all', 3_600, context)
    await writeUse(database, one.key.id, now)
    const three = await keys.rotate(two.key.id, 'all', 3_600, context)
    const explanation = await explain({ text: two.text })
    expect(explanation.lineage.map(({ id }) => id)).toEqual([one.key.id, two.key.id, three.key.id])
    expect(explanation.lineage[0]).toMatchObject({ lastUsedAt: iso(now) })
    expect(explanation.key).toMatchObject({ rotatedFrom: one.key.id, rotatedTo: three.key.id })
  })
})

type Case = [
  what: string,
  act: (made: IssuedKey) => unknown,
  name: string,
  code: string,
  since: number | null,
]
const later = start + 60_000

describe('a key that is refused', () => {
  const cases: Case[] = [
    ['revoked', ({ key }) => store.revoke(key.id, 'all', context), 'revoked', 'api_key_revoked', later],
    [
      'disabled, and changed since',
      async ({ key }) => {
        await store.update(key.id, 'all', { enabled: false }, context)
        now += 5_000
        await store.update(key.id, 'all', { name: 'other' }, context)
      },
      'disabled',
      'api_key_disabled',
      later,
    ],
    [
      'of an owner who is disabled',
      () => {
        follow()
        subject('usr_ann', 'disabled', { changedAt: later - 7_000 })
      },
      'owner',
      'api_key_owner_inactive',
      later - 7_000,
    ],
    [
      'of an owner who is deleted',
      () => {
        follow()
        subject('usr_ann', 'deleted')
      },
      'owner',
      'api_key_revoked',
      later,
    ],
    ['of an owner that nobody told of', () => follow(), 'owner', 'api_key_owner_inactive', null],
    ['before the first snapshot', () => follow({ generation: null }), 'feed', 'unavailable', null],
    [
      'replaced, after its time of grace',
      async ({ key }) => {
        await keys.rotate(key.id, 'all', 1, context)
        now += 1_000
      },
      'expired',
      'api_key_expired',
      later + 1_000,
    ],
  ]
  test.each(cases)(
    '%s: is told by the first check that fails, and since when',
    async (_, act, name, code, since) => {
      const made = await make()
      now = later
      await act(made)
      const explanation = await explain({ text: made.text })
      expect(explanation).toMatchObject({ accepted: false, code })
      expect(check(explanation, name)).toMatchObject({
        outcome: 'failed',
        code,
        since: since === null ? null : iso(since),
      })
      const index = explanation.checks.findIndex(found => found.check === name)
      expect(outcomes(explanation)).toEqual([
        ...passed(index),
        'failed',
        ...Array(11 - index).fill('not reached'),
      ])
    },
  )

  test('tells what else would be wrong with it after the first', async () => {
    const { key, text } = await make({ expiresAt: start + 1, allowedNetworks: ['192.0.2.7/32'] })
    await store.update(key.id, 'all', { enabled: false }, context)
    follow()
    subject('usr_ann', 'disabled')
    now += 60_000
    await store.revoke(key.id, 'all', context)
    const explanation = await explain({ text }, { permission: 'other:read', address: '::1' })
    expect(outcomes(explanation)).toEqual([
      ...passed(4),
      'failed',
      ...Array(5).fill('not reached+also'),
      'not reached',
      'not reached',
    ])
    expect(formatExplanation(explanation)).toContain(`also: expired since ${iso(start + 1)}`)
  })

  test('for another secret: is told of the key whose name it has', async () => {
    const { text } = await make()
    const parts = parseKey(text)
    const other = formatKey({ prefix: 'lk', id: parts?.id ?? '', secret: 'A'.repeat(43) })
    const explanation = await explain({ text: other })
    expect(explanation).toMatchObject({ accepted: false, status: 403, code: 'api_key_invalid' })
    expect(check(explanation, 'secret')?.outcome).toBe('failed')
    const prefixed = formatKey({ prefix: 'lk_test', id: parts?.id ?? '', secret: parts?.secret ?? '' })
    expect(check(await explain({ text: prefixed }), 'lookup')?.outcome).toBe('failed')
  })

  test('for a typo: says that the checksum does not fit, and what the key is that was meant', async () => {
    const { key, text } = await make()
    const typo = text.slice(0, -1) + (text.endsWith('0') ? '1' : '0')
    const explanation = await explain({ text: typo })
    expect(explanation).toMatchObject({ accepted: false, code: 'api_key_invalid', keyId: key.id })
    expect(check(explanation, 'format')?.detail).toContain('checksum')
    expect(explanation.key).toMatchObject({ name: 'ci' })
  })

  test('as unknown: says that there is none', async () => {
    const explanation = await explain({ id: 'key_0123456789abcdef' })
    expect(explanation).toMatchObject({ accepted: false, code: 'api_key_invalid', key: null, lineage: [] })
    expect(check(explanation, 'lookup')?.outcome).toBe('failed')
  })
})

describe('the change feed', () => {
  test.each([
    [300_000, 'allow', true, false],
    [300_000, 'deny', true, false],
    [301_000, 'allow', true, true],
    [301_000, 'deny', false, true],
  ] as const)('unheard for %d ms, with STALE_MODE=%s', async (age, staleMode, accepted, stale) => {
    const { text } = await make()
    follow({ heardAt: now - age })
    subject('usr_ann', 'active', { roles: ['user'] })
    const explanation = await explain({ text }, { staleMode })
    expect(explanation).toMatchObject({
      accepted,
      feed: { stale, secondsSince: age / 1_000, generation: 'g1' },
    })
    if (!accepted) expect(explanation).toMatchObject({ status: 503, code: 'unavailable' })
  })

  test.each([
    ['never', () => null],
    ['in an hour', () => now + 3_600_000],
  ])('that was heard %s counts as stale', async (_, heardAt) => {
    const { text } = await make()
    follow({ heardAt: heardAt() })
    expect((await explain({ text }, { staleMode: 'deny' })).code).toBe('unavailable')
  })
})

describe('allowed networks', () => {
  const networks = ['192.0.2.0/24', '2001:db8::/32']
  const of = (explanation: Explanation) => [explanation.accepted, check(explanation, 'network')?.outcome]

  test('are judged for an address, and told as they are', async () => {
    const { text } = await make({ allowedNetworks: networks })
    for (const address of ['192.0.2.7', '::ffff:192.0.2.7', '2001:DB8::7']) {
      expect(of(await explain({ text }, { address }))).toEqual([true, 'passed'])
    }
    const refused = await explain({ text }, { address: '192.0.3.7' })
    expect(of(refused)).toEqual([false, 'failed'])
    expect(refused).toMatchObject({
      status: 403,
      code: 'api_key_network_not_allowed',
      allowedNetworks: networks,
    })
    expect(formatExplanation(refused)).toContain('allowed networks: 192.0.2.0/24 2001:db8::/32\n')
  })

  test('are not judged without one, which is said', async () => {
    const { key } = await make({ allowedNetworks: networks })
    const explanation = await explain({ id: key.id })
    expect(of(explanation)).toEqual([true, 'not checked'])
    expect(formatExplanation(explanation)).toMatch(/network +not checked +no address was given/)
  })

  test('that a key has not are anywhere', async () => {
    const { text } = await make()
    const explanation = await explain({ text }, { address: '192.0.3.7' })
    expect(of(explanation)).toEqual([true, 'passed'])
    expect(explanation.allowedNetworks).toBeNull()
    expect(formatExplanation(explanation)).toContain('allowed networks: anywhere\n')
  })
})

describe('permissions', () => {
  test('of a service account’s key are those that its scopes allow now', async () => {
    const { text } = await make({ ownerId: 'cli_ci', permissions: ['notes:*', 'other:read'] })
    follow()
    subject('cli_ci', 'active', { scopes: ['notes:read', 'changes:read', 'openid', '*:*'] })
    const explanation = await explain({ text }, { permission: 'notes:read' })
    expect(explanation.permissions).toEqual({
      key: ['notes:*', 'other:read'],
      ownerRoles: null,
      ownerScopes: ['notes:read', 'changes:read', 'openid', '*:*'],
      effective: ['notes:read'],
    })
    expect(explanation.accepted).toBe(true)
    expect(await explain({ text }, { permission: 'other:read' })).toMatchObject({
      accepted: false,
      code: 'insufficient_permission',
    })
  })

  test('of a user’s key are told as far as they are known: the roles mean what the service says', async () => {
    const { text } = await make({ permissions: ['notes:read'] })
    follow()
    subject('usr_ann', 'active', { roles: ['user'] })
    const explanation = await explain({ text }, { permission: 'notes:read' })
    expect(explanation.permissions).toMatchObject({ ownerRoles: ['user'], effective: null })
    expect(check(explanation, 'permission')).toMatchObject({
      outcome: 'passed',
      detail: expect.stringContaining('if the roles'),
    })
    const refused = await explain({ text }, { permission: 'notes:write' })
    expect(refused).toMatchObject({ accepted: false, status: 403, code: 'insufficient_permission' })
  })
})

describe('what is told', () => {
  test('KEY-05: holds neither the key nor its secret nor a hash, however it was given', async () => {
    const { text } = await make()
    const { id = '', secret = '' } = parseKey(text) ?? {}
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.constant(text),
          fc.nat(text.length - 1).map(at => `${text.slice(0, at)}z${text.slice(at + 1)}`),
          fc.nat(text.length).map(at => text.slice(0, at)),
          fc.constant(`Bearer ${text}`),
          fc.constant(formatKey({ prefix: 'lk', id: 'A'.repeat(16), secret })),
          fc.constant(formatKey({ prefix: 'lk', id, secret: `${secret.slice(0, -1)}z` })),
          fc.constant(`${text} ${text}`),
          fc.string({ unit: 'binary', maxLength: 300 }).map(noise => `${noise}${text}${noise}`),
        ),
        async given => {
          const explanation = await explain({ text: given })
          for (const told of [JSON.stringify(explanation), formatExplanation(explanation)]) {
            expect(told).not.toContain(secret)
            expect(told).not.toContain(secret.slice(0, 12))
            expect(told).not.toContain(secret.slice(-12))
            expect(told).not.toContain('argon2')
          }
        },
      ),
      { numRuns: 200 },
    )
  })

  test('of names that others chose moves no terminal', async () => {
    const { key } = await make()
    database.run('UPDATE api_keys SET name = ? WHERE id = ?', [
      '\u001b[2J\u0007\u202etxt\u2028\r\u009b',
      key.id,
    ])
    const told = formatExplanation(await explain({ id: key.id }))
    expect(told).toContain('name: ?[2J??txt???')
    expect(told).not.toMatch(/[^\P{C}\n]/u)
  })
})

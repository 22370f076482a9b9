import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { bySystem } from '../lib/audit.ts'
import { createGated, type Gated } from './test-gate.ts'

let gated: Gated
beforeEach(() => {
  gated = createGated()
})
afterEach(() => gated.end())

const all = 'all'
const read = ['notes:read']

/** What is done to a key while somebody looks at it, and what it comes to for whoever comes after. */
const changes: readonly [
  what: string,
  change: (gated: Gated, id: string) => Promise<unknown>,
  after: object,
][] = [
  ['a revocation', ({ store }, id) => store.revoke(id, all, bySystem), { code: 'api_key_revoked' }],
  [
    'the revocation of all keys of an owner',
    ({ store }) => store.revokeOwned('usr_ann', bySystem),
    { code: 'api_key_revoked' },
  ],
  [
    'a disable',
    ({ store }, id) => store.update(id, all, { enabled: false }, bySystem),
    { code: 'api_key_disabled' },
  ],
  [
    'a change of permissions',
    ({ store }, id) => store.update(id, all, { permissions: read }, bySystem),
    { principal: { permissions: read } },
  ],
  [
    'an expiry that comes at once',
    async ({ store, time }, id) => {
      await store.update(id, all, { expiresAt: time.now + 1 }, bySystem)
      time.now += 1
    },
    { code: 'api_key_expired' },
  ],
  [
    'a rotation without grace',
    ({ keys }, id) => keys.rotate(id, all, 0, bySystem),
    { code: 'api_key_expired' },
  ],
  [
    'a transfer',
    ({ keys }, id) => keys.transfer({ from: 'usr_ann', to: 'usr_eve', keyIds: [id] }, ['notes:*'], bySystem),
    { principal: { ownerId: 'usr_eve' } },
  ],
  [
    'a revocation by another process',
    async ({ elsewhere, catchUp }, id) => {
      await elsewhere.revoke(id, all, bySystem)
      catchUp()
    },
    { code: 'api_key_revoked' },
  ],
]

describe.each(changes)('%s', (_, change, after) => {
  test('counts from the next request on for a key that is in memory', async () => {
    const { headers, id } = await gated.makeKey()
    for (let uses = 0; uses < 3; uses += 1) expect(await gated.judge(headers)).toMatchObject({ ok: true })
    expect(gated.gate.reads).toBe(1)
    await change(gated, id)
    for (let uses = 0; uses < 3; uses += 1) expect(await gated.judge(headers)).toMatchObject(after)
  })

  test('is not undone by a look that has read before it and ends after it', async () => {
    const { gate } = gated
    const { headers, id } = await gated.makeKey()
    gate.close()
    const before = gated.judge(headers)
    await gate.arrived(1)
    await change(gated, id)
    gate.open()
    await before
    expect(await gated.judge(headers)).toMatchObject(after)
    expect(await gated.judge(headers)).toMatchObject(after)
  })

  test('is not missed by a request that comes after it and finds an older look under way', async () => {
    const { gate } = gated
    const { headers, id } = await gated.makeKey()
    gate.close()
    const before = gated.judge(headers)
    await gate.arrived(1)
    await change(gated, id)
    const next = gated.judge(headers)
    await gate.arrived(2)
    gate.letGo(0)
    await before
    gate.letGo(1)
    expect(await next).toMatchObject(after)
    gate.open()
    expect(await gated.judge(headers)).toMatchObject(after)
  })

  test('stays in memory when the older look ends last', async () => {
    const { gate } = gated
    const { headers, id } = await gated.makeKey()
    gate.close()
    const before = gated.judge(headers)
    await gate.arrived(1)
    await change(gated, id)
    const next = gated.judge(headers)
    await gate.arrived(2)
    gate.letGo(1)
    expect(await next).toMatchObject(after)
    gate.open()
    await before
    expect(await gated.judge(headers)).toMatchObject(after)
  })
})

test('a second rotation ends what the first one left in grace, though it is in memory', async () => {
  const { keys } = gated
  const { headers, id } = await gated.makeKey()
  const { key } = await keys.rotate(id, all, 60, bySystem)
  expect(await gated.judge(headers)).toMatchObject({ ok: true })
  await keys.rotate(key.id, all, 60, bySystem)
  expect(await gated.judge(headers)).toMatchObject({ code: 'api_key_expired' })
})

describe('a thousand first uses at once', () => {
  const thousand = <Result>(use: () => Promise<Result>): Promise<Result[]> =>
    Promise.all(Array.from({ length: 1_000 }, use))

  test('of one key cost one look', async () => {
    const { headers } = await gated.makeKey()
    const answers = await thousand(() => gated.judge(headers))
    expect(answers.filter(({ ok }) => ok)).toHaveLength(1_000)
    expect([gated.gate.reads, gated.cache.size]).toEqual([1, 1])
  })

  test('of one token cost one verification', async () => {
    const headers = await gated.makeToken(gated.time.now / 1_000 + 300)
    const answers = await thousand(() => gated.judge(headers))
    expect(answers.filter(({ ok }) => ok)).toHaveLength(1_000)
    expect([gated.verifications, gated.cache.size]).toEqual([1, 1])
  })

  test('of one key that is revoked half way: who came after it shares another look, and is refused', async () => {
    const { gate, store } = gated
    const { headers, id } = await gated.makeKey()
    gate.close()
    const before = thousand(() => gated.judge(headers))
    await gate.arrived(1)
    await store.revoke(id, all, bySystem)
    const after = thousand(() => gated.judge(headers))
    await gate.arrived(2)
    gate.open()
    expect((await before).filter(({ ok }) => ok)).toHaveLength(1_000)
    expect((await after).filter(({ ok }) => ok)).toEqual([])
    expect(gate.reads).toBe(2)
  })

  test('that fail, since the database can not be read, fail together and are not remembered', async () => {
    const { gate, store } = gated
    const { headers } = await gated.makeKey()
    const { findCredential } = store
    let isBroken = true
    store.findCredential = id => {
      if (isBroken) throw new Error('The disk is gone')
      return findCredential(id)
    }
    const answers = await thousand(() => gated.judge(headers).catch((error: unknown) => error))
    expect(new Set(answers)).toEqual(new Set([new Error('The disk is gone')]))
    isBroken = false
    expect(await gated.judge(headers)).toMatchObject({ ok: true })
    expect([gate.reads, gated.cache.size]).toEqual([2, 1])
  })
})

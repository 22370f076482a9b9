import { beforeEach, describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { createHost, type Host, type HostOptions, members, text } from './test-host.ts'

const start = Date.UTC(2026, 0, 1)
const day = 86_400
let now: number
let host: Host

const open = (options: HostOptions = {}): Host => createHost({ ...options, clock: () => now })
beforeEach(() => {
  now = start
  host = open()
})

const make = (body: object = {}, role = 'user') =>
  host.by('ann', 'POST', '/api-keys', { body: { name: 'ci', ...body } }, role)
const patch = (id: string, body: object, role = 'user') =>
  host.by('ann', 'PATCH', `/api-keys/${id}`, { body }, role)
const iso = (seconds: number): string => new Date(start + seconds * 1_000).toISOString()
const errorsOf = (answer: Awaited<ReturnType<typeof make>>) => members(answer).errors

const json = fc.jsonValue({ maxDepth: 3 }).map(value => JSON.parse(JSON.stringify(value)))
const metadata = fc
  .dictionary(fc.string({ maxLength: 12 }), json, { maxKeys: 4 })
  .filter(value => Buffer.byteLength(JSON.stringify(value)) <= 4_096 && !('__proto__' in value))
const limits = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom('burst', 'minute', 'day'),
    limit: fc.integer({ min: 1, max: 10_000 }),
    windowSeconds: fc.integer({ min: 1, max: 2_592_000 }),
  }),
  { selector: ({ name }) => name, minLength: 1, maxLength: 3 },
)

describe('PATCH /api-keys/:id', () => {
  test('absent keeps, null clears, a value sets: whatever was there before', async () => {
    host = open({ ceilings: { limits: [] } })
    const { id } = { id: text(await make(), 'id') }
    const model: Record<string, unknown> = {
      name: 'ci',
      permissions: [],
      enabled: true,
      expiresAt: null,
      metadata: null,
      limits: null,
      allowedNetworks: null,
    }
    const body = fc.record(
      {
        name: fc.constantFrom('one', 'other'),
        permissions: fc.subarray(['notes:read', 'notes:write']),
        enabled: fc.boolean(),
        expiresAt: fc.option(fc.integer({ min: 1, max: 1_000 }).map(days => iso(days * day))),
        metadata: fc.option(metadata),
        limits: fc.option(limits),
        allowedNetworks: fc.option(fc.constantFrom(['192.0.2.0/24'], ['2001:db8::/32', '198.51.100.7/32'])),
      },
      { requiredKeys: [] },
    )
    await fc.assert(
      fc.asyncProperty(body, async given => {
        const answer = await patch(id, given)
        expect(answer.status).toBe(200)
        Object.assign(model, given)
        expect(members(answer)).toMatchObject(model)
        expect(members(await host.by('ann', 'GET', `/api-keys/${id}`))).toEqual(members(answer))
      }),
      { numRuns: 60 },
    )
  })

  test.each([
    ['a name', { name: null }],
    ['permissions', { permissions: null }],
    ['whether it is enabled', { enabled: null }],
  ])('there is no key without %s: null is refused, and changes nothing', async (_, body) => {
    const made = await make({ metadata: { a: 1 } })
    const answer = await patch(text(made, 'id'), { ...body, metadata: { a: 2 } })
    expect(answer.status).toBe(422)
    expect(errorsOf(answer)).toMatchObject([{ field: Object.keys(body)[0] }])
    const { key: _key, ...record } = members(made)
    expect(members(await host.by('ann', 'GET', `/api-keys/${text(made, 'id')}`))).toEqual(record)
  })
})

describe('metadata', () => {
  test('is 4,096 bytes of JSON at most, in UTF-8', async () => {
    const most = { note: 'é'.repeat((4_096 - '{"note":""}'.length) / 2) }
    const fits = await make({ metadata: most })
    expect(members(fits).metadata).toEqual(most)
    const tooLong = await make({ metadata: { note: `${most.note}éé` } })
    expect(tooLong.status).toBe(422)
    expect(errorsOf(tooLong)).toEqual([{ field: 'metadata', rule: 'must be at most 4096 bytes as JSON' }])
  })

  test.each([[[]], ['text'], [7], [true]])('is an object: %j is refused', async value => {
    expect((await make({ metadata: value })).status).toBe(422)
  })

  test('HTTP-04: names that mean something to JavaScript are kept, or refused by name', async () => {
    const send = (metadata: string) =>
      host.by('ann', 'POST', '/api-keys', { raw: `{"name":"ci","metadata":${metadata}}` })
    const kept =
      '{"constructor":{"prototype":1},"toString":2,"a\\nb":3,"nested":{"__proto__":{"isAdmin":true}}}'
    const answer = await send(kept)
    expect(answer.status).toBe(201)
    expect(JSON.stringify(members(answer).metadata)).toBe(kept)
    const refused = await send('{"__proto__":{"isAdmin":true}}')
    expect(refused.status).toBe(422)
    expect(errorsOf(refused)).toMatchObject([{ field: 'metadata/__proto__' }])
  })

  test('goes along with a rotation, like networks and limits', async () => {
    const terms = {
      metadata: { team: 'a' },
      allowedNetworks: ['192.0.2.0/24'],
      limits: [{ name: 'burst', limit: 5, windowSeconds: 10 }],
    }
    const made = await make(terms)
    const next = await host.by('ann', 'POST', `/api-keys/${text(made, 'id')}/rotate`)
    expect(members(next)).toMatchObject(terms)
  })
})

describe('what may be null', () => {
  test.each([
    [{ limits: [{ name: 'a', limit: 0, windowSeconds: 1 }] }, 'limits/0/limit', /greater or equal to 1/],
    [{ limits: [{ name: 'A', limit: 1, windowSeconds: 1 }] }, 'limits/0/name', /match/],
    [{ limits: [{ name: 'a', limit: 1 }] }, 'limits/0/windowSeconds', /required/],
    [{ limits: [{ name: 'a', limit: 1, windowSeconds: 1, more: 1 }] }, 'limits/0/more', /property/],
    [{ limits: 'a' }, 'limits', /or null/],
    [{ allowedNetworks: [7] }, 'allowedNetworks/0', /string/],
    [{ allowedNetworks: [] }, 'allowedNetworks', /array|null/],
  ])('says what is wrong inside of it: %j', async (body, field, rule) => {
    const answer = await make(body)
    expect(answer.status).toBe(422)
    expect(errorsOf(answer)).toMatchObject([{ field, rule: expect.stringMatching(rule) }])
  })
})

describe('ceilings of the service', () => {
  const ceilings = {
    life: { defaultSeconds: day, maxSeconds: 30 * day },
    limits: [{ name: 'most', limit: 100, windowSeconds: 60 }],
    grantable: ['notes:read'],
  } as const
  const defaultLimits = [{ name: 'default', limit: 50, windowSeconds: 60 }]
  beforeEach(() => {
    host = open({ ceilings, defaultLimits })
  })

  test('a key lives as long as the service has it, unless its maker says less or, within the ceiling, more', async () => {
    expect(members(await make()).expiresAt).toBe(iso(day))
    expect(members(await make({ expiresAt: iso(30 * day) })).expiresAt).toBe(iso(30 * day))
    for (const expiresAt of [iso(30 * day + 1), null]) {
      const answer = await make({ expiresAt })
      expect(answer.status).toBe(422)
      expect(members(answer).code).toBe('expiry_invalid')
      expect(errorsOf(answer)).toEqual([
        { field: 'expiresAt', rule: 'must be within 2592000 seconds from when the key was made' },
      ])
    }
  })

  test('the life of a text can not be prolonged beyond the ceiling by changing it later', async () => {
    const id = text(await make({ expiresAt: iso(29 * day) }), 'id')
    now = start + 28 * day * 1_000
    expect((await patch(id, { expiresAt: iso(31 * day) })).status).toBe(422)
    expect((await patch(id, { expiresAt: iso(30 * day) })).status).toBe(200)
  })

  test('limits must hold to the ceiling: as few in as long a time', async () => {
    const limited = (...given: [number, number][]) => ({
      limits: given.map(([limit, windowSeconds], index) => ({ name: `l${index}`, limit, windowSeconds })),
    })
    expect((await make(limited([100, 60]))).status).toBe(201)
    expect((await make(limited([9_000, 1], [99, 3_600]))).status).toBe(201)
    for (const loose of [limited([101, 60]), limited([51, 59]), { limits: [] }]) {
      const answer = await make(loose)
      expect(answer.status).toBe(422)
      expect(errorsOf(answer)).toEqual([{ field: 'limits', rule: 'must hold to 100 in 60 s' }])
    }
  })

  test('of what they may do people can give only what the service lets them', async () => {
    expect((await make({ permissions: ['notes:read'] })).status).toBe(201)
    const answer = await make({ permissions: ['notes:read', 'notes:write'] })
    expect(members(answer).code).toBe('permission_not_grantable')
    expect(errorsOf(answer)).toMatchObject([{ field: 'permissions/1' }])
    const id = text(await make(), 'id')
    expect((await patch(id, { permissions: ['notes:write'] })).status).toBe(422)
  })

  test('without one, the limits of the service are it: nobody takes them off a key of their own', async () => {
    host = open({ defaultLimits })
    const id = text(await make(), 'id')
    for (const limits of [[], [{ name: 'mine', limit: 10_000, windowSeconds: 1 }]]) {
      for (const answer of [await make({ limits }), await patch(id, { limits })]) {
        expect(answer.status).toBe(422)
        expect(errorsOf(answer)).toEqual([{ field: 'limits', rule: 'must hold to 50 in 60 s' }])
      }
    }
    expect((await patch(id, { limits: [{ name: 'mine', limit: 5, windowSeconds: 10 }] })).status).toBe(200)
    expect((await patch(id, { limits: null })).status).toBe(200)
    host = open({ defaultLimits, ceilings: { limits: [] } })
    expect((await make({ limits: [] })).status).toBe(201)
  })

  test('who manages keys is above all of them', async () => {
    const body = {
      permissions: ['notes:*'],
      expiresAt: null,
      limits: [{ name: 'vip', limit: 10_000, windowSeconds: 1 }],
    }
    const answer = await make(body, 'admin')
    expect(answer.status).toBe(201)
    expect(members(answer)).toMatchObject(body)
  })

  test.each([
    [{ ceilings: { life: { maxSeconds: 0 } } }, /whole numbers of seconds above 0/],
    [{ ceilings: { life: { defaultSeconds: 2, maxSeconds: 1 } } }, /not be more than maxSeconds/],
    [{ ceilings: { limits: [{ name: 'most', limit: 1, windowSeconds: 60 }] } }, /defaultLimits must hold/],
    [{ defaultLimits: [{ name: 'Most', limit: 1, windowSeconds: 60 }] }, /defaultLimits must be up to 5/],
    [{ ceilings: { limits: [{ name: 'most', limit: 0, windowSeconds: 60 }] } }, /ceilings.limits must be/],
  ])('options that make no sense stop the app, with the reason: %j', (options, reason) => {
    expect(() => open(options)).toThrow(reason)
  })
})

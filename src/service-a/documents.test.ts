import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { contractOf, expectAnswer, sent } from '../lib/test-http.ts'
import { createTestService, startOfTest, type TestService, userId } from './test-service.ts'

const [ann, bob] = [userId('a'), userId('b')]

let service: TestService
let asAnn: Record<string, string>
let asBob: Record<string, string>
beforeEach(async () => {
  service = createTestService()
  asAnn = await service.as(ann)
  asBob = await service.as(bob)
})
afterEach(() => service.database.close())

const put = (name: string, body: unknown, headers = asAnn) =>
  service.send('PUT', `/documents/${name}`, { headers, raw: JSON.stringify(body) })
const get = (name: string, headers = asAnn) => service.send('GET', `/documents/${name}`, { headers })
const remove = (name: string, headers = asAnn) => service.send('DELETE', `/documents/${name}`, { headers })
const list = (query = '', headers = asAnn) => service.send('GET', `/documents${query}`, { headers })
const missing = contractOf('404 document_not_found')

describe('AZ-01: an owner’s documents are their own', () => {
  test('two owners have each their own under one name, and neither sees the other’s', async () => {
    expectAnswer(await put('notes', { of: 'ann' }), { status: 201 })
    expectAnswer(await get('notes', asBob), missing)
    expectAnswer(await remove('notes', asBob), missing)
    expectAnswer(await put('notes', { of: 'bob' }, asBob), { status: 201 })
    expectAnswer(await put('other', 1, asBob), { status: 201 })
    expect((await get('notes')).json()).toEqual({ of: 'ann' })
    expectAnswer(await list(), { status: 200, has: ['"notes"'], lacks: ['other', 'bob'] })
    expectAnswer(await remove('notes', asBob), { status: 204 })
    expect((await get('notes')).json()).toEqual({ of: 'ann' })
  })

  test('another’s document is answered as one that never was', async () => {
    await put('notes', 1)
    const answers = [await get('notes', asBob), await get('nothing', asBob)]
    const texts = answers.map(({ text, headers }) => text.replace(headers.get('x-request-id') ?? '', ''))
    expect(texts[0]).toBe(texts[1] ?? '')
  })

  test('a key works on the documents of its owner, and an administrator on nobody else’s', async () => {
    await put('notes', { of: 'ann' })
    const key = await service.key(ann, ['documents:read', 'documents:write'])
    expect((await get('notes', key)).json()).toEqual({ of: 'ann' })
    expectAnswer(await put('notes', { of: 'key' }, key), { status: 200 })
    expect((await get('notes')).json()).toEqual({ of: 'key' })
    expectAnswer(await get('notes', await service.key(bob, ['documents:read'])), missing)
    expectAnswer(await get('notes', await service.as(userId('c'), ['admin', 'user'])), missing)
  })
})

describe('AZ-06: who may read and who may write', () => {
  type Row = [who: string, headers: () => Promise<Record<string, string>>, read: string, write: string]
  const [yes, no] = ['200', '403 insufficient_permission']
  const rows: Row[] = [
    ['a user', () => service.as(ann, ['user']), yes, yes],
    ['an administrator', () => service.as(ann, ['admin']), yes, yes],
    ['a token of a role that nobody knows here', () => service.as(ann, ['owner', '__proto__']), no, no],
    ['a token without roles', () => service.as(ann, []), no, no],
    ['a key to read', () => service.key(ann, ['documents:read']), yes, no],
    ['a key to write', () => service.key(ann, ['documents:write']), no, yes],
    ['a key for any action on documents', () => service.key(ann, ['documents:*']), yes, yes],
    ['a key for something else', () => service.key(ann, ['document:read', 'api-keys:*']), no, no],
    ['a key without permissions', () => service.key(ann, []), no, no],
  ]
  test.each(rows)('%s', async (_, headersOf, read, write) => {
    await put('kept', 'as it was')
    const headers = await headersOf()
    const challenge = 'x-api-key' in headers ? null : /^Bearer error="insufficient_scope", scope="documents:/
    for (const [answer, outcome] of [
      [await get('kept', headers), read],
      [await list('', headers), read],
      [await put('kept', 'changed', headers), write],
      [await service.send('PUT', '/documents/kept', { headers, raw: '{' }), '400 malformed_body'],
    ] as const) {
      expectAnswer(answer, {
        ...contractOf(outcome),
        ...(outcome === no ? { headers: { 'www-authenticate': challenge }, lacks: ['as it was'] } : {}),
      })
    }
    expect((await get('kept')).json()).toBe(write === yes ? 'changed' : 'as it was')
    expectAnswer(await remove('kept', headers), contractOf(write === yes ? '204' : no))
    expectAnswer(await get('kept'), write === yes ? missing : { status: 200 })
  })

  test('AUT-03: nobody without a credential', async () => {
    for (const method of ['GET', 'PUT', 'DELETE']) {
      expectAnswer(await service.send(method, '/documents/kept', method === 'PUT' ? { body: 1 } : {}), {
        ...contractOf('400 credential_missing'),
        headers: { 'www-authenticate': 'Bearer, ApiKey header="X-API-Key"' },
      })
    }
  })
})

describe('a document', () => {
  test('is made with 201 and its place, changed with 200, and says when', async () => {
    const made = await put('notes', { a: 1 })
    expectAnswer(made, { status: 201, headers: { location: '/documents/notes', etag: /^"[\w-]{22}"$/ } })
    const at = new Date(startOfTest).toISOString()
    expect(made.json()).toEqual({
      name: 'notes',
      etag: made.headers.get('etag'),
      createdAt: at,
      updatedAt: at,
    })
    service.time.now += 1_000
    const changed = await put('notes', { a: 2 })
    expectAnswer(changed, { status: 200, headers: { location: null } })
    const later = new Date(startOfTest + 1_000).toISOString()
    expect(changed.json()).toEqual({
      name: 'notes',
      etag: changed.headers.get('etag'),
      createdAt: at,
      updatedAt: later,
    })
    expect(changed.headers.get('etag')).not.toBe(made.headers.get('etag'))
    expect((await get('notes')).json()).toEqual({ a: 2 })
    expectAnswer(await remove('notes'), { status: 204 })
    expectAnswer(await get('notes'), missing)
    expectAnswer(await remove('notes'), missing)
  })

  test.each([
    'a',
    '.hidden',
    'a.b',
    '-',
    '_',
    '...',
    'A-Z_0.9',
    '0',
    'x'.repeat(128),
    '__proto__',
    'constructor',
  ])('can have the name %s', async name => {
    expectAnswer(await put(name, { name }), { status: 201, headers: { location: `/documents/${name}` } })
    expect((await get(name)).json()).toEqual({ name })
    expectAnswer(await list(), { status: 200, has: [JSON.stringify(name)] })
    expectAnswer(await remove(name), { status: 204 })
  })

  test.each([
    'x'.repeat(129),
    'a%20b',
    'a%2fb',
    '%2e%2e%2fb',
    'a%00',
    'caf%C3%A9',
    'a:b',
    "a'b",
    '%25',
    'a%0ab',
    '%F0%9F%99%82',
    'a%ffb',
    '%ff',
    '%',
    'a%0',
  ])('HTTP-03: can not have the name %s, which is no fault of the service', async name => {
    expectAnswer(await put(name, 1), contractOf('422 document_name_invalid name'))
    expectAnswer(await get(name), missing)
    expectAnswer(await remove(name), missing)
    expect(service.database.query('SELECT * FROM documents').all()).toEqual([])
  })

  test('HTTP-11: has 64 KiB and not a byte more', async () => {
    const text = (bytes: number) => `"${'x'.repeat(bytes - 2)}"`
    const putRaw = (raw: string) => service.send('PUT', '/documents/big', { headers: asAnn, raw })
    expectAnswer(await putRaw(text(65_536)), { status: 201 })
    expectAnswer(await putRaw(text(65_537)), contractOf('413 body_too_large'))
    expect((await get('big')).text).toBe(text(65_536))
  })

  test.each<[string, Record<string, string>, string]>([
    ['', {}, '400 malformed_body'],
    ['{', {}, '400 malformed_body'],
    ['{} {}', {}, '400 malformed_body'],
    ["{'a':1}", {}, '400 malformed_body'],
    ['NaN', {}, '400 malformed_body'],
    ['[1,]', {}, '400 malformed_body'],
    ['{}', { 'content-type': 'text/plain' }, '415 unsupported_media_type'],
    ['{}', { 'content-type': 'application/json; charset=latin1' }, '415 unsupported_media_type'],
    ['{}', { 'content-encoding': 'br' }, '415 unsupported_media_type'],
  ])('HTTP-05: %j with %o is %s, and nothing is written', async (raw, headers, outcome) => {
    const answer = await service.send('PUT', '/documents/x', { raw, headers: { ...asAnn, ...headers } })
    expectAnswer(answer, contractOf(outcome))
    expectAnswer(await get('x'), missing)
  })

  test('HTTP-05: without a body is no document', async () => {
    expectAnswer(
      await service.send('PUT', '/documents/x', { headers: asAnn }),
      contractOf('400 malformed_body'),
    )
  })
})

describe('HTTP-03: any JSON comes back unharmed', () => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
  test.each([
    'null',
    'false',
    'true',
    '0',
    '-1.5e-7',
    '1e21',
    '9007199254740991',
    '""',
    '" "',
    '[]',
    '{}',
    '[null]',
    nested(32),
    '"\\ud800"',
    '"\\udfff\\ud800"',
    '"\\u0000\\u001b\\u2028"',
    '{"":""}',
    '{"\\ud800":1}',
    '{"__proto__":{"admin":true},"constructor":{"prototype":1},"toString":null}',
    '[{"__proto__":null}]',
    '"2024-01-01T00:00:00.000Z"',
    '{"at":"2024-01-01","n":"123","b":"true"}',
    '"Mon Jan 01 2024 00:00:00 GMT+0000 (UTC)"',
    '"</script><!--"',
    '"\'; DROP TABLE documents; --"',
    '{"$ref":"#","$gt":""}',
    '{"b":1,"a":2,"1":3}',
  ])('%s', async raw => {
    expectAnswer(await service.send('PUT', '/documents/x', { headers: asAnn, ...sent(raw) }), { status: 201 })
    const answer = await get('x')
    expectAnswer(answer, {
      status: 200,
      headers: { 'content-type': /^application\/json\b/, 'cache-control': 'private, no-cache' },
    })
    // As JavaScript writes it: what it reads is the same.
    expect(answer.text).toBe(JSON.stringify(JSON.parse(raw)))
    expect(Object.getPrototypeOf(Object(answer.json()))).not.toHaveProperty('admin')
  })

  test('whatever it is', async () => {
    await fc.assert(
      fc.asyncProperty(fc.json({ maxDepth: 6, stringUnit: 'binary' }), async raw => {
        await service.send('PUT', '/documents/x', { headers: asAnn, raw })
        const expected: unknown = JSON.parse(raw)
        expect((await get('x')).text).toBe(JSON.stringify(expected))
      }),
      { numRuns: 150 },
    )
  })

  test('but no deeper than 32', async () => {
    const answer = await service.send('PUT', '/documents/x', { headers: asAnn, raw: nested(33) })
    expectAnswer(answer, contractOf('400 malformed_body'))
  })

  test('nor with a number that no double holds, which would come back as null', async () => {
    const answer = await service.send('PUT', '/documents/x', { headers: asAnn, raw: '{"n":1e400}' })
    expect(answer.status).toBeWithin(400, 423)
  })
})

import { afterAll, beforeEach, describe, expect, test } from 'bun:test'
import { Elysia } from 'elysia'
import fc from 'fast-check'
import { isDeeperThan, jsonBody } from './body.ts'
import { commonProblems, createProblems } from './problem.ts'
import { exchange, serve } from './test-serve.ts'

const limits = { maxBytes: 1_000, maxDepth: 4 }
let calls = 0
const app = serve(
  new Elysia({ normalize: false })
    .use(createProblems({ table: commonProblems, onUnexpected: () => undefined }))
    .use(jsonBody(limits))
    .post('/', ({ body }) => {
      calls += 1
      return { body: body ?? 'nothing' }
    }),
)
beforeEach(() => {
  calls = 0
})
afterAll(() => app[Symbol.asyncDispose]())

type Sent = { status: number; code: unknown; body: unknown }

const read = async (response: Response): Promise<Sent> => {
  const body: unknown = await response.json()
  const code = typeof body === 'object' && body !== null && 'code' in body ? body.code : null
  return { status: response.status, code, body }
}

const send = async (body: RequestInit['body'], type: string | null = 'application/json'): Promise<Sent> =>
  read(await fetch(app.url, { method: 'POST', body, headers: type === null ? {} : { 'content-type': type } }))

/** The same bytes without a length, in pieces. */
const chunked = (bytes: Uint8Array, size = 7): ReadableStream<Uint8Array> =>
  new ReadableStream({
    start: controller => {
      for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size))
      controller.close()
    },
  })

const refused = (status: number, code: string) => ({ status, code, body: expect.anything() })
const malformed = refused(400, 'malformed_body')
const tooLarge = refused(413, 'body_too_large')
const unsupported = refused(415, 'unsupported_media_type')

const head = (...lines: string[]): string =>
  ['POST / HTTP/1.1', 'Host: localhost', 'Content-Type: application/json', ...lines, '', ''].join('\r\n')

describe('a JSON body', () => {
  test.each([{ a: 1 }, [], 'text', 5, true, null, 'ü🎉'].map(value => [value]))(
    'is read with a length and without one: %j',
    async value => {
      const bytes = Buffer.from(JSON.stringify(value))
      const expected = { status: 200, code: null, body: { body: value ?? 'nothing' } }
      expect(await send(bytes)).toEqual(expected)
      expect(await send(chunked(bytes))).toEqual(expected)
    },
  )

  test('may be absent, whatever type is promised', async () => {
    for (const type of [null, 'application/json', 'text/plain']) {
      expect(await send(null, type)).toEqual({ status: 200, code: null, body: { body: 'nothing' } })
    }
  })

  test.each([
    'application/json',
    'APPLICATION/JSON',
    'Application/Json; Charset=UTF-8',
    'application/json;charset="utf-8"',
    'application/json ; charset=utf-8 ; profile=x',
  ])('comes as %s', async type => {
    expect((await send('{"a":1}', type)).body).toEqual({ body: { a: 1 } })
  })

  test('HTTP-04: keeps names like __proto__ as members of its own', async () => {
    const text = '{"__proto__":{"admin":true},"constructor":{"prototype":1}}'
    expect(JSON.stringify((await send(text)).body)).toBe(`{"body":${text}}`)
    expect('admin' in {}).toBe(false)
  })
})

describe('a body of another kind', () => {
  test.each([
    null,
    'text/plain',
    'text/json',
    'application/jsonx',
    'application/json-patch+json',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/json, text/plain',
    'application/json; charset=utf-16',
    'application/json; charset=iso-8859-1',
    'application/json; charset=utf-8; charset=utf-7',
    'json',
  ])('HTTP-05: %s is refused', async type => {
    expect(await send(Buffer.from('{"a":1}'), type)).toEqual(unsupported)
    expect(calls).toBe(0)
  })

  test.each(['gzip', 'br', 'deflate', 'identity, gzip', 'utf-8', 'x'])(
    'HTTP-05: content encoding %s is refused',
    async encoding => {
      const headers = { 'content-type': 'application/json', 'content-encoding': encoding }
      const response = await fetch(app.url, { method: 'POST', body: Bun.gzipSync('{}'), headers })
      expect(await read(response)).toEqual(unsupported)
      expect(calls).toBe(0)
    },
  )

  test('HTTP-05: the identity encoding is none', async () => {
    const headers = { 'content-type': 'application/json', 'content-encoding': 'Identity' }
    expect((await fetch(app.url, { method: 'POST', body: '{}', headers })).status).toBe(200)
  })
})

describe('a body that is too large', () => {
  const ofLength = (length: number): Buffer => Buffer.from(`"${'x'.repeat(length - 2)}"`)

  test('HTTP-05: is refused from the first byte above the limit on', async () => {
    for (const wrap of [(bytes: Buffer) => bytes, chunked]) {
      expect((await send(wrap(ofLength(1_000)))).status).toBe(200)
      expect(await send(wrap(ofLength(1_001)))).toEqual(tooLarge)
    }
    expect(calls).toBe(2)
  })

  test('HTTP-05: is refused by its length, before any of it is sent', async () => {
    expect((await exchange(app.port, head('Content-Length: 1001'))).status).toBe(413)
    expect((await exchange(app.port, head('Content-Length: 2000000000'))).status).toBe(413)
    expect(calls).toBe(0)
  })

  test('HTTP-05: is refused while its pieces come, without waiting for the last', async () => {
    const piece = `200\r\n${'x'.repeat(512)}\r\n`
    const answer = await exchange(app.port, head('Transfer-Encoding: chunked'), piece, piece)
    expect(answer.status).toBe(413)
    expect(calls).toBe(0)
  })

  test('counts bytes and not characters', async () => {
    expect(await send(Buffer.from(`"${'ü'.repeat(500)}"`))).toEqual(tooLarge)
  })
})

describe('a body that is not JSON', () => {
  test.each([
    '{',
    '{"a":1}}',
    '{a:1}',
    "{'a':1}",
    '[1,]',
    'NaN',
    'undefined',
    '\0',
    '{"a":1}\0',
    ' ',
    '{"a":"\n"}',
  ])('HTTP-05: %j is malformed', async text => {
    expect(await send(text)).toEqual(malformed)
    expect(await send(chunked(Buffer.from(text)))).toEqual(malformed)
    expect(calls).toBe(0)
  })

  test.each([
    ['a lone continuation', [0x80]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
    ['a cut sequence', [0xe2, 0x82]],
    ['beyond Unicode', [0xf5, 0x80, 0x80, 0x80]],
    ['UTF-16', [0xff, 0xfe, 0x22, 0x00]],
  ])('HTTP-03: bad UTF-8 is malformed: %s', async (_, bytes) => {
    expect(await send(new Uint8Array([0x22, ...bytes, 0x22]))).toEqual(malformed)
  })

  test('HTTP-03: no bytes make it fail', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 40 }), async bytes => {
        expect([200, 400]).toContain((await send(Buffer.from(bytes))).status)
      }),
      { numRuns: 150 },
    )
  })

  test('HTTP-10: a length that does not fit is never a second request', async () => {
    const both = head('Content-Length: 4', 'Transfer-Encoding: chunked')
    expect((await exchange(app.port, both, '0\r\n\r\nGET /x HTTP/1.1\r\n')).status).toBe(400)
    expect((await exchange(app.port, head('Content-Length: -1'))).status).toBe(400)
    expect((await exchange(app.port, head('Content-Length: 2', 'Content-Length: 4'), '{}')).status).toBe(400)
    expect(calls).toBe(0)
  })
})

describe('nesting', () => {
  test('HTTP-11: goes as deep as allowed and no deeper', async () => {
    expect((await send('[[[[]]]]')).status).toBe(200)
    expect(await send('[[[[[]]]]]')).toEqual(malformed)
    expect(await send('{"a":{"a":{"a":{"a":{}}}}}')).toEqual(malformed)
    expect((await send('[[],[],[],[[]],{}]')).status).toBe(200)
  })

  test('HTTP-03: 200,000 brackets are told before they are parsed', () => {
    for (const bracket of ['[', '{"a":']) expect(isDeeperThan(bracket.repeat(200_000), 32)).toBe(true)
    expect(isDeeperThan(`"${'['.repeat(200_000)}"`, 32)).toBe(false)
    expect(isDeeperThan('[]'.repeat(100_000), 1)).toBe(false)
  })

  test('brackets in strings and names do not count', async () => {
    expect((await send(JSON.stringify({ '[[[[[[': ']]]]{{{{{{', 'a\\"[[[[[': '\\[[[[[' }))).status).toBe(200)
  })

  test('HTTP-11: is counted as whoever parses it would', () => {
    type Json = string | number | null | Json[] | { [name: string]: Json }
    const text = fc.string({ unit: fc.constantFrom('[', ']', '{', '}', '"', '\\', 'a', '\n'), maxLength: 6 })
    const { value } = fc.letrec<{ value: Json }>(tie => ({
      value: fc.oneof(
        { maxDepth: 8, depthSize: 'large' },
        fc.oneof(text, fc.integer(), fc.constant(null)),
        fc.array(tie('value'), { maxLength: 3 }),
        fc.dictionary(text, tie('value'), { maxKeys: 3 }),
      ),
    }))
    const depthOf = (given: Json): number =>
      typeof given === 'object' && given !== null ? 1 + Math.max(0, ...Object.values(given).map(depthOf)) : 0
    fc.assert(
      fc.property(value, fc.nat(9), fc.constantFrom(undefined, 2), (given, depth, indent) => {
        expect(isDeeperThan(JSON.stringify(given, null, indent), depth)).toBe(depthOf(given) > depth)
      }),
      { numRuns: 500 },
    )
  })
})

import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { contractOf, expectAnswer } from '../lib/test-http.ts'
import { createTestService, type TestService, userId } from './test-service.ts'

const [ann, bob] = [userId('a'), userId('b')]

let service: TestService
let asAnn: Record<string, string>
beforeEach(async () => {
  service = createTestService()
  asAnn = await service.as(ann)
})
afterEach(() => service.database.close())

const send = (method: string, name: string, headers: Record<string, string> = {}, body?: unknown) =>
  service.send(method, `/documents/${name}`, { headers: { ...asAnn, ...headers }, body })
const put = (name: string, body: unknown, headers: Record<string, string> = {}) =>
  send('PUT', name, headers, body)

/** The entity tag of a document that is there now. */
const write = async (name: string, body: unknown): Promise<string> =>
  (await put(name, body)).headers.get('etag') ?? ''

describe('RFC 9110 section 13: conditions', () => {
  const other = '"AAAAAAAAAAAAAAAAAAAAAA"'
  /** TAG stands for the entity tag that the document has. */
  type Row = [condition: string, value: string, put: string, remove: string]
  const there: Row[] = [
    ['if-match', 'TAG', '200', '204'],
    ['if-match', '*', '200', '204'],
    ['if-match', ` ${other} , TAG `, '200', '204'],
    ['if-match', other, '412', '412'],
    ['if-match', 'W/TAG', '412', '412'],
    ['if-match', 'UNQUOTED', '412', '412'],
    ['if-match', '', '412', '412'],
    ['if-match', '"*"', '412', '412'],
    ['if-none-match', '*', '412', '412'],
    ['if-none-match', 'TAG', '412', '412'],
    ['if-none-match', `${other},TAG`, '412', '412'],
    ['if-none-match', other, '200', '204'],
    ['if-none-match', 'UNQUOTED', '200', '204'],
  ]
  const outcome = (status: string) => contractOf(status === '412' ? '412 precondition_failed' : status)

  test.each(there)(
    '%s: %s of a document that is there: PUT %s, DELETE %s',
    async (condition, value, onPut, onDelete) => {
      for (const [method, status] of [
        ['PUT', onPut],
        ['DELETE', onDelete],
      ] as const) {
        const tag = await write('notes', 'as it was')
        const given = value.replace('TAG', tag).replace('UNQUOTED', tag.replaceAll('"', ''))
        const answer = await send(
          method,
          'notes',
          { [condition]: given },
          method === 'PUT' ? 'changed' : undefined,
        )
        expectAnswer(answer, outcome(status))
        const left = await send('GET', 'notes')
        if (status === '412') expect(left.json()).toBe('as it was')
        else expect(left.text).toBe(method === 'PUT' ? '"changed"' : left.text)
        if (status === '204') expect(left.status).toBe(404)
      }
    },
  )

  test.each([
    ['if-none-match', '*', '201'],
    ['if-none-match', other, '201'],
    ['if-match', '*', '412'],
    ['if-match', other, '412'],
  ])(
    '%s: %s of one that is not: PUT %s, and DELETE is 404 as without it',
    async (condition, value, status) => {
      expectAnswer(
        await send('DELETE', 'notes', { [condition]: value }),
        contractOf('404 document_not_found'),
      )
      expectAnswer(await put('notes', 1, { [condition]: value }), outcome(status))
      expect((await send('GET', 'notes')).status).toBe(status === '201' ? 200 : 404)
    },
  )

  test('both must hold', async () => {
    const tag = await write('notes', 1)
    expectAnswer(await put('notes', 2, { 'if-match': tag, 'if-none-match': '*' }), outcome('412'))
    expectAnswer(await put('notes', 2, { 'if-match': tag, 'if-none-match': other }), outcome('200'))
  })

  test('GET is 304 without a body when the caller has it already, and tells tag and freshness all the same', async () => {
    const tag = await write('notes', { a: 1 })
    for (const value of [tag, `${other}, ${tag}`, '*']) {
      const answer = await send('GET', 'notes', { 'if-none-match': value })
      expectAnswer(answer, { status: 304, headers: { etag: tag, 'cache-control': 'private, no-cache' } })
      expect(answer.text).toBe('')
    }
    for (const value of [other, '', tag.replaceAll('"', '')]) {
      expectAnswer(await send('GET', 'notes', { 'if-none-match': value }), {
        status: 200,
        headers: { etag: tag },
      })
    }
    await write('notes', { a: 2 })
    expectAnswer(await send('GET', 'notes', { 'if-none-match': tag }), { status: 200, has: ['{"a":2}'] })
  })

  test('304 is told to nobody who may not read, and for no document of another', async () => {
    const tag = await write('notes', 1)
    const key = await service.key(ann, ['documents:write'])
    const ask = (headers: Record<string, string>) =>
      service.send('GET', '/documents/notes', { headers: { 'if-none-match': tag, ...headers } })
    expectAnswer(await ask(key), contractOf('403 insufficient_permission'))
    expectAnswer(await ask(await service.as(bob)), contractOf('404 document_not_found'))
    expectAnswer(await ask({}), contractOf('400 credential_missing'))
  })

  test('one tag stands for one content', async () => {
    const tags = [
      await write('a', { x: 1 }),
      await write('a', { x: 2 }),
      await write('a', { x: 1 }),
      await write('b', { x: 1 }),
    ]
    expect(tags[0]).toBe(tags[2] ?? '')
    expect(tags[0]).not.toBe(tags[1] ?? '')
    expect(tags[0]).toBe(tags[3] ?? '')
  })

  test('of 20 who change the same state at once, one does', async () => {
    const tag = await write('notes', 'start')
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => put('notes', index, { 'if-match': tag })),
    )
    const statuses = answers.map(({ status }) => status).toSorted()
    expect(statuses).toEqual([200, ...Array<number>(19).fill(412)])
  })

  test('of 20 who make the same document at once, one does', async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => put('notes', index, { 'if-none-match': '*' })),
    )
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1)
    expect(answers.filter(({ status }) => status === 412)).toHaveLength(19)
  })

  // RFC 9110 section 13.1.2: proxies that compress make tags weak, and readers send them back so.
  test('If-None-Match compares weakly', async () => {
    const tag = await write('notes', 1)
    expect((await send('GET', 'notes', { 'if-none-match': `W/${tag}` })).status).toBe(304)
    expect((await put('notes', 2, { 'if-none-match': `W/${tag}` })).status).toBe(412)
  })
})

const fill = (owner: string, count: number): void => {
  const insert = service.database.query("INSERT INTO documents VALUES (?, ?, '1', 'x', 1, 1)")
  for (let index = 0; index < count; index += 1) insert.run(owner, `row-${String(index).padStart(4, '0')}`)
}

describe('HTTP-11: 1,000 documents an owner', () => {
  test('and no more, until one goes; those that are there can be changed', async () => {
    fill(ann, 999)
    expectAnswer(await put('last', 1), { status: 201 })
    expectAnswer(await put('beyond', 1), contractOf('409 document_limit_reached'))
    expectAnswer(await put('last', 2), { status: 200 })
    expectAnswer(await service.send('PUT', '/documents/first', { headers: await service.as(bob), body: 1 }), {
      status: 201,
    })
    expectAnswer(await send('DELETE', 'row-0000'), { status: 204 })
    expectAnswer(await put('beyond', 1), { status: 201 })
  })

  test('also when 50 are made at once', async () => {
    fill(ann, 990)
    const answers = await Promise.all(Array.from({ length: 50 }, (_, index) => put(`new-${index}`, index)))
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(10)
    expect(answers.filter(({ status }) => status === 409)).toHaveLength(40)
  })
})

const List = Type.Object({
  items: Type.Array(Type.Object({ name: Type.String(), etag: Type.String() })),
  nextCursor: Type.Union([Type.String(), Type.Null()]),
})

describe('listing', () => {
  const page = async (query = ''): Promise<Static<typeof List>> => {
    const answer = await service.send('GET', `/documents${query}`, { headers: asAnn })
    expectAnswer(answer, { status: 200, lacks: ['owner', 'content'] })
    return Value.Parse(List, answer.json())
  }
  const walk = async (limit: number, between: () => Promise<unknown> = async () => {}): Promise<string[]> => {
    const names: string[] = []
    let { items, nextCursor } = await page(`?limit=${limit}`)
    names.push(...items.map(({ name }) => name))
    while (nextCursor !== null) {
      await between()
      ;({ items, nextCursor } = await page(`?limit=${limit}&cursor=${encodeURIComponent(nextCursor)}`))
      names.push(...items.map(({ name }) => name))
    }
    return names
  }

  test('goes by name, each once, in pages of any size', async () => {
    const names = ['b', 'a', 'B', '_', '-', '.a', '10', '9', 'a.b', 'a-b', 'ab', 'x'.repeat(128)]
    for (const name of names) await put(name, 1)
    await service.send('PUT', '/documents/bobs', { headers: await service.as(bob), body: 1 })
    for (const limit of [1, 2, 5, 12, 200]) expect(await walk(limit)).toEqual(names.toSorted())
    expect((await page()).items[0]).toEqual({
      name: '-',
      etag: (await send('GET', '-')).headers.get('etag') ?? '',
    })
  })

  test('passes over no document that stays, while others are written and deleted', async () => {
    fill(ann, 20)
    let turn = 0
    const seen = await walk(3, async () => {
      turn += 1
      await put(`row-00${turn}x`, turn)
      await send('DELETE', `row-000${turn}`)
      await put(`aaa-${turn}`, turn)
    })
    expect(new Set(seen).size).toBe(seen.length)
    const staying = Array.from({ length: 10 }, (_, index) => `row-00${index + 10}`)
    expect(seen).toEqual(expect.arrayContaining(staying))
    expect(seen).toEqual(seen.toSorted())
  })

  test('has 50 a page when nobody says how many, and 200 at most', async () => {
    fill(ann, 250)
    expect((await page()).items).toHaveLength(50)
    expect((await page('?limit=200')).items).toHaveLength(200)
    expect(await walk(200)).toHaveLength(250)
    expect(await page(`?cursor=${Buffer.from('zzz').toString('base64url')}`)).toEqual({
      items: [],
      nextCursor: null,
    })
  })

  test.each([
    ['limit=0', '422 invalid_request'],
    ['limit=201', '422 invalid_request'],
    ['limit=x', '422 invalid_request limit'],
    ['cursor=', '422 cursor_invalid cursor'],
    ['cursor=a%20b', '422 cursor_invalid cursor'],
    ['cursor=%27%20OR%201--', '422 cursor_invalid cursor'],
    [`cursor=${'x'.repeat(257)}`, '422 invalid_request cursor'],
    [`owner=${bob}`, '422 invalid_request owner'],
  ])('with %s is refused by name', async (query, outcome) => {
    const answer = await service.send('GET', `/documents?${query}`, { headers: asAnn })
    expectAnswer(answer, { ...contractOf(outcome), lacks: [bob, 'xxx', 'OR 1'] })
  })

  test('of nobody’s documents is empty', async () => {
    expect(await page()).toEqual({ items: [], nextCursor: null })
  })
})

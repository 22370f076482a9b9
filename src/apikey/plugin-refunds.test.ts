import { afterAll, beforeAll, expect, test } from 'bun:test'
import { connect } from 'node:net'
import { Elysia, status, t } from 'elysia'
import { bySystem } from '../lib/audit.ts'
import { type Served, serve } from '../lib/test-serve.ts'
import { internalsOf } from './internals.ts'
import { problems } from './problems.ts'
import { testAuth } from './testing.ts'

/** What a request costs that fails in one way or another, on a server that listens. */

const cost = 5
const granted = 100

const { auth } = testAuth({ roles: { user: ['notes:read'] }, defaultLimits: [] })
const { keys, store, ledger } = internalsOf(auth)
const costly = { permission: 'notes:read', cost } as const

/** What handlers did, for tests that can't see an answer. */
const ended: string[] = []
const later = async (): Promise<void> => {
  await Bun.sleep(20)
}
const streamOf = (failsAfter: number): ReadableStream<string> => {
  let chunks = 0
  return new ReadableStream({
    pull: async controller => {
      await Bun.sleep(5)
      if (chunks === failsAfter) controller.error(new Error('broken'))
      else controller.enqueue('a part\n')
      chunks += 1
    },
  })
}

const app = new Elysia()
  .use(problems({ onUnexpected: () => undefined }))
  .use(auth)
  .get('/fine', () => 'fine', { ...costly })
  .get(
    '/throws',
    () => {
      throw new Error('broken')
    },
    { ...costly },
  )
  .get(
    '/throws-later',
    async () => {
      await later()
      throw new Error('broken')
    },
    { ...costly },
  )
  .get('/returns-503', () => status(503, 'no'), { ...costly })
  .get('/response-500', () => new Response('no', { status: 500 }), { ...costly })
  .get(
    '/sets-502',
    ({ set }) => {
      set.status = 502
      return 'no'
    },
    { ...costly },
  )
  .get('/not-as-said', () => JSON.parse('{"a":"text"}'), {
    ...costly,
    response: { 200: t.Object({ a: t.Integer() }) },
  })
  .get('/fails-after', () => 'fine', {
    ...costly,
    afterHandle: () => {
      throw new Error('broken')
    },
  })
  .get('/returns-409', () => status(409, 'no'), { ...costly })
  .get('/response-404', () => new Response('no', { status: 404 }), { ...costly })
  .get('/stream', () => new Response(streamOf(-1).pipeThrough(new TextEncoderStream())), { ...costly })
  .get('/stream-fails', () => new Response(streamOf(2).pipeThrough(new TextEncoderStream())), { ...costly })
  .get(
    '/parts-fail',
    async function* () {
      yield 'a part\n'
      await later()
      throw new Error('broken')
    },
    { ...costly },
  )
  .get(
    '/slow',
    async () => {
      await later()
      ended.push('slow')
      return 'fine'
    },
    { ...costly },
  )
  .get(
    '/slow-fails',
    async () => {
      await later()
      ended.push('slow-fails')
      throw new Error('broken')
    },
    { ...costly },
  )

let server: Served
beforeAll(() => {
  server = serve(app)
})
afterAll(() => server[Symbol.asyncDispose]())

const makeKey = async (): Promise<{ id: string; text: string }> => {
  const permissions = ['notes:read']
  const terms = { name: 'test', ownerId: 'usr_test', permissions, expiresAt: null }
  const { key, text } = await keys().create(
    { ...terms, credits: { remaining: granted, refill: null } },
    permissions,
    bySystem,
  )
  return { id: key.id, text }
}

/** The balance once all is written that there is to write. */
const balanceOf = async (id: string): Promise<unknown> => {
  await Bun.sleep(5)
  await ledger().flush()
  return (await store().credits(id, 'all'))?.remaining
}

/** The status, or 0 where the answer broke off. */
const ask = async (path: string, text: string): Promise<number> => {
  const response = await fetch(server.url + path, { headers: { 'x-api-key': text } })
  const read = await response.text().catch(() => null)
  return read === null ? 0 : response.status
}

test.each([
  ['/throws', 500],
  ['/throws-later', 500],
  ['/returns-503', 503],
  ['/response-500', 500],
  ['/sets-502', 502],
  ['/not-as-said', 500],
  ['/fails-after', 500],
])('%s: %p, and the credits are given back, once', async (path, expected) => {
  const { id, text } = await makeKey()
  expect(await ask(path, text)).toBe(expected)
  expect(await balanceOf(id)).toBe(granted)
  expect(await ask('/fine', text)).toBe(200)
  expect(await balanceOf(id)).toBe(granted - cost)
  // And so they are of many at once, among others that are not.
  const paths = Array.from({ length: 16 }, (_, index) => (index % 4 === 0 ? '/fine' : path))
  await Promise.all(paths.map(each => ask(each, text)))
  expect(await balanceOf(id)).toBe(granted - 5 * cost)
})

test.each([
  ['/returns-409', 409],
  ['/response-404', 404],
])('%s: %p, and is paid', async (path, expected) => {
  const { id, text } = await makeKey()
  expect(await ask(path, text)).toBe(expected)
  expect(await balanceOf(id)).toBe(granted - cost)
})

test.each(['/stream-fails', '/parts-fail'])(
  '%s breaks off after a 200 has begun, and is paid',
  async path => {
    const { id, text } = await makeKey()
    await ask(path, text)
    await Bun.sleep(40)
    expect(await balanceOf(id)).toBe(granted - cost)
  },
)

/** Sends a request and goes away: at once, or when the first of the answer is there. */
const leave = (path: string, text: string, when: 'at once' | 'in its midst'): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect(server.port, '127.0.0.1')
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: ${text}\r\n\r\n`, () => {
      if (when === 'at once') setTimeout(() => socket.destroy(), 10)
    })
    if (when === 'in its midst') socket.on('data', () => socket.destroy())
    socket.on('close', () => resolve())
    socket.on('error', reject)
  })
const handled = async (name: string): Promise<void> => {
  for (const start = Date.now(); !ended.includes(name) && Date.now() - start < 3_000; ) await Bun.sleep(5)
  expect(ended.splice(0)).toEqual([name])
}

test('who goes away before the answer has paid for what was done', async () => {
  const { id, text } = await makeKey()
  await leave('/slow', text, 'at once')
  await handled('slow')
  await Bun.sleep(20)
  expect(await balanceOf(id)).toBe(granted - cost)
})

test('who goes away before an answer that fails gets the credits back, once', async () => {
  const { id, text } = await makeKey()
  await leave('/slow-fails', text, 'at once')
  await handled('slow-fails')
  await Bun.sleep(20)
  expect(await balanceOf(id)).toBe(granted)
})

test('who goes away in the midst of a stream has paid for it', async () => {
  const { id, text } = await makeKey()
  await leave('/stream', text, 'in its midst')
  await Bun.sleep(20)
  expect(await balanceOf(id)).toBe(granted - cost)
})

import { afterEach, describe, expect, test } from 'bun:test'
import { Elysia } from 'elysia'
import { addressOf } from '../lib/request.ts'
import { exchange, type Served, serve } from '../lib/test-serve.ts'
import { internalsOf } from './internals.ts'
import { createKeys, lowestCost } from './keys.ts'
import { apikey } from './plugin.ts'
import { problems } from './problems.ts'
import { shared } from './test-plugin.ts'

let served: Served | null = null
afterEach(async () => {
  await served?.[Symbol.asyncDispose]()
  served = null
})

/** An app of somebody else's that trusts these proxies, and tells whoever is let in where they come from. */
const start = async (trustedProxies?: string[], hostname?: string) => {
  const log = { info: () => undefined, warn: () => undefined }
  const auth = apikey({
    ...shared,
    database: ':memory:',
    log,
    ...(trustedProxies === undefined ? {} : { trustedProxies }),
  })
  const app = new Elysia()
    .use(problems({ onUnexpected: () => undefined }))
    .use(auth)
    .get('/notes', ({ request, server }) => addressOf(request, server) ?? 'nowhere', { permission: 'any' })
  served = serve(app, hostname)
  const { store, clock } = internalsOf(auth)
  const { key, text } = await createKeys({
    store: store(),
    clock,
    prefix: 'lk',
    cost: lowestCost,
    keysPerOwner: 10,
  }).create({ name: 'ci', ownerId: 'usr_ann', permissions: [], expiresAt: null }, [], {
    actorId: 'usr_ann',
    address: null,
    requestId: null,
  })
  return { auth, app, id: key.id, text, ...served }
}

const forged = { forwarded: 'for=192.0.2.1', 'x-real-ip': '192.0.2.1' }

describe('AUT-11: in a host app, the address of a caller', () => {
  test('is the peer, whatever any header says, unless the host names proxies', async () => {
    const { url, text } = await start()
    for (const forwardedFor of ['192.0.2.1', '127.0.0.1, 192.0.2.1', '::1']) {
      const headers = { 'x-api-key': text, 'x-forwarded-for': forwardedFor, ...forged }
      expect(await (await fetch(`${url}/notes`, { headers })).text()).toBe('127.0.0.1')
    }
  })

  test('is what a proxy that the host names says, also in what is written of the key', async () => {
    const { auth, url, text, id } = await start(['127.0.0.0/8'])
    for (const forwardedFor of ['203.0.113.9', '192.0.2.1, 203.0.113.9', 'x, 203.0.113.9, 127.0.0.5']) {
      const headers = { 'x-api-key': text, 'x-forwarded-for': forwardedFor, ...forged }
      expect(await (await fetch(`${url}/notes`, { headers })).text()).toBe('203.0.113.9')
    }
    await internalsOf(auth).usage().flush()
    expect(await internalsOf(auth).store().find(id, 'all')).toMatchObject({ lastUsedAddress: '203.0.113.9' })
  })

  test('is found in all lines of the header together', async () => {
    const { port, text } = await start(['127.0.0.1', '10.0.0.0/8'])
    const lines = ['192.0.2.1', '203.0.113.9 ,\t10.0.0.2', '10.0.0.3'].map(line => `X-Forwarded-For: ${line}`)
    const head = ['GET /notes HTTP/1.1', 'Host: notes.test', `X-Api-Key: ${text}`, ...lines]
    expect((await exchange(port, `${head.join('\r\n')}\r\n\r\n`)).body).toBe('203.0.113.9')
  })

  test.each([
    ['of IPv6', '::1', '[::1]', ['::1'], '::1'],
    ['of IPv4 at a socket for both', '::', '127.0.0.1', ['127.0.0.1'], '127.0.0.1'],
    ['of IPv6 at a socket for both', '::', '[::1]', ['::/16'], '::1'],
  ])('%s: is spelled one way, and as a proxy is known', async (_, hostname, host, proxies, peer) => {
    for (const [trusted, expected] of [
      [undefined, peer],
      [['192.0.2.1'], peer],
      [proxies, '2001:db8::9'],
    ] as const) {
      const { port, text, [Symbol.asyncDispose]: stop } = await start(trusted?.slice(), hostname)
      const headers = { 'x-api-key': text, 'x-forwarded-for': '2001:DB8:0::9' }
      expect(await (await fetch(`http://${host}:${port}/notes`, { headers })).text()).toBe(expected)
      await stop()
      served = null
    }
  })

  test('is none where there is no connection, whatever any header says', async () => {
    const { app, text } = await start(['127.0.0.1'])
    await served?.[Symbol.asyncDispose]()
    const headers = { 'x-api-key': text, 'x-forwarded-for': '127.0.0.1' }
    expect(app.server).toBeNull()
    const answer = await app.handle(new Request('http://localhost/notes', { headers }))
    expect(await answer.text()).toBe('nowhere')
  })

  test('stops the start where a proxy is no network', () => {
    for (const proxy of ['proxy.example', '10.0.0.1/8', '0.0.0.0/0', '']) {
      expect(() => apikey({ ...shared, database: ':memory:', trustedProxies: ['::1', proxy] })).toThrow(
        /^trustedProxies\[1\] must /,
      )
    }
  })
})

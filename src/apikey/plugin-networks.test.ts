import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { Elysia } from 'elysia'
import { bySystem } from '../lib/audit.ts'
import { type Served, serve } from '../lib/test-serve.ts'
import { internalsOf } from './internals.ts'
import type { KeyChanges } from './key-record.ts'
import { apikey } from './plugin.ts'
import type { Principal } from './principal.ts'
import { problems } from './problems.ts'
import { bearer, shared } from './test-plugin.ts'

const office = '203.0.113.9'
const elsewhere = '198.51.100.9'
const log = { info: () => undefined, warn: () => undefined }

let ran: Principal[]
let auth: ReturnType<typeof createAuth>
let served: Served | null = null
let app: ReturnType<typeof createApp>

const createAuth = (options: { trustedProxies?: string[]; cacheEntries?: number } = {}) =>
  apikey({ ...shared, database: ':memory:', log, trustedProxies: ['127.0.0.1'], ...options })
const createApp = () => {
  const handler = ({ principal }: { principal: Principal }): string => {
    ran.push(principal)
    return 'ok'
  }
  return new Elysia()
    .use(problems({ onUnexpected: () => undefined }))
    .use(auth)
    .get('/notes', handler, { permission: 'notes:read' })
    .post('/notes', handler, { permission: 'notes:read' })
    .get('/people', handler, { permission: 'any', credential: 'jwt' })
}
const start = (options?: Parameters<typeof createAuth>[0]): void => {
  auth = createAuth(options)
  app = createApp()
  served = serve(app)
}
beforeEach(() => {
  ran = []
  start()
})
const end = async (): Promise<void> => {
  await served?.[Symbol.asyncDispose]()
  served = null
}
afterEach(end)

const make = async (allowedNetworks: string[] | null, permissions = ['notes:read']) => {
  const { key, text } = await internalsOf(auth)
    .keys()
    .create({ name: 'ci', ownerId: 'usr_ann', permissions, expiresAt: null, allowedNetworks }, permissions, {
      ...bySystem,
      actorId: 'usr_ann',
    })
  return { id: key.id, text }
}
const change = (id: string, changes: KeyChanges) =>
  internalsOf(auth).store().update(id, 'all', changes, bySystem)
const codeOf = async (answer: Response): Promise<string> => {
  const { status } = answer
  if (status === 200) return 'ok'
  const problem: unknown = await answer.json()
  const code = typeof problem === 'object' && problem !== null && 'code' in problem ? problem.code : null
  return `${status} ${code}`
}
const use = async (text: string, from: string, init: RequestInit = {}, path = '/notes'): Promise<string> =>
  codeOf(
    await fetch(`${served?.url}${path}`, {
      ...init,
      headers: { 'x-api-key': text, 'x-forwarded-for': from, ...init.headers },
    }),
  )
const total = async (id: string): Promise<Record<string, number>> => {
  const { usage } = internalsOf(auth)
  await usage().flush()
  const found: Record<string, number> = {}
  for (const { outcome, uses } of await usage().countsOf(id, 0, 100_000)) found[outcome] = uses
  return found
}
const notAllowed = '403 api_key_network_not_allowed'

describe('a key with allowed networks', () => {
  test.each([
    ['verified anew each time', 0],
    ['remembered', 100],
  ])('%s: is let in from there and from nowhere else, on each request', async (_, cacheEntries) => {
    await end()
    start({ cacheEntries })
    const { id, text } = await make(['203.0.113.0/24', '2001:db8::/32'])
    const asked: [string, string][] = [
      [elsewhere, notAllowed],
      [office, 'ok'],
      [elsewhere, notAllowed],
      ['2001:db8::7', 'ok'],
      ['2001:db9::7', notAllowed],
      [office, 'ok'],
      [`${office}, ${elsewhere}`, notAllowed],
      [`${elsewhere}, ${office}`, 'ok'],
      ['unknown', notAllowed],
    ]
    for (const [from, expected] of asked)
      expect(`${from} ${await use(text, from)}`).toBe(`${from} ${expected}`)
    expect(ran).toHaveLength(4)
    expect(await total(id)).toEqual({ accepted: 4, api_key_network_not_allowed: 5 })
  })

  test('is judged for each of those who bring it at the same time', async () => {
    const { text } = await make([office])
    const from = Array.from({ length: 40 }, (_, index) => (index % 2 === 0 ? office : elsewhere))
    const answers = await Promise.all(from.map(address => use(text, address)))
    expect(answers).toEqual(from.map(address => (address === office ? 'ok' : notAllowed)))
    expect(ran).toHaveLength(20)
  })

  test('is refused whose address is the wrong one, whatever it says, where no proxy is trusted', async () => {
    await end()
    start({ trustedProxies: [] })
    const { text } = await make([office])
    for (const headers of [{}, { forwarded: `for=${office}` }, { 'x-real-ip': office }]) {
      expect(await use(text, office, { headers })).toBe(notAllowed)
    }
    expect(ran).toEqual([])
    const near = await make(['127.0.0.0/8'])
    expect(await use(near.text, elsewhere)).toBe('ok')
  })

  test('is refused where there is no connection and so no address', async () => {
    await end()
    auth = createAuth()
    app = createApp()
    const { text } = await make(['0.0.0.0/0', '::/0'])
    const free = await make(null)
    const handle = async (key: string): Promise<string> =>
      codeOf(await app.handle(new Request('http://localhost/notes', { headers: { 'x-api-key': key } })))
    expect([await handle(text), await handle(free.text)]).toEqual([notAllowed, 'ok'])
    expect(ran).toHaveLength(1)
  })

  test('is refused before its permission and before its body, and after what is wrong with itself', async () => {
    const { id, text } = await make([office], [])
    expect(await use(text, elsewhere)).toBe(notAllowed)
    expect(await use(text, office)).toBe('403 insufficient_permission')
    const body = { method: 'POST', body: '{', headers: { 'content-type': 'application/json' } }
    expect(await use(text, elsewhere, body)).toBe(notAllowed)
    expect(await use(text, elsewhere, {}, '/people')).toBe('403 jwt_required')
    await change(id, { expiresAt: 1 })
    expect(await use(text, elsewhere)).toBe('403 api_key_expired')
    await change(id, { enabled: false })
    expect(await use(text, elsewhere)).toBe('403 api_key_disabled')
    await internalsOf(auth).store().revoke(id, 'all', bySystem)
    expect(await use(text, elsewhere)).toBe('403 api_key_revoked')
    expect(ran).toEqual([])
  })

  test('KEY-14: tells nobody of them who does not hold its secret', async () => {
    const { text } = await make([office])
    const wrong = `${text.slice(0, 30)}${(await make(null)).text.slice(30)}`
    expect(await use(wrong, elsewhere)).toBe('403 api_key_invalid')
  })

  test('is held to a change of them from the next request on', async () => {
    const { id, text } = await make(null)
    expect(await use(text, elsewhere)).toBe('ok')
    await change(id, { allowedNetworks: ['203.0.113.9/32'] })
    expect([await use(text, elsewhere), await use(text, office)]).toEqual([notAllowed, 'ok'])
    await change(id, { allowedNetworks: ['198.51.100.9/32'] })
    expect([await use(text, elsewhere), await use(text, office)]).toEqual(['ok', notAllowed])
    await change(id, { allowedNetworks: null })
    expect([await use(text, elsewhere), await use(text, office)]).toEqual(['ok', 'ok'])
  })

  test('says nothing of them to the handler', async () => {
    const { id, text } = await make([office])
    await use(text, office)
    expect(ran).toEqual([
      { kind: 'key', ownerId: 'usr_ann', keyId: id, permissions: ['notes:read'], roles: [] },
    ])
    expect(Object.isFrozen(ran[0])).toBe(true)
  })
})

test('a token may be used from anywhere, whatever the keys of its user are held to', async () => {
  await make([office])
  const headers = { ...(await bearer()), 'x-forwarded-for': elsewhere }
  expect((await fetch(`${served?.url}/notes`, { headers })).status).toBe(200)
})

import { afterEach, beforeEach, expect, test } from 'bun:test'
import { Elysia } from 'elysia'
import { bySystem } from '../lib/audit.ts'
import { type Served, serve } from '../lib/test-serve.ts'
import { internalsOf } from './internals.ts'
import { problems } from './problems.ts'
import { testAuth } from './testing.ts'

let now: number
let ran: string[]
let auth: ReturnType<typeof testAuth<'notes:read' | 'notes:write'>>['auth']
let keyHeaders: ReturnType<typeof testAuth>['key']
let served: Served
beforeEach(() => {
  now = Date.UTC(2026, 2, 10, 12)
  ran = []
  const made = testAuth({ roles: { user: ['notes:read', 'notes:write'] }, clock: () => now })
  auth = made.auth
  keyHeaders = made.key
  const handler = ({ principal }: { principal: { ownerId: string } }): string => {
    ran.push(principal.ownerId)
    return 'ok'
  }
  served = serve(
    new Elysia()
      .use(problems({ onUnexpected: () => undefined }))
      .use(auth)
      .get('/notes', handler, { permission: 'notes:read' })
      .put('/notes', handler, { permission: 'notes:write' })
      .get('/people', handler, { permission: 'any', credential: 'jwt' })
      .guard({ permission: 'any' }, covered =>
        covered
          .get('/covered', handler, { permission: 'notes:read' })
          .put('/covered', handler, { permission: 'notes:write' })
          .post('/covered', handler, { permission: 'notes:read' }),
      ),
  )
})
afterEach(() => served[Symbol.asyncDispose]())

const ask = async (headers: Record<string, string>, method = 'GET', path = '/notes'): Promise<number> =>
  (await fetch(`${served.url}${path}`, { method, headers })).status
const idOf = (headers: Record<string, string>): string => `key_${headers['x-api-key']?.slice(3, 19)}`
const total = async (id: string): Promise<Record<string, number>> => {
  const { usage } = internalsOf(auth)
  await usage().flush()
  const found: Record<string, number> = {}
  for (const { outcome, uses } of await usage().countsOf(id, 0, 100_000)) found[outcome] = uses
  return found
}

test('each use of a key is counted by what became of it, cold or remembered', async () => {
  const headers = await keyHeaders(['notes:read'])
  const id = idOf(headers)
  for (let index = 0; index < 3; index += 1) expect(await ask(headers)).toBe(200)
  for (let index = 0; index < 2; index += 1) expect(await ask(headers, 'PUT')).toBe(403)
  const { store } = internalsOf(auth)
  await store().update(id, 'all', { enabled: false }, bySystem)
  for (let index = 0; index < 4; index += 1) expect(await ask(headers)).toBe(403)
  await store().update(id, 'all', { enabled: true, expiresAt: now + 1_000 }, bySystem)
  expect(await ask(headers)).toBe(200)
  now += 1_000
  expect(await ask(headers)).toBe(403)
  await store().revoke(id, 'all', bySystem)
  expect(await ask(headers)).toBe(403)
  expect(ran).toHaveLength(4)
  expect(await total(id)).toEqual({
    accepted: 4,
    insufficient_permission: 2,
    api_key_disabled: 4,
    api_key_expired: 1,
    api_key_revoked: 1,
  })
})

test('a use is counted once where a route and a guard around it ask for a permission each', async () => {
  const headers = await keyHeaders(['notes:read'])
  expect(await ask(headers, 'GET', '/covered')).toBe(200)
  expect(await ask(headers, 'POST', '/covered')).toBe(200)
  expect(await ask(headers, 'PUT', '/covered')).toBe(403)
  expect(ran).toHaveLength(2)
  expect(await total(idOf(headers))).toEqual({ accepted: 2, insufficient_permission: 1 })
})

test('where the last use came from is the address of the peer', async () => {
  const headers = await keyHeaders(['notes:read'])
  await ask({ ...headers, 'x-forwarded-for': '203.0.113.9' })
  await internalsOf(auth).usage().flush()
  expect(await internalsOf(auth).store().find(idOf(headers), 'all')).toMatchObject({
    lastUsedAt: now,
    lastUsedAddress: '127.0.0.1',
  })
})

test('KEY-14: who does not hold the secret has nothing counted, nor does a key where only a token will do', async () => {
  const headers = await keyHeaders(['notes:read'])
  const wrong = `${headers['x-api-key']?.slice(0, 30)}${(await keyHeaders([]))['x-api-key']?.slice(30)}`
  expect(await ask({ 'x-api-key': wrong })).toBe(403)
  expect(await ask({ 'x-api-key': 'lk_nothing' })).toBe(403)
  expect(await ask(headers, 'GET', '/people')).toBe(403)
  expect(ran).toEqual([])
  expect(await total(idOf(headers))).toEqual({})
})

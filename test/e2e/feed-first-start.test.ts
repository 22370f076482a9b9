import { afterAll, beforeAll, expect, test } from 'bun:test'
import { randomBytes } from 'node:crypto'
import { call } from '../support/http.ts'
import { listOf } from '../support/json.ts'
import { type LinkedSite, startLinkedSite } from '../support/linked-site.ts'
import { expectProblem } from '../support/problem.ts'
import { addPerson, type Key, makeKey, type Person } from '../support/site.ts'
import { withDatabase } from '../support/sqlite-file.ts'
import { until } from '../support/wait.ts'

/**
 * A service-a that has keys and a secret to check tokens with, and never heard of anybody's state: what it would be after
 * an upgrade from a release that followed no feed. It judges nobody, since it could not say who is disabled.
 */

let site: LinkedSite
let ann: Person
let key: Key

beforeAll(async () => {
  const secret = randomBytes(32).toString('base64url')
  site = await startLinkedSite({ login: { JWT_SECRET: secret }, service: { JWT_SECRET: secret } })
  ann = await addPerson(site, site.root.accessToken, { name: 'ann' })
  key = await makeKey(site, ann.accessToken)
  await Promise.all([site.login.stop(), site.service.stop()])
  withDatabase(site.serviceFile, database => {
    for (const table of ['feed_position', 'subjects', 'ended_credentials'])
      database.run(`DELETE FROM ${table}`)
  })
  await site.service.restart()
})
afterAll(() => site.end())

test('answers 503 to every good credential on every guarded route, those that manage keys included', async () => {
  const token = { token: ann.accessToken }
  for (const path of ['/whoami', '/documents', '/account', '/api-keys', `/api-keys/${key.id}`]) {
    const refused = await site.use(path, token)
    expectProblem(refused, 503, 'unavailable')
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
  }
  for (const path of ['/whoami', '/documents', '/documents/x'])
    expectProblem(await site.use(path, { key: key.key }), 503, 'unavailable')
  const writes = [
    site.use('/documents/token', { ...token, method: 'PUT', json: 1 }),
    site.use('/documents/key', { key: key.key, method: 'PUT', json: 1 }),
    site.use('/api-keys', { ...token, json: { name: 'early' } }),
    site.use(`/api-keys/${key.id}`, { ...token, method: 'DELETE' }),
    site.use(`/api-keys/${key.id}/rotate`, { ...token, json: { graceSeconds: 0 } }),
    site.use('/account', { ...token, method: 'DELETE' }),
  ]
  for (const refused of await Promise.all(writes)) expectProblem(refused, 503, 'unavailable')
})

test('says what is wrong where it needs to know nobody for it, and lets nothing in', async () => {
  expectProblem(await site.use('/documents'), 400, 'credential_missing')
  expectProblem(await site.use('/api-keys', { key: key.key }), 403, 'jwt_required')
  for (const given of [{ token: 'nonsense' }, { key: 'nonsense' }]) {
    expect([401, 403, 503]).toContain((await site.use('/documents', given)).status)
  }
})

test('lives, and is not ready', async () => {
  expect((await call(`${site.service.url}/livez`)).status).toBe(200)
  expectProblem(await call(`${site.service.url}/readyz`), 503, 'unavailable')
})

test('comes up by itself once login is there, and nothing that it refused was done', async () => {
  await site.login.restart()
  await until('service-a serves', async () => (await site.use('/documents', { key: key.key })).status === 200)
  expect((await site.use('/readyz')).status).toBe(200)
  const token = { token: ann.accessToken }
  expect(listOf((await site.use('/documents', token)).body, 'items')).toEqual([])
  expect(listOf((await site.use('/api-keys', token)).body, 'items')).toMatchObject([
    { id: key.id, rotatedTo: null },
  ])
  expect((await site.manage(`/users/${ann.id}`)).status).toBe(200)
})

test('nothing secret went to either log', async () => {
  await Promise.all([site.login.stop(), site.service.stop()])
  expect(site.stage.leaks()).toEqual([])
})

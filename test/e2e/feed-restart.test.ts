import { afterAll, beforeAll, expect, test } from 'bun:test'
import { randomBytes } from 'node:crypto'
import { addKnown, type Known } from '../support/known-person.ts'
import { type LinkedSite, startLinkedSite } from '../support/linked-site.ts'
import { pathsOf } from '../support/log-lines.ts'
import { expectProblem } from '../support/problem.ts'
import { readValue } from '../support/sqlite-file.ts'
import { until } from '../support/wait.ts'

let site: LinkedSite
let ann: Known
let bob: Known
let carl: Known
let dora: Known

const generation = (): unknown => readValue(site.serviceFile, 'SELECT generation FROM feed_position')

const disable = async (who: Known): Promise<void> => {
  expect((await site.manage(`/users/${who.id}/disable`, { method: 'POST' })).status).toBe(200)
}

const expectServed = async ({ accessToken, made }: Known): Promise<void> => {
  expect((await site.use('/documents', { token: accessToken })).status).toBe(200)
  expect((await site.use('/documents', { key: made.key })).status).toBe(200)
}

const expectOut = async ({ accessToken, made }: Known): Promise<void> => {
  expectProblem(await site.use('/documents', { token: accessToken }), 401, 'token_invalid')
  expectProblem(await site.use('/documents', { key: made.key }), 403, 'api_key_owner_inactive')
}

beforeAll(async () => {
  // A shared secret, so that a service-a that starts alone can check tokens.
  const secret = randomBytes(32).toString('base64url')
  site = await startLinkedSite({ login: { JWT_SECRET: secret }, service: { JWT_SECRET: secret } })
  ann = await addKnown(site, 'ann')
  bob = await addKnown(site, 'bob')
  carl = await addKnown(site, 'carl')
  dora = await addKnown(site, 'dora')
  await site.caughtUp()
})
afterAll(() => site.end())

test('login that is started again is followed on from the same place, and nothing is missed on either side of it', async () => {
  const before = generation()
  site.link.cut()
  await disable(bob)
  await site.login.stop()
  await site.login.restart()
  await disable(carl)
  site.link.mend()
  await site.caughtUp()
  await expectOut(bob)
  await expectOut(carl)
  await expectServed(ann)
  expect(generation()).toBe(before)
  expect(pathsOf(site.login)).not.toContain('/changes/snapshot')
})

test('login that is killed has told of what it acknowledged once it is back', async () => {
  await site.manage(`/users/${carl.id}/enable`, { method: 'POST' })
  await disable(dora)
  await site.login.kill()
  await site.login.restart()
  await site.caughtUp()
  await expectOut(dora)
  // Its sessions ended for good, its keys are good again.
  expectProblem(await site.use('/documents', { token: carl.accessToken }), 401, 'token_invalid')
  expect((await site.use('/documents', { key: carl.made.key })).status).toBe(200)
  expect(pathsOf(site.login)).not.toContain('/changes/snapshot')
})

test('service-a that starts while login is down refuses whom it had heard of, and serves the others', async () => {
  await site.login.stop()
  await site.service.kill()
  await site.service.restart()
  expect((await site.use('/livez')).status).toBe(200)
  await until('service-a is ready', async () => (await site.use('/readyz')).status === 200)
  await expectServed(ann)
  await expectOut(bob)
  await expectOut(dora)
  expectProblem(await site.use('/documents', { token: carl.accessToken }), 401, 'token_invalid')
})

test('and goes on from its place, without another snapshot, when login is back', async () => {
  await site.login.restart()
  await site.caughtUp()
  await disable(ann)
  await site.caughtUp()
  await expectOut(ann)
  const asked = pathsOf(site.login)
  expect(asked).not.toContain('/changes/snapshot')
  expect(asked).toContain('/changes')
})

test('nothing secret went to either log', async () => {
  await Promise.all([site.login.stop(), site.service.stop()])
  expect(site.stage.leaks()).toEqual([])
})

import { afterAll, beforeAll, expect, test } from 'bun:test'
import { call } from '../support/http.ts'
import { member } from '../support/json.ts'
import { addPerson, makeKey, type Person, type Site, signIn, startSite } from '../support/site.ts'

/** Uses are counted off the path of a request, and a service that is stopped writes what it has not written yet. */

let site: Site
let ann: Person

beforeAll(async () => {
  site = await startSite()
  ann = await addPerson(site, (await signIn(site, site.admin)).accessToken, { name: 'ann' })
})
afterAll(() => site.stage.end())

const use = async (key: string, times: number): Promise<void> => {
  for (let index = 0; index < times; index += 1) {
    expect((await call(`${site.service.url}/documents`, { key })).status).toBe(200)
  }
}
const accepted = async (id: string): Promise<unknown> => {
  const { status, body } = await call(`${site.service.url}/api-keys/${id}/usage?days=2`, {
    token: ann.accessToken,
  })
  expect(status).toBe(200)
  return member(member(body, 'total'), 'accepted')
}

test('KEY-14: what was used before a SIGTERM is counted after it, each use once', async () => {
  const [one, other] = [await makeKey(site, ann.accessToken), await makeKey(site, ann.accessToken)]
  await use(one.key, 37)
  await use(other.key, 5)
  expect(await site.service.stop()).toEqual({ code: 0, signal: null })
  await site.service.restart()
  expect([await accepted(one.id), await accepted(other.id)]).toEqual([37, 5])
  const { body } = await call(`${site.service.url}/api-keys/${one.id}`, { token: ann.accessToken })
  expect(Date.parse(String(member(body, 'lastUsedAt')))).toBeGreaterThan(Date.now() - 60_000)

  await use(one.key, 3)
  expect(await site.service.stop()).toEqual({ code: 0, signal: null })
  await site.service.restart()
  expect([await accepted(one.id), await accepted(other.id)]).toEqual([40, 5])
})

test('what was told once is still there after a kill, and nothing is counted twice', async () => {
  const { id, key } = await makeKey(site, ann.accessToken)
  await use(key, 11)
  expect(await accepted(id)).toBe(11)
  await use(key, 2)
  await site.service.kill()
  await site.service.restart()
  const left = Number(await accepted(id))
  expect(left).toBeGreaterThanOrEqual(11)
  expect(left).toBeLessThanOrEqual(13)
})

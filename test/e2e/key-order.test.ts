import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import fc from 'fast-check'
import { call } from '../support/http.ts'
import { member } from '../support/json.ts'
import { withOtherSecret } from '../support/key-text.ts'
import {
  balanceOf,
  burst,
  carriedWindows,
  contentOf,
  type MeteredKey,
  makeMeteredKey,
  send,
  usageOf,
} from '../support/metered-key.ts'
import { addPerson, makeKey, type Person, type Site, signIn, startSite } from '../support/site.ts'
import type { RawAnswer } from '../support/tcp.ts'
import { until } from '../support/wait.ts'

/** Keys and requests that are wrong in several ways at once are told the first of them, and burn nothing. */

/** In the order of the checks, with what a request is told of each. */
const faults = [
  ['malformed', '403 api_key_invalid'],
  ['wrong secret', '403 api_key_invalid'],
  ['revoked', '403 api_key_revoked'],
  ['disabled', '403 api_key_disabled'],
  ['owner disabled', '403 api_key_owner_inactive'],
  ['expired', '403 api_key_expired'],
  ['elsewhere', '403 api_key_network_not_allowed'],
  ['broken body', '400 malformed_body'],
  ['not permitted', '403 insufficient_permission'],
  ['invalid', '422 document_name_invalid'],
  ['over the limit', '429 rate_limited'],
  ['out of credits', '429 credits_exhausted'],
] as const
type Fault = (typeof faults)[number][0]
const names = faults.map(([name]) => name)

/** Every pair, everything from each fault on, and some more at random, which are the same whenever this runs. */
const pairs = names.flatMap((first, index) => names.slice(index + 1).map(second => [first, second]))
const tails = names.map((_, index) => names.slice(index))
const others = fc.sample(fc.subarray(names, { minLength: 3 }), { numRuns: 60, seed: 7 })
const cases: readonly (readonly Fault[])[] = [...pairs, ...tails, ...others]

let site: Site
let file: string
let root: string
let ann: Person
let eve: Person
type Case = MeteredKey & { readonly wrong: readonly Fault[] }
const made: Case[] = []

const useKey = (key: string) => call(`${site.service.url}/documents`, { key })

/** A key with these faults, as far as they are of the key: its owner is disabled later. */
const makeCase = async (wrong: readonly Fault[], expiresAt: number): Promise<Case> => {
  const is = (fault: Fault): boolean => wrong.includes(fault)
  const owner = is('owner disabled') ? eve : ann
  const isLimited = is('over the limit')
  const key = await makeMeteredKey(site, root, owner.id, {
    limits: [burst(isLimited ? 1 : 3)],
    credits: { remaining: is('out of credits') ? 0 : 5 },
  })
  // What costs nothing is let in without credits.
  if (isLimited) expect((await useKey(key.key)).status).toBe(200)
  const json = {
    enabled: !is('disabled'),
    ...(is('expired') ? { expiresAt: new Date(expiresAt).toISOString() } : {}),
    ...(is('elsewhere') ? { allowedNetworks: ['192.0.2.0/24'] } : {}),
    ...(is('not permitted') ? { permissions: ['documents:read'] } : {}),
  }
  const url = `${site.service.url}/api-keys/${key.id}`
  expect((await call(url, { token: root, method: 'PATCH', json })).status).toBe(200)
  if (is('revoked')) expect((await call(url, { token: root, method: 'DELETE' })).status).toBe(204)
  return { ...key, wrong }
}

const textOf = ({ key, wrong }: Case): string => {
  const text = wrong.includes('wrong secret') ? withOtherSecret(key) : key
  return wrong.includes('malformed') ? `${text.slice(0, -1)}${text.endsWith('a') ? 'b' : 'a'}` : text
}

const ask = (one: Case): Promise<RawAnswer> =>
  send(
    site,
    `PUT /documents/${one.wrong.includes('invalid') ? '%20' : one.id}`,
    [`X-API-Key: ${textOf(one)}`],
    one.wrong.includes('broken body') ? '{"by"' : '"by the key"',
  )

/** A few at a time. */
const each = async <Item, Result>(items: readonly Item[], act: (item: Item) => Promise<Result>) => {
  const results: Result[] = []
  const waiting = [...items.entries()]
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      results[next[0]] = await act(next[1])
    }
  }
  await Promise.all(Array.from({ length: 8 }, work))
  return results
}

beforeAll(async () => {
  const unlimited = { FAILURES_PER_ADDRESS_PER_MINUTE: '0', KEYS_PER_OWNER: '1000', LOG_LEVEL: 'info' }
  site = await startSite({ mode: 'HS256', service: unlimited })
  file = join(site.service.folder, 'data', 'service-a.sqlite')
  root = (await signIn(site, site.admin)).accessToken
  ann = await addPerson(site, root, { name: 'ann' })
  eve = await addPerson(site, root, { name: 'eve' })
  const expiresAt = Date.now() + 2_500
  made.push(...(await each(cases, wrong => makeCase(wrong, expiresAt))))
  const witness = await makeKey(site, eve.accessToken)
  await call(`${site.login.url}/users/${eve.id}/disable`, { token: root, method: 'POST' })
  await until('the feed', async () => (await useKey(witness.key)).status === 403)
  await Bun.sleep(Math.max(0, expiresAt - Date.now()) + 1)
}, 60_000)
afterAll(() => site.stage.end())

/** What a caller is told, whatever else is wrong: of the first of these, in the order of the table. */
const expected = (wrong: readonly Fault[]): string | undefined =>
  faults.find(([name]) => wrong.includes(name))?.[1]

test(`of ${cases.length} combinations of faults, every pair among them, each is told its first one, cold and hot`, async () => {
  for (const state of ['cold', 'hot']) {
    const answers = await each(made, ask)
    const told = made.map(({ wrong }, index) => {
      const answer = answers[index]
      return [state, wrong.join(', '), `${answer?.status} ${member(answer?.body, 'code')}`]
    })
    expect(told).toEqual(made.map(({ wrong }) => [state, wrong.join(', '), expected(wrong) ?? '']))
  }
})

/** Reasons that are counted of a key: of whoever showed its secret, and where the key is what is wrong. */
const uncounted = ['403 api_key_invalid', '400 malformed_body', '422 document_name_invalid']

test('each is counted once for every request, under the reason that was told', async () => {
  const told = await each(made, async one => [one.wrong.join(', '), await usageOf(site, root, one)])
  const wanted = made.map(({ wrong }) => {
    const first = expected(wrong) ?? ''
    const refused = uncounted.includes(first) ? {} : { [first.slice(4)]: 2 }
    return [wrong.join(', '), { accepted: wrong.includes('over the limit') ? 1 : 0, refused }]
  })
  expect(told).toEqual(wanted)
})

test('no handler ran, no credit was taken, and nothing counts within a limit but what was let in before', async () => {
  for (const one of made) {
    expect([one.wrong, balanceOf(file, one)]).toEqual([
      one.wrong,
      one.wrong.includes('out of credits') ? 0 : 5,
    ])
    expect(contentOf(file, one.ownerId, one.id)).toBeUndefined()
  }
  expect(await site.service.stop()).toEqual({ code: 0, signal: null })
  const carried = carriedWindows(file)
  const counted = made.filter(({ id }) => carried.has(id))
  expect(counted.map(({ id, wrong }) => [wrong, carried.get(id)])).toEqual(
    made.filter(({ wrong }) => wrong.includes('over the limit')).map(({ wrong }) => [wrong, 1]),
  )
})

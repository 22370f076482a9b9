import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { randomBytes } from 'node:crypto'
import { type Answer, call } from '../support/http.ts'
import { unknownKey, withOtherSecret } from '../support/key-text.ts'
import { expectProblem } from '../support/problem.ts'
import { addPerson, makeKey, type Person, type Site, signIn, startSite } from '../support/site.ts'

/** Callers that fail, and what a flood of them takes from those who have a right credential: nothing. */

const mode = 'HS256'
const secret = randomBytes(32).toString('base64url')

const expectThrottled = (answer: Answer, policy: string): void => {
  expectProblem(answer, 429, 'rate_limited')
  const [, name, limit] = /^(.*) (\d+)$/.exec(policy) ?? []
  const after = Number(answer.headers.get('retry-after'))
  expect(after).toBeGreaterThanOrEqual(1)
  expect(after).toBeLessThanOrEqual(65)
  expect(answer.headers.get('ratelimit-policy')).toBe(`"${name}";q=${limit};w=60`)
  expect(answer.headers.get('ratelimit')).toBe(`"${name}";r=0;t=${after}`)
  expect(answer.headers.get('www-authenticate')).toBeNull()
  expect(answer.headers.get('cache-control')).toBe('no-store')
}

describe('a service that tells its callers 20 times why they fail, and 5 times with one key id', () => {
  let site: Site
  let ann: Person
  const whoami = (options: Parameters<typeof call>[1] = {}) => call(`${site.service.url}/whoami`, options)

  beforeAll(async () => {
    site = await startSite({
      mode,
      secret,
      service: { FAILURES_PER_ADDRESS_PER_MINUTE: '20', FAILURES_PER_KEY_PER_MINUTE: '5' },
    })
    ann = await addPerson(site, (await signIn(site, site.admin)).accessToken, { name: 'ann' })
  })
  afterAll(() => site.stage.end())

  test('answers wrong secrets of a key that exists as those of one that does not, and lets its holder in', async () => {
    const { key } = await makeKey(site, ann.accessToken)
    const seen: unknown[][] = []
    for (const text of [key, unknownKey()]) {
      const answers: Answer[] = []
      for (let count = 0; count < 7; count += 1) answers.push(await whoami({ key: withOtherSecret(text) }))
      for (const answer of answers.slice(0, 5)) expectProblem(answer, 403, 'api_key_invalid')
      for (const answer of answers.slice(5)) expectThrottled(answer, 'key-failures 5')
      // The time of day and the number of the request apart, and how many seconds are left.
      const own = /^(?:date|x-request-id|retry-after|ratelimit)$/
      seen.push(
        answers.map(({ status, headers, text: body }) => [
          status,
          [...headers].filter(([name]) => !own.test(name)).sort(),
          body.replace(/"requestId":"[^"]*"/, ''),
        ]),
      )
    }
    expect(seen[0]).toEqual(seen[1] ?? [])
    for (const state of ['cold', 'hot']) expect([state, (await whoami({ key })).status]).toEqual([state, 200])
  })

  test('lets in right keys and tokens, cold and hot, from an address that is over the limit', async () => {
    const { key } = await makeKey(site, ann.accessToken)
    const fresh = await signIn(site, ann)
    const statuses: number[] = []
    for (let count = 0; count < 30; count += 1) statuses.push((await whoami()).status)
    expect(new Set(statuses.slice(-10))).toEqual(new Set([429]))
    for (const options of [{ key }, { token: fresh.accessToken }]) {
      for (const state of ['cold', 'hot']) {
        expectThrottled(await whoami({ headers: { 'x-forwarded-for': '198.51.100.7' } }), 'failures 20')
        expect([state, (await whoami(options)).status]).toEqual([state, 200])
      }
    }
  })

  test('runs no handler for whom it throttles, and reads nothing of what they send', async () => {
    const url = `${site.service.url}/documents/guessed`
    const answer = await call(url, { key: unknownKey(), method: 'PUT', json: { a: 1 } })
    expectThrottled(answer, 'failures 20')
    expectProblem(await call(url, { token: ann.accessToken }), 404, 'document_not_found')
  })

  test('counts all of it, by reason and by limit, and logs what was answered', async () => {
    const { text } = await call(`${site.service.url}/metrics`)
    const count = (sample: string): number => Number(text.split(`${sample} `)[1]?.split('\n')[0])
    expect(count('latchkey_failed_credentials_total{reason="api_key_invalid"}')).toBe(15)
    expect(count('latchkey_failed_credentials_total{reason="credential_missing"}')).toBe(34)
    expect(count('latchkey_throttled_total{by="key"}')).toBe(4)
    expect(count('latchkey_throttled_total{by="address"}')).toBeGreaterThanOrEqual(25)
    const lines = site.service.program().lines.filter(line => line.includes('"code":"rate_limited"'))
    expect(lines.length).toBeGreaterThanOrEqual(25)
    expect(lines.every(line => line.includes('"status":429'))).toBe(true)
  })
})

test('0 is no limit', async () => {
  const site = await startSite({
    mode,
    secret,
    service: { FAILURES_PER_ADDRESS_PER_MINUTE: '0', FAILURES_PER_KEY_PER_MINUTE: '0' },
  })
  const key = unknownKey()
  const statuses = new Set<number>()
  for (let count = 0; count < 350; count += 1) {
    statuses.add((await call(`${site.service.url}/whoami`, { key })).status)
  }
  await site.stage.end()
  expect([...statuses]).toEqual([403])
})

import { afterAll, beforeAll, expect, test } from 'bun:test'
import { randomBytes } from 'node:crypto'
import {
  apiKey,
  bearer,
  deadKeys,
  expectRow,
  type Given,
  invalidKeys,
  makeGiven,
  noTokens,
  type Row,
  unclear,
} from '../support/credential-rows.ts'
import { createForge } from '../support/forge.ts'
import { call } from '../support/http.ts'
import { textOf } from '../support/json.ts'
import { expectProblem } from '../support/problem.ts'
import { addPerson, type Site, signIn, startSite } from '../support/site.ts'
import { exchange, requestHead } from '../support/tcp.ts'

/** The status table, on a route that takes tokens and keys. */

const secret = randomBytes(32).toString('base64url')
let site: Site
let given: Given
let powerless: string
let tries = 0

beforeAll(async () => {
  site = await startSite({ mode: 'HS256', secret })
  const ann = await addPerson(site, (await signIn(site, site.admin)).accessToken, { name: 'ann' })
  given = await makeGiven(site, ann.accessToken)
  const forge = createForge(site, secret, { id: ann.id, sessionId: `ses_${'0'.repeat(32)}` })
  // Of somebody that nobody has told of yet: what a known user may do is what they may do now.
  powerless = forge({ claims: { sub: `usr_${'0'.repeat(32)}`, roles: [] } })
})
afterAll(() => site.stage.end())

const refused = [...unclear('Bearer, ApiKey header="X-API-Key"'), ...noTokens, ...invalidKeys, ...deadKeys]
const weak: Row[] = [
  {
    carries: 'a key for reading',
    headers: ({ reader }) => [apiKey(reader)],
    status: 403,
    code: 'insufficient_permission',
    challenge: null,
  },
  {
    carries: 'a token without roles',
    headers: () => [bearer(powerless)],
    status: 403,
    code: 'insufficient_permission',
    challenge: 'Bearer error="insufficient_scope", scope="documents:write"',
  },
]

test.each([...refused, ...weak])(
  '$carries: $status $code, and the handler does not run (AUT-01 to AUT-07, AUT-09)',
  async row => {
    tries += 1
    const path = `/documents/refused-${tries}`
    const headers = [...row.headers(given), 'Content-Type: application/json', 'Content-Length: 2']
    expectRow(await exchange(site.service.port, [requestHead(`PUT ${path}`, headers), '{}']), row)
    expectProblem(await call(`${site.service.url}${path}`, { key: given.key }), 404, 'document_not_found')
  },
)

test.each(refused)('$carries: $status $code before a byte of the body is there', async row => {
  const head = requestHead('PUT /documents/unread', [...row.headers(given), 'Content-Length: 1000000'])
  expectRow(await exchange(site.service.port, [head]), row)
})

test('keys that are malformed, unknown or of a wrong secret are refused in the same words (AUT-02)', async () => {
  const told = await Promise.all(
    invalidKeys.map(async ({ headers }) => {
      const answer = await exchange(site.service.port, [requestHead('GET /whoami', headers(given))])
      const lines = answer?.head.split('\r\n').filter(line => !/^(date|x-request-id):/i.test(line))
      return JSON.stringify([lines?.sort(), answer?.text.replace(textOf(answer.body, 'requestId'), '')])
    }),
  )
  expect(new Set(told).size).toBe(1)
})

const good: readonly (readonly [string, Row['headers']])[] = [
  ['a token', ({ token }) => [bearer(token)]],
  ['a token, its scheme in small letters', ({ token }) => [`authorization: bearer ${token}`]],
  ['a token, its scheme in capitals', ({ token }) => [`AUTHORIZATION: BEARER ${token}`]],
  ['a key', ({ key }) => [apiKey(key)]],
  ['a key, its header in small letters', ({ key }) => [`x-api-key: ${key}`]],
  ['a key as Bearer', ({ key }) => [bearer(key)]],
  ['a key as Bearer, its scheme in small letters', ({ key }) => [`authorization: bearer ${key}`]],
]
test.each(good)('%s is let in (AUT-05)', async (_, headers) => {
  const answer = await exchange(site.service.port, [requestHead('GET /documents', headers(given))])
  expect(answer?.status).toBe(200)
})

test('a credential in the query is none (AUT-06)', async () => {
  const names = ['api_key', 'apikey', 'X-API-Key', 'access_token', 'authorization', 'key', 'token']
  const query = names.map(name => `${name}=${given.key}`).join('&')
  const answer = await exchange(site.service.port, [requestHead(`GET /whoami?${query}`)])
  expectProblem(answer, 400, 'credential_missing')
})

test('a request is judged in the order that the docs promise: route, credential, body, permission, fields', async () => {
  const send = (line: string, headers: readonly string[], body: string) =>
    exchange(site.service.port, [
      requestHead(line, [...headers, 'Content-Type: application/json', `Content-Length: ${body.length}`]),
      body,
    ])
  const [broken, wrong] = ['{"broken"', '{}']
  expectProblem(await send('PUT /nowhere', [], broken), 404, 'not_found')
  expectProblem(await send('POST /documents/x', [], broken), 405, 'method_not_allowed')
  expectProblem(await send('PUT /documents/%20', [], broken), 400, 'credential_missing')
  expectProblem(await send('PUT /documents/%20', [apiKey(given.reader)], broken), 400, 'malformed_body')
  expectProblem(
    await send('PUT /documents/%20', [apiKey(given.reader)], wrong),
    403,
    'insufficient_permission',
  )
  expectProblem(await send('PUT /documents/%20', [apiKey(given.key)], wrong), 422, 'document_name_invalid')
})

test('no credential of this table went to either log (LOG-02)', async () => {
  site.stage.keepSecret(...Object.values(given), powerless)
  await Promise.all([site.login.stop(), site.service.stop()])
  expect(site.stage.leaks()).toEqual([])
})

import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { call } from '../support/http.ts'
import { member } from '../support/json.ts'
import { unknownKey, withOtherSecret } from '../support/key-text.ts'
import { logOf } from '../support/log-lines.ts'
import {
  balanceOf,
  burst,
  carriedWindows,
  contentOf,
  type MeteredKey,
  makeMeteredKey,
  send,
  usageOf,
  writeWith,
} from '../support/metered-key.ts'
import { expectRefusal } from '../support/refusal.ts'
import { addPerson, makeKey, type Person, type Site, signIn, startSite } from '../support/site.ts'
import type { RawAnswer } from '../support/tcp.ts'
import { until } from '../support/wait.ts'

/**
 * Every reason for which a key is refused, once, on a route that costs a credit: what the answer is, that the handler did
 * not run, and that nothing was burnt: no credit, and no place within a limit.
 */

let site: Site
let file: string
let root: string
let ann: Person
/** What is to be counted within limits when the service stops. */
const admitted = new Map<string, number>()
const witnesses = new Set<string>()

beforeAll(async () => {
  site = await startSite({
    mode: 'HS256',
    service: {
      TRUSTED_PROXIES: '127.0.0.1',
      FAILURES_PER_ADDRESS_PER_MINUTE: '30',
      FAILURES_PER_KEY_PER_MINUTE: '5',
    },
  })
  file = join(site.service.folder, 'data', 'service-a.sqlite')
  root = (await signIn(site, site.admin)).accessToken
  ann = await addPerson(site, root, { name: 'ann' })
})
afterAll(() => site.stage.end())

const manage = (id: string, method: string, json?: unknown, under = '') =>
  call(`${site.service.url}/api-keys/${id}${under}`, { token: root, method, json })
const patch = async ({ id }: MeteredKey, json: unknown): Promise<void> => {
  expect((await manage(id, 'PATCH', json)).status).toBe(200)
}
const write = async ({ id, key }: MeteredKey): Promise<number> =>
  (await writeWith(site.service.url, key, id, 'by the key')).status

/** Has an administrator do something to a user on `login`, and waits until their keys are met otherwise. */
const onUser = async (path: string, method: string, witness: string, expected: number): Promise<void> => {
  const { status } = await call(`${site.login.url}/users/${path}`, { token: root, method })
  expect(status).toBeOneOf([200, 204])
  const use = () => call(`${site.service.url}/documents`, { key: witness })
  await until('the feed', async () => (await use()).status === expected)
}

type Row = {
  readonly what: string
  /** The status and the code of the problem. */
  readonly refused: string
  /** What the key is made with, beside a limit of 3 and 5 credits. */
  readonly terms?: Readonly<Record<string, unknown>>
  /** Makes a good key such that it is refused. */
  readonly spoil?: (made: MeteredKey, witness: string) => Promise<void>
  /** Makes it good again, where that can be: exactly 3 more requests are let in then. */
  readonly mend?: ((made: MeteredKey, witness: string) => Promise<void>) | null
  readonly send?: (made: MeteredKey) => Promise<RawAnswer>
  /** Headers beside those of every problem. */
  readonly headers?: Readonly<Record<string, RegExp>>
  /** Members of the body beside those of every problem. */
  readonly members?: Readonly<Record<string, unknown>>
  /** Under which reason the refusal is counted for the key; null for one that is not. */
  readonly counted?: string | null
  /** How often it was let in before. */
  readonly before?: number
  /** Owned by somebody of its own, where something happens to the owner. */
  readonly alone?: boolean
}

const sendText = ({ id }: MeteredKey, text: string, headers: readonly string[] = []) =>
  send(site, `PUT /documents/${id}`, [`X-API-Key: ${text}`, ...headers], '"by the key"')
const sendBody = ({ id, key }: MeteredKey, body: string, headers: readonly string[] = [], path = id) =>
  send(site, `PUT /documents/${path}`, [`X-API-Key: ${key}`, ...headers], body)
const typo = (key: string): string => `${key.slice(0, -1)}${key.endsWith('a') ? 'b' : 'a'}`

const soon = 400
const nothing = async (): Promise<void> => undefined
const limited = (policy: string) => ({
  'retry-after': /^[1-9]\d*$/,
  'ratelimit-policy': new RegExp(`^${policy}$`),
  ratelimit: /^"[a-z-]+";r=0;t=[1-9]\d*$/,
})

const ofKeys: Row[] = [
  {
    what: 'a malformed key',
    refused: '403 api_key_invalid',
    send: made => sendText(made, typo(made.key)),
    counted: null,
  },
  {
    what: 'a key that nobody made',
    refused: '403 api_key_invalid',
    send: made => sendText(made, unknownKey()),
    counted: null,
  },
  {
    what: 'a key of the wrong secret',
    refused: '403 api_key_invalid',
    send: made => sendText(made, withOtherSecret(made.key)),
    counted: null,
  },
  {
    what: 'a revoked key',
    refused: '403 api_key_revoked',
    spoil: async ({ id }) => {
      expect((await manage(id, 'DELETE')).status).toBe(204)
    },
    mend: null,
  },
  {
    what: 'a disabled key',
    refused: '403 api_key_disabled',
    spoil: made => patch(made, { enabled: false }),
    mend: made => patch(made, { enabled: true }),
  },
  {
    what: 'a key whose owner is disabled',
    refused: '403 api_key_owner_inactive',
    alone: true,
    spoil: ({ ownerId }, witness) => onUser(`${ownerId}/disable`, 'POST', witness, 403),
    mend: ({ ownerId }, witness) => onUser(`${ownerId}/enable`, 'POST', witness, 200),
  },
  {
    what: 'a key whose owner is deleted',
    refused: '403 api_key_revoked',
    alone: true,
    spoil: ({ ownerId }, witness) => onUser(ownerId, 'DELETE', witness, 403),
    mend: null,
  },
  {
    what: 'an expired key',
    refused: '403 api_key_expired',
    spoil: async made => {
      const expiresAt = Date.now() + soon
      await patch(made, { expiresAt: new Date(expiresAt).toISOString() })
      await Bun.sleep(expiresAt - Date.now() + 1)
    },
    mend: null,
  },
  {
    what: 'a key from a network that it is not allowed in',
    refused: '403 api_key_network_not_allowed',
    terms: { allowedNetworks: ['192.0.2.0/24', '2001:db8::/32'] },
    mend: made => patch(made, { allowedNetworks: ['127.0.0.1/32'] }),
  },
  {
    what: 'a key that lacks the permission',
    refused: '403 insufficient_permission',
    terms: { permissions: ['documents:read'] },
    members: { detail: 'needs documents:write' },
    mend: made => patch(made, { permissions: ['documents:write'] }),
  },
  {
    what: 'a key where only a token will do',
    refused: '403 jwt_required',
    send: ({ id, key }) => send(site, `DELETE /api-keys/${id}`, [`X-API-Key: ${key}`]),
    counted: null,
  },
  {
    what: 'a key over its limit',
    refused: '429 rate_limited',
    terms: { credits: { remaining: 8 } },
    before: 3,
    spoil: async made => {
      for (let count = 0; count < 3; count += 1) expect(await write(made)).toBe(200)
    },
    headers: limited('"burst";q=3;w=300'),
    mend: made => patch(made, { limits: [burst(6)] }),
  },
  {
    what: 'a key out of credits',
    refused: '429 credits_exhausted',
    terms: { credits: { remaining: 0 } },
    headers: { 'x-credits-remaining': /^0$/ },
    members: { detail: "needs 1 of the key's credits, and there are 0" },
    mend: async ({ id }) => {
      expect((await manage(id, 'POST', { add: 5 }, '/credits')).status).toBe(200)
    },
  },
  {
    what: 'a key out of credits until midnight',
    refused: '429 credits_exhausted',
    terms: { credits: { remaining: 0, refill: { amount: 5, interval: 'daily' } } },
    headers: { 'x-credits-remaining': /^0$/, 'retry-after': /^[1-9]\d{0,4}$/ },
    members: { detail: "needs 1 of the key's credits, and there are 0" },
    mend: async ({ id }) => {
      expect((await manage(id, 'POST', { add: 5 }, '/credits')).status).toBe(200)
    },
  },
]

const failWith = async (made: MeteredKey, times: number, text: () => string, from: string): Promise<void> => {
  for (let count = 0; count < times; count += 1) {
    await sendText(made, text(), [`X-Forwarded-For: ${from}`])
  }
}
/** Behind a proxy, so that nobody else is throttled. */
const guessers = { one: '198.51.100.7', other: '203.0.113.9' } as const
const ofGuessers: Row[] = [
  {
    what: 'the sixth wrong secret of a key',
    refused: '429 rate_limited',
    spoil: made => failWith(made, 5, () => withOtherSecret(made.key), guessers.one),
    send: made => sendText(made, withOtherSecret(made.key), [`X-Forwarded-For: ${guessers.one}`]),
    headers: limited('"key-failures";q=5;w=60'),
    counted: null,
  },
  {
    what: 'the thirty-first wrong key from an address',
    refused: '429 rate_limited',
    spoil: made => failWith(made, 30, unknownKey, guessers.other),
    send: made => sendText(made, unknownKey(), [`X-Forwarded-For: ${guessers.other}`]),
    headers: limited('"failures";q=30;w=60'),
    counted: null,
  },
]

const bodies: Row[] = [
  {
    what: 'a body that is too large',
    refused: '413 body_too_large',
    send: ({ id, key }) =>
      send(site, `PUT /documents/${id}`, [
        `X-API-Key: ${key}`,
        'Content-Type: application/json',
        'Content-Length: 65537',
      ]),
    members: { detail: 'A body may have 65536 bytes.' },
  },
  {
    what: 'a body of another type',
    refused: '415 unsupported_media_type',
    send: made => sendBody(made, '"by the key"', ['Content-Type: text/plain']),
    members: { detail: 'Send application/json in UTF-8, not compressed.' },
  },
  {
    what: 'a body that is no JSON',
    refused: '400 malformed_body',
    send: made => sendBody(made, '{"by"'),
    members: { detail: 'The body is not JSON.' },
  },
  {
    what: 'no body',
    refused: '400 malformed_body',
    send: ({ id, key }) => send(site, `PUT /documents/${id}`, [`X-API-Key: ${key}`, 'Content-Length: 0']),
    members: { detail: 'There is no body.' },
  },
  {
    what: 'a name that no document may have',
    refused: '422 document_name_invalid',
    send: made => sendBody(made, '"by the key"', [], '%20'),
    members: { errors: [{ field: 'name', rule: expect.any(String) }] },
  },
  {
    what: 'a query of the wrong form',
    refused: '422 invalid_request',
    send: ({ key }) => send(site, 'GET /documents?limit=none', [`X-API-Key: ${key}`]),
    members: { errors: [{ field: 'limit', rule: expect.any(String) }] },
  },
]
/** For what has nothing to do with the key, no refusal is counted of it. */
const ofBodies = bodies.map((row): Row => ({ counted: null, ...row }))

const expectLogged = async (answer: RawAnswer, { refused }: Row): Promise<void> => {
  const requestId = answer.headers.get('x-request-id')
  const lineOf = () => logOf(site.service).find(entry => member(entry, 'requestId') === requestId)
  await until('a line in the log', () => lineOf() !== undefined)
  expect(`${member(lineOf(), 'status')} ${member(lineOf(), 'code')}`).toBe(refused)
}

test.each([...ofKeys, ...ofGuessers, ...ofBodies])(
  '$what: $refused; the handler does not run, and nothing is burnt',
  async row => {
    const { spoil = nothing, mend = nothing, alone = false, before = 0, terms } = row
    const owner = alone ? await addPerson(site, root, { name: `alone-${admitted.size}` }) : ann
    const made = await makeMeteredKey(site, root, owner.id, terms)
    const { id: witnessId, key: witness } = await makeKey(site, owner.accessToken)
    witnesses.add(witnessId)
    const ownUrl = `${site.service.url}/documents/${made.id}`
    const kept = await call(ownUrl, { token: owner.accessToken, method: 'PUT', json: 'by the owner' })
    expect(kept.status).toBe(201)
    await spoil(made, witness)
    // Whatever got the key where it is has its own effects.
    const content = contentOf(file, owner.id, made.id)
    const balance = Number(balanceOf(file, made))

    const answer = await (row.send ?? (({ key }: MeteredKey) => sendText(made, key)))(made)
    expectRefusal(answer, row.refused, row)
    for (const secret of [made.key.slice(4), made.key.slice(-49), owner.id, owner.email, made.id]) {
      expect(`${answer.head}${answer.text}`).not.toContain(secret)
    }
    await expectLogged(answer, row)

    expect(contentOf(file, owner.id, made.id)).toBe(content)
    expect(balanceOf(file, made)).toBe(balance)
    const [, code = ''] = row.refused.split(' ')
    const { counted = code } = row
    const refused = counted === null ? {} : { [counted]: 1 }
    expect(await usageOf(site, root, made)).toEqual({ accepted: before, refused })
    if (before > 0) admitted.set(made.id, before)
    if (mend === null) return

    // As much is left as there was: 3 places, and the credits for them.
    await mend(made, witness)
    const rest = Number(balanceOf(file, made))
    const statuses: number[] = []
    for (let count = 0; count < 4; count += 1) statuses.push(await write(made))
    expect(statuses).toEqual([200, 200, 200, 429])
    expect([rest, balanceOf(file, made)]).toEqual([5, 2])
    expect(contentOf(file, owner.id, made.id)).toBe('"by the key"')
    admitted.set(made.id, before + 3)
  },
)

test('within limits is counted what was let in, and nothing else; no log holds a secret', async () => {
  expect(await site.service.stop()).toEqual({ code: 0, signal: null })
  await site.login.stop()
  const carried = [...carriedWindows(file)].filter(([id]) => !witnesses.has(id))
  expect(new Map(carried)).toEqual(admitted)
  expect(site.stage.leaks()).toEqual([])
})

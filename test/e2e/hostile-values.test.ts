import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type Answer, call } from '../support/http.ts'
import { member, parseJson, textOf } from '../support/json.ts'
import { expectProblem } from '../support/problem.ts'
import {
  addPerson,
  createPassword,
  type Key,
  makeKey,
  type Person,
  type Site,
  signIn,
  startSite,
} from '../support/site.ts'
import { exchange, type RawAnswer, requestHead } from '../support/tcp.ts'

let site: Site
let adminToken: string
let ann: Person
let key: Key

const marker = 'Mark3rOfWhatWasSent'

/** Text that breaks what trusts text, each with the marker. As JSON, since not all of it is Unicode. */
const texts: readonly string[] = [
  '\u0000',
  `a\u0000b`,
  '\ud800',
  '\udc00\ud800',
  '\u001b[31m',
  '\r\nSet-Cookie: a=b\r\n\r\n',
  '\n{"level":"error","msg":"forged"}',
  '\u0085\u2028\u2029',
  '\u202e\u2066\u200b\u00ad\ufeff',
  '\ufffe\uffff',
  '\u{10ffff}',
  'Ṱ̺̺̕o͞ ̷i̲̬͇̪͙n̝̗͕v̟̜̘̦͟o̶̙̰̠kè͚̮̺̪̹̱̤',
  '👩‍👩‍👧‍👦',
  "' OR 1=1; DROP TABLE users; --",
  '%s%n%x$(id)`id`{{7*7}}#{7*7}',
  '<script>alert(1)</script>',
  '../../../../etc/passwd\u0000.json',
  '__proto__',
  'constructor',
  'null',
  '1e999',
  '%',
  '_',
  'A'.repeat(60_000),
].map(text => `${marker}${text}`)

const send = async (url: string, options: Parameters<typeof call>[1]): Promise<Answer> => {
  const answer = await call(url, options)
  expect(answer.status).toBeLessThan(500)
  return answer
}

/** Refused without being repeated, or taken and given back as it was. */
const expectUnharmed = (answer: Answer, name: string, text: string): void => {
  if (answer.status < 300) {
    const stored =
      name === 'email' ? String(member(answer.body, name)).toLowerCase() : member(answer.body, name)
    expect(stored).toBe(name === 'email' ? text.normalize('NFKC').toLowerCase() : text)
  } else {
    expect(answer.status).toBe(422)
    expect(answer.text).not.toContain(marker)
  }
}

beforeAll(async () => {
  site = await startSite()
  site.stage.keepSecret(marker)
  adminToken = (await signIn(site, site.admin)).accessToken
  ann = await addPerson(site, adminToken, { name: 'ann' })
  key = await makeKey(site, ann.accessToken)
})
afterAll(() => site.stage.end())

test('names of keys and of people are stored as they are or refused without being quoted (HTTP-03)', async () => {
  for (const text of texts) {
    const made = await send(`${site.service.url}/api-keys`, { token: ann.accessToken, json: { name: text } })
    site.stage.keepSecret(String(member(made.body, 'key') ?? marker))
    expectUnharmed(made, 'name', text)
    if (made.status === 201) {
      const id = String(member(made.body, 'id'))
      const read = await call(`${site.service.url}/api-keys/${id}`, { token: ann.accessToken })
      expect(member(read.body, 'name')).toBe(text)
    }
    const change = { token: ann.accessToken, method: 'PATCH', json: { displayName: text } }
    for (const url of [`${site.service.url}/account`, `${site.login.url}/users/me`]) {
      const changed = await send(url, change)
      expectUnharmed(changed, 'displayName', text)
      const read = await call(url, { token: ann.accessToken })
      if (changed.status === 200) expect(member(read.body, 'displayName')).toBe(text)
    }
  }
})

test('no character that turns or hides the text around it gets into a name that people read', async () => {
  for (const character of ['\u0000', '\u001b', '\u0085', '\u2028', '\u202e', '\u2066', '\ud800']) {
    const name = `seen${character}hidden`
    const token = ann.accessToken
    expectProblem(
      await call(`${site.service.url}/api-keys`, { token, json: { name } }),
      422,
      'invalid_request',
    )
    const change = { token, method: 'PATCH', json: { displayName: name } }
    expectProblem(await call(`${site.service.url}/account`, change), 422, 'invalid_request')
    expectProblem(await call(`${site.login.url}/users/me`, change), 422, 'invalid_request')
  }
})

test('addresses and passwords of any kind make a user who can sign in, or none (HTTP-03)', async () => {
  const users = `${site.login.url}/users`
  let number = 0
  for (const text of texts) {
    number += 1
    for (const email of [`${text}@example.com`, `a@${text}`, text.slice(0, 254)]) {
      const password = createPassword()
      site.stage.keepSecret(password)
      const made = await send(users, { token: adminToken, json: { email, password } })
      expectUnharmed(made, 'email', email)
    }
    await send(`${site.login.url}/auth/login`, { json: { email: text, password: marker } })
    const credentials = { email: `person${number}@example.com`, password: `${text} and more of it` }
    const made = await send(users, { token: adminToken, json: credentials })
    expect(made.text).not.toContain(marker)
    const signedIn = await send(`${site.login.url}/auth/login`, { json: credentials })
    expect(signedIn.status).toBe(made.status === 201 ? 200 : signedIn.status === 401 ? 401 : 422)
    const roles = await send(users, { token: adminToken, json: { ...credentials, roles: [text] } })
    expect([409, 413, 422]).toContain(roles.status)
  }
})

test('a password of lone surrogates is refused: they would all have one hash', async () => {
  const json = { email: 'surrogate@example.com', password: `a long password \ud800${marker}` }
  expectProblem(
    await call(`${site.login.url}/users`, { token: adminToken, json }),
    422,
    'password_unacceptable',
  )
})

test('documents hold any text, as names of members too, and come back unharmed (HTTP-03, HTTP-04)', async () => {
  const url = `${site.service.url}/documents/hostile`
  for (const text of texts) {
    for (const json of [
      text,
      [text],
      { [text]: text },
      JSON.parse(`{"__proto__":{"a":${JSON.stringify(text)}}}`),
    ]) {
      const put = await send(url, { key: key.key, method: 'PUT', json })
      if (Buffer.byteLength(JSON.stringify(json)) > 65_536) expectProblem(put, 413, 'body_too_large')
      else expect((await call(url, { key: key.key })).text).toBe(JSON.stringify(json))
    }
  }
  expect((await call(`${site.service.url}/whoami`, { key: key.key })).status).toBe(200)
})

test('ids, names and cursors in paths and queries are not found or refused, and never a fault (HTTP-03, HTTP-14)', async () => {
  const encoded = [
    ...texts.slice(0, -1).map(text => encodeURIComponent(text.toWellFormed().replaceAll(marker, ''))),
    '%00',
    '%ff',
    '%E0%A4%A',
    '%',
    '%2e%2e%2f',
    '*',
    'x'.repeat(8_000),
  ]
  const ask = (port: number, line: string, header: string): Promise<RawAnswer | null> =>
    exchange(port, [requestHead(line, [header])])
  const token = `Authorization: Bearer ${ann.accessToken}`
  const admin = `Authorization: Bearer ${adminToken}`
  for (const text of encoded.filter(part => part !== '')) {
    const answers = [
      await ask(site.service.port, `GET /documents/${text}`, token),
      await ask(site.service.port, `DELETE /documents/${text}`, token),
      await ask(site.service.port, `GET /api-keys/${text}`, token),
      await ask(site.service.port, `DELETE /api-keys/${text}`, token),
      await ask(site.service.port, `GET /documents?cursor=${text}`, token),
      await ask(site.service.port, `GET /documents?limit=${text}`, token),
      await ask(site.service.port, `GET /api-keys?cursor=${text}`, token),
      await ask(site.service.port, `GET /api-keys?owner=${text}`, admin),
      await ask(site.service.port, `GET /documents?${text}=1`, token),
      await ask(site.login.port, `GET /users/${text}`, admin),
      await ask(site.login.port, `DELETE /users/${text}`, admin),
      await ask(site.login.port, `GET /users?cursor=${text}`, admin),
      await ask(site.login.port, `GET /users?email=${text}`, admin),
      await ask(site.login.port, `GET /users?status=${text}`, admin),
    ]
    for (const answer of answers) expect(answer?.status).toBeLessThan(500)
  }
})

test('no value that was sent got into a log, and no log line was forged (LOG-03)', async () => {
  await Promise.all([site.login.stop(), site.service.stop()])
  expect(site.stage.leaks()).toEqual([])
  const lines = site.stage.logLines().map(parseJson)
  expect(lines.filter(line => typeof member(line, 'msg') !== 'string')).toEqual([])
  expect(lines.filter(line => textOf(line, 'level') === 'error' || textOf(line, 'msg') === 'forged')).toEqual(
    [],
  )
})

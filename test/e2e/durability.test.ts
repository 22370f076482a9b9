import { afterAll, beforeAll, expect, test } from 'bun:test'
import { call } from '../support/http.ts'
import { member, parseJson, textOf } from '../support/json.ts'
import { expectProblem } from '../support/problem.ts'
import {
  addPerson,
  type Credentials,
  createPassword,
  type Key,
  keyOf,
  makeKey,
  type Person,
  refresh,
  type Site,
  signIn,
  startSite,
  tokensOf,
} from '../support/site.ts'

/** What was acknowledged survives `kill -9` (OPS-01), and one service does not need the other to go on. */

let site: Site
let root: Person
let ann: Person
let key: Key

beforeAll(async () => {
  site = await startSite()
  const tokens = await signIn(site, site.admin)
  const { body } = await call(`${site.login.url}/users/me`, { token: tokens.accessToken })
  root = { ...site.admin, ...tokens, id: textOf(body, 'id') }
  ann = await addPerson(site, tokens.accessToken, { name: 'ann' })
  key = await makeKey(site, ann.accessToken)
})
afterAll(() => site.stage.end())

/** Writes on and on until the service is gone; each write tells when it is acknowledged. */
const writeUntilGone = async (write: (count: number) => Promise<unknown>): Promise<void> => {
  for (let count = 0; ; count += 1) {
    try {
      await write(count)
    } catch {
      return
    }
  }
}

const expectStatus = (actual: number, ...expected: readonly number[]): void => {
  if (!expected.includes(actual)) throw new Error(`answered ${actual}`)
}

test.each([1, 2, 3])(
  'service-a killed in the midst of writing has every document and key that it acknowledged (%p)',
  async round => {
    const documents = new Map<string, number>()
    const keys: Key[] = []
    let acknowledged = 0
    const { promise: enough, resolve } = Promise.withResolvers<void>()
    const acknowledge = (): void => {
      acknowledged += 1
      if (acknowledged === 30 + 7 * round) resolve()
    }
    const writers = [1, 2, 3].map(writer =>
      writeUntilGone(async count => {
        const name = `${round}-${writer}-${count % 10}`
        const url = `${site.service.url}/documents/${name}`
        const { status } = await call(url, { key: key.key, method: 'PUT', json: count })
        expectStatus(status, 200, 201)
        documents.set(name, count)
        acknowledge()
      }),
    )
    const keyWriter = writeUntilGone(async count => {
      if (count === 20) throw new Error('that is enough of keys')
      const json = { name: `${round}-${count}`, permissions: ['documents:read'] }
      const made = await call(`${site.service.url}/api-keys`, { token: ann.accessToken, json })
      expectStatus(made.status, 201)
      keys.push(keyOf(site, made))
      acknowledge()
    })
    await enough
    await site.service.kill()
    await Promise.all([...writers, keyWriter])
    expect((await call(`${site.login.url}/users/me`, { token: ann.accessToken })).status).toBe(200)

    await site.service.restart()
    expect(documents.size).toBeGreaterThan(5)
    for (const [name, count] of documents) {
      const { body } = await call(`${site.service.url}/documents/${name}`, { key: key.key })
      // A write that was under way may have come through as well.
      expect([count, count + 10]).toContain(Number(body))
    }
    expect(keys.length).toBeGreaterThan(0)
    for (const { id, key: text } of keys) {
      expect((await call(`${site.service.url}/documents`, { key: text })).status).toBe(200)
      await call(`${site.service.url}/api-keys/${id}`, { token: ann.accessToken, method: 'DELETE' })
    }
  },
)

test('a key that was revoked before the kill is revoked after it', async () => {
  const made = await makeKey(site, ann.accessToken)
  const { status } = await call(`${site.service.url}/api-keys/${made.id}`, {
    token: ann.accessToken,
    method: 'DELETE',
  })
  await site.service.kill()
  expect(status).toBe(204)
  await site.service.restart()
  expectProblem(await call(`${site.service.url}/documents`, { key: made.key }), 403, 'api_key_revoked')
})

test('login killed in the midst of writing has every user, role and session that it acknowledged', async () => {
  const people: Credentials[] = []
  const names = new Map<string, string>()
  let { refreshToken } = await signIn(site, ann)
  let refreshes = 0
  const { promise: enough, resolve } = Promise.withResolvers<void>()
  // From here on service-a has the key that tokens are signed with.
  expect((await call(`${site.service.url}/readyz`)).status).toBe(200)
  const userWriter = writeUntilGone(async count => {
    const person = { email: `person${count}@example.com`, password: createPassword() }
    site.stage.keepSecret(person.password)
    const made = await call(`${site.login.url}/users`, { token: root.accessToken, json: person })
    expectStatus(made.status, 201)
    people.push(person)
    if (people.length === 8) resolve()
  })
  const nameWriter = writeUntilGone(async count => {
    const displayName = `Ann the ${count}th`
    const json = { displayName }
    const changed = await call(`${site.login.url}/users/me`, {
      token: ann.accessToken,
      method: 'PATCH',
      json,
    })
    expectStatus(changed.status, 200)
    names
      .set('before', names.get('now') ?? '')
      .set('now', displayName)
      .set('next', `Ann the ${count + 1}th`)
  })
  const sessionWriter = writeUntilGone(async () => {
    refreshToken = tokensOf(site, await refresh(site, refreshToken)).refreshToken
    refreshes += 1
  })
  await enough
  await site.login.kill()
  await Promise.all([userWriter, nameWriter, sessionWriter])

  // Meanwhile service-a does what it can, and says what it can't.
  for (const credential of [{ key: key.key }, { token: ann.accessToken }]) {
    expect((await call(`${site.service.url}/documents`, credential)).status).toBe(200)
  }
  const refused = [
    await call(`${site.service.url}/account`, { token: ann.accessToken }),
    await call(`${site.service.url}/account`, { token: ann.accessToken, method: 'DELETE' }),
    await call(`${site.service.url}/api-keys`, {
      token: root.accessToken,
      json: { name: 'x', ownerId: ann.id },
    }),
  ]
  for (const answer of refused) {
    expectProblem(answer, 503, 'login_unreachable')
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
  }
  expect((await call(`${site.service.url}/documents`, { key: key.key })).status).toBe(200)

  await site.login.restart()
  expect(refreshes).toBeGreaterThan(3)
  const renewed = await refresh(site, refreshToken)
  expect(renewed.status).toBe(200)
  for (const { email, password } of people) {
    const found = await call(`${site.login.url}/users?email=${email}`, { token: root.accessToken })
    expect(found.text).toContain(email)
    expect((await call(`${site.login.url}/auth/login`, { json: { email, password } })).status).toBe(200)
  }
  const me = await call(`${site.login.url}/users/me`, { token: tokensOf(site, renewed).accessToken })
  expect([names.get('now'), names.get('next')]).toContain(textOf(me.body, 'displayName'))
})

test('service-a finds its way back to a login that is there again', async () => {
  let answer = await call(`${site.service.url}/account`, { token: ann.accessToken })
  for (let tries = 0; answer.status === 503 && tries < 50; tries += 1) {
    await Bun.sleep(100)
    answer = await call(`${site.service.url}/account`, { token: ann.accessToken })
  }
  expect([answer.status, member(answer.body, 'id')]).toEqual([200, ann.id])
})

test('a user who was disabled before the kill is out after it', async () => {
  const bob = await addPerson(site, root.accessToken, { name: 'bob' })
  const disabled = await call(`${site.login.url}/users/${bob.id}/disable`, {
    token: root.accessToken,
    method: 'POST',
  })
  await site.login.kill()
  expect(disabled.status).toBe(200)
  await site.login.restart()
  expectProblem(await refresh(site, bob.refreshToken), 401, 'refresh_token_invalid')
  expectProblem(await call(`${site.login.url}/users/me`, { token: bob.accessToken }), 401, 'token_invalid')
})

test('tokens that were issued before a restart of login are good after it: its key is kept', async () => {
  const before = await call(`${site.login.url}/.well-known/jwks.json`)
  await site.login.kill()
  await site.login.restart()
  expect((await call(`${site.login.url}/.well-known/jwks.json`)).body).toEqual(before.body)
  expect((await call(`${site.login.url}/users/me`, { token: ann.accessToken })).status).toBe(200)
})

test('killing leaves logs of whole lines without secrets (LOG-02, LOG-03)', async () => {
  await Promise.all([site.login.stop(), site.service.stop()])
  expect(site.stage.leaks()).toEqual([])
  for (const line of site.stage.logLines().slice(-20)) expect(member(parseJson(line), 'msg')).toBeString()
})

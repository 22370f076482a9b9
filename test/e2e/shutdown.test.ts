import { afterAll, beforeAll, expect, test } from 'bun:test'
import { call } from '../support/http.ts'
import { member, parseJson } from '../support/json.ts'
import type { Role } from '../support/role.ts'
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
import { type Connection, openConnection, requestHead } from '../support/tcp.ts'

/** SIGTERM: nothing new is taken on, nothing begun is cut, and the process ends with 0 (OPS-04). */

let site: Site
let adminToken: string
let ann: Person
let key: Key

beforeAll(async () => {
  site = await startSite()
  adminToken = (await signIn(site, site.admin)).accessToken
  ann = await addPerson(site, adminToken, { name: 'ann' })
  key = await makeKey(site, ann.accessToken)
})
afterAll(() => site.stage.end())

const type = 'Content-Type: application/json'

/** Sends a request but for the second half of its body. */
const begin = async (
  role: Role,
  line: string,
  header: string,
  body: string,
): Promise<{ connection: Connection; finish: () => void }> => {
  const connection = await openConnection(role.port)
  connection.write(requestHead(line, [header, type, `Content-Length: ${Buffer.byteLength(body)}`]))
  const half = Math.floor(body.length / 2)
  connection.write(body.slice(0, half))
  // Long enough for it to be under way when a signal comes.
  await Bun.sleep(100)
  return { connection, finish: () => connection.write(body.slice(half)) }
}

/** Waits until a log line with this message is there: the signal has been taken. */
const logged = (role: Role, message: string): Promise<string> =>
  role.program().waitForLine(line => member(parseJson(line), 'msg') === message)

const isRefused = async ({ port }: Role): Promise<boolean> => {
  try {
    const connection = await openConnection(port)
    connection.write(requestHead('GET /readyz'))
    const answer = await connection.answer()
    connection.close()
    return answer === null || answer.status === 503
  } catch {
    return true
  }
}

test.each(['SIGTERM', 'SIGINT'] as const)(
  'service-a on %s finishes the request under way, takes no other, and ends with 0',
  async signal => {
    const { service } = site
    const { connection, finish } = await begin(
      service,
      `PUT /documents/${signal}`,
      `X-API-Key: ${key.key}`,
      '{"size":12345}',
    )
    const idle = await openConnection(service.port)
    idle.write(requestHead('GET /readyz'))
    expect((await idle.answer())?.status).toBe(200)

    service.program().signal(signal)
    await logged(service, 'draining')
    expect(await isRefused(service)).toBe(true)
    idle.write(requestHead('GET /readyz'))
    expect((await idle.answer())?.status ?? 503).toBe(503)
    // A second signal does not cut the first one short.
    service.program().signal(signal)
    service.program().signal('SIGTERM')
    await Bun.sleep(100)
    finish()
    expect((await connection.answer())?.status).toBe(201)
    expect(await service.program().ended).toEqual({ code: 0, signal: null })
    connection.close()
    idle.close()

    await service.restart()
    expect((await call(`${service.url}/documents/${signal}`, { key: key.key })).body).toEqual({
      size: 12_345,
    })
  },
)

test('login on SIGTERM finishes what it began, a password being hashed included, and ends with 0', async () => {
  const { login } = site
  await login.stop()
  // The administrator's password is hashed anew at the next sign-in, and that takes a while.
  await login.restart({ PASSWORD_MEMORY_KIB: '262144' })
  const person = { email: 'late@example.com', password: createPassword() }
  site.stage.keepSecret(person.password)
  const header = `Authorization: Bearer ${adminToken}`
  const hashing = call(`${login.url}/auth/login`, { json: site.admin })
  const { connection, finish } = await begin(login, 'POST /users', header, JSON.stringify(person))
  login.program().signal('SIGTERM')
  await logged(login, 'draining')
  finish()
  expect((await connection.answer())?.status).toBe(201)
  expect((await hashing).status).toBe(200)
  expect(await login.program().ended).toEqual({ code: 0, signal: null })
  connection.close()

  await login.restart()
  expect((await call(`${login.url}/auth/login`, { json: person })).status).toBe(200)
})

test('without requests under way both end at once, idle connections or not', async () => {
  for (const role of [site.login, site.service]) {
    const idle = [await openConnection(role.port), await openConnection(role.port)]
    idle[0]?.write(requestHead('GET /livez'))
    await idle[0]?.answer()
    const started = performance.now()
    expect(await role.stop()).toEqual({ code: 0, signal: null })
    // DRAIN_SECONDS is 30: it did not have to be waited for.
    expect(performance.now() - started).toBeLessThan(10_000)
    for (const connection of idle) connection.close()
    await role.restart()
  }
})

test('the last word of a log is written before the process ends', async () => {
  for (let round = 0; round < 5; round += 1) {
    for (const role of [site.login, site.service]) {
      await role.stop()
      expect(member(parseJson(role.program().lines.at(-1) ?? ''), 'msg')).toBe('stopped')
      await role.restart()
    }
  }
})

test.each([0, 1, 5])(
  'a log that nobody reads any more stops neither the service nor its end (LOG-04, %p requests)',
  async count => {
    for (const role of [site.login, site.service]) {
      await role.program().closeOutput()
      for (let request = 0; request < count; request += 1) {
        expect((await call(`${role.url}/readyz`)).status).toBe(200)
      }
      const ending = await Promise.race([role.stop(), Bun.sleep(10_000)])
      if (ending === undefined) await role.kill()
      expect(ending).toEqual({ code: 0, signal: null })
      await role.restart()
    }
  },
)

test('a request that never ends is cut after DRAIN_SECONDS, and the process still ends with 0', async () => {
  const { service } = site
  await service.stop()
  await service.restart({ LOGIN_URL: site.login.url, DRAIN_SECONDS: '1' })
  const { connection } = await begin(service, 'PUT /documents/never', `X-API-Key: ${key.key}`, '{"a":1}')
  expect(await service.stop()).toEqual({ code: 0, signal: null })
  connection.close()
  await service.restart()
  expect((await call(`${service.url}/documents/never`, { key: key.key })).status).toBe(404)
})

test('a stopped service leaves a database without a write-ahead log: all of it is in the one file', async () => {
  for (const [role, name] of [
    [site.login, 'login'],
    [site.service, 'service-a'],
  ] as const) {
    await role.stop()
    const file = Bun.file(`${role.folder}/data/${name}.sqlite`)
    const log = Bun.file(`${role.folder}/data/${name}.sqlite-wal`)
    expect(file.size).toBeGreaterThan(0)
    expect((await log.exists()) ? log.size : 0).toBe(0)
  }
  expect(site.stage.leaks()).toEqual([])
})

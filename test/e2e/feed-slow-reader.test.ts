import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { type Answer, call } from '../support/http.ts'
import { listOf, member, textOf } from '../support/json.ts'
import { addKnown, type Known } from '../support/known-person.ts'
import { type LinkedSite, startLinkedSite } from '../support/linked-site.ts'
import { clientToken } from '../support/oauth.ts'
import { withDatabase } from '../support/sqlite-file.ts'
import { openConnection, requestHead } from '../support/tcp.ts'
import { until } from '../support/wait.ts'

/** Readers of the feed that harm nobody but themselves: slow, gone, or too many. */

let site: LinkedSite
let ann: Known
let token: string
/** Before everything that happens here. */
let start: string
const sockets: Socket[] = []

const poll = (after: string, follower: string, wait = 20): string =>
  `/changes?${new URLSearchParams({ after, wait: String(wait), limit: '1000', follower })}`
const latest = async (): Promise<string> =>
  textOf((await site.manage('/changes/snapshot', { token })).body, 'cursor')

/** Connections that ask for this and read nothing of what comes. */
const askWithoutReading = async (
  count: number,
  path: (index: number) => string,
  times = 1,
): Promise<void> => {
  await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const socket = connect({ port: site.login.port, host: '127.0.0.1' })
      sockets.push(socket)
      socket.on('error', () => {})
      await new Promise(resolve => socket.once('connect', resolve))
      socket.pause()
      socket.write(requestHead(`GET ${path(index)}`, [`Authorization: Bearer ${token}`]).repeat(times))
    }),
  )
}

/** Readers that login has heard of, by how they begin. */
const readers = async (prefix: string): Promise<unknown[]> => {
  const { body } = await site.manage('/changes/followers')
  return listOf(body, 'items').filter(item => String(member(item, 'follower')).startsWith(prefix))
}
const waiting = async (prefix: string): Promise<number> =>
  (await readers(prefix)).filter(item => member(item, 'isWaiting') === true).length

/** Resident memory, MiB. */
const memory = (): number => {
  const status = readFileSync(`/proc/${site.login.program().pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1_024
}

/** What everybody else asks of login meanwhile; none of it may have to wait for a reader. */
const expectResponsive = async (): Promise<void> => {
  const begun = performance.now()
  const answers = await Promise.all([
    call(`${site.login.url}/livez`),
    site.manage('/users/me'),
    call(`${site.login.url}/auth/refresh`, { json: { refresh_token: 'nonsense' } }),
    site.use('/documents', { key: ann.made.key }),
  ])
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 401, 200])
  expect(performance.now() - begun).toBeLessThan(2_000)
}

beforeAll(async () => {
  site = await startLinkedSite()
  const { body } = await site.manage('/clients', { json: { name: 'reader', scopes: ['changes:read'] } })
  token = await clientToken(site.login.url, { id: textOf(body, 'id'), secret: textOf(body, 'secret') }, {})
  start = await latest()
  ann = await addKnown(site, 'ann')
  await site.caughtUp()
})
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
})
afterAll(() => site.end())

test('sixty that wait at once all hear the next change, and login serves everybody else meanwhile', async () => {
  const after = await latest()
  const polls = Array.from({ length: 60 }, (_, index) => site.manage(poll(after, `many-${index}`), { token }))
  await until('all of them wait', async () => (await waiting('many-')) === 60)
  await expectResponsive()
  const json = { roles: ['reader', 'user'] }
  expect((await site.manage(`/users/${ann.id}`, { method: 'PATCH', json })).status).toBe(200)
  const answers: Answer[] = await Promise.all(polls)
  for (const { status, body } of answers) {
    expect([status, listOf(body, 'items')]).toMatchObject([200, [{ subjectId: ann.id, state: json }]])
  }
  expect(await waiting('many-')).toBe(0)
})

test('who goes away while waiting leaves nothing behind', async () => {
  const after = await latest()
  await askWithoutReading(60, index => poll(after, `gone-${index}`))
  await until('all of them wait', async () => (await waiting('gone-')) === 60)
  for (const socket of sockets.splice(0)) socket.destroy()
  await until('nobody waits', async () => (await waiting('gone-')) === 0)
  await expectResponsive()
})

test('more than can wait are told to come again, and those that wait are not harmed', async () => {
  const after = await latest()
  await askWithoutReading(90, index => poll(after, `crowd-${index}`))
  await until('they wait', async () => (await waiting('crowd-')) >= 64)
  const connection = await openConnection(site.login.port)
  connection.write(requestHead(`GET ${poll(after, 'late')}`, [`Authorization: Bearer ${token}`]))
  const refused = await connection.answer()
  expect([refused?.status, refused?.headers.get('retry-after')]).toEqual([503, '1'])
  connection.close()
  await expectResponsive()
  for (const socket of sockets.splice(0)) socket.destroy()
  await until('there is room again', async () => (await waiting('crowd-')) === 0)
  await site.caughtUp()
})

test('who asks again and again and reads nothing takes a bounded share of memory, and nobody’s time', async () => {
  withDatabase(site.loginFile, database =>
    database.run(`
      WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000)
      INSERT INTO changes (nonce, type, at, subject_id)
      SELECT hex(randomblob(9)), 'urn:latchkey:event-type:nothing', unixepoch() * 1000, 'kid-' || n FROM numbers`),
  )
  await site.caughtUp()
  const before = memory()
  // Answers of 200 KB each, two hundred megabytes in all.
  await askWithoutReading(50, index => poll(start, `slow-${index}`), 20)
  await until('all of them have asked', async () => (await readers('slow-')).length === 50)
  for (let round = 0; round < 5; round += 1) {
    await expectResponsive()
    await Bun.sleep(100)
  }
  expect(memory() - before).toBeLessThan(256)
  await site.manage(`/users/${ann.id}`, { method: 'PATCH', json: { roles: ['user'] } })
  await site.caughtUp()
})

test('SIGTERM while fifty wait ends login within two seconds, and each of them gets its answer', async () => {
  const after = await latest()
  const polls = Array.from({ length: 50 }, (_, index) => site.manage(poll(after, `last-${index}`), { token }))
  await until('all of them wait', async () => (await waiting('last-')) === 50)
  const begun = performance.now()
  expect(await site.login.stop()).toEqual({ code: 0, signal: null })
  expect(performance.now() - begun).toBeLessThan(2_000)
  for (const { status, body } of await Promise.all(polls)) {
    expect([status, listOf(body, 'items')]).toEqual([200, []])
  }
})

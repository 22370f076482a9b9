import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readFileSync, rmSync } from 'node:fs'
import { call } from '../support/http.ts'
import { isReady, type LinkedSite, startLinkedSite } from '../support/linked-site.ts'
import type { Role } from '../support/role.ts'
import { readValue, withDatabase } from '../support/sqlite-file.ts'
import { expectAgreement } from '../support/subject-rows.ts'
import { until } from '../support/wait.ts'

/** A hundred thousand users: what a first start takes, and what it costs everybody else meanwhile. */

const users = 100_000

let site: LinkedSite

const memoryOf = (role: Role): number => {
  const status = readFileSync(`/proc/${role.program().pid}/status`, 'utf8')
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1_024)
}

/** Asks `/livez` every few milliseconds until stopped; the longest time that passed between two answers. */
const watch = (role: Role) => {
  let isRunning = true
  let longest = 0
  const run = async (): Promise<void> => {
    let last = performance.now()
    while (isRunning) {
      try {
        await call(`${role.url}/livez`)
      } catch {
        // Not up yet: what counts is from the first answer on.
        last = performance.now()
        await Bun.sleep(5)
        continue
      }
      longest = Math.max(longest, performance.now() - last)
      last = performance.now()
      await Bun.sleep(5)
    }
  }
  const running = run()
  return async (): Promise<number> => {
    isRunning = false
    await running
    return Math.round(longest)
  }
}

const report = (figures: Readonly<Record<string, number>>): void => {
  process.stdout.write(`large: ${JSON.stringify(figures)}\n`)
}

beforeAll(async () => {
  site = await startLinkedSite()
  await Promise.all([site.login.stop(), site.service.stop()])
  for (const suffix of ['', '-wal', '-shm']) rmSync(`${site.serviceFile}${suffix}`, { force: true })
  withDatabase(site.loginFile, database => {
    const numbers = `WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${users})`
    database.run(`${numbers}
      INSERT INTO users (id, email, display_name, password_hash, status, created_at, updated_at)
      SELECT printf('usr_%032x', n), 'user' || n || '@example.com', NULL, NULL,
             CASE n % 50 WHEN 0 THEN 'disabled' ELSE 'active' END, unixepoch() * 1000, unixepoch() * 1000 FROM numbers`)
    database.run(
      `${numbers} INSERT INTO user_roles (user_id, role) SELECT printf('usr_%032x', n), 'user' FROM numbers`,
    )
    database.run(
      `${numbers} INSERT INTO user_roles (user_id, role) SELECT printf('usr_%032x', n), 'team-' || n % 20 FROM numbers WHERE n % 3 = 0`,
    )
  })
  await site.login.restart()
})
afterAll(() => site.end())

test('service-a gets ready by a snapshot of all, while both go on answering', async () => {
  const loginBefore = memoryOf(site.login)
  const begun = performance.now()
  const watchLogin = watch(site.login)
  const watchService = watch(site.service)
  await site.service.restart()
  const listening = performance.now()
  await until('service-a is ready', () => isReady(site.service), 60_000)
  const ready = performance.now()
  const [loginGap, serviceGap] = [await watchLogin(), await watchService()]
  report({
    users,
    listeningMilliseconds: Math.round(listening - begun),
    readyMilliseconds: Math.round(ready - begun),
    serviceMemoryMiB: memoryOf(site.service),
    loginMemoryMiB: memoryOf(site.login),
    loginMemoryBeforeMiB: loginBefore,
    longestLoginGapMilliseconds: loginGap,
    longestServiceGapMilliseconds: serviceGap,
  })
  expect(Number(readValue(site.serviceFile, 'SELECT count(*) FROM subjects'))).toBeGreaterThan(users)
  await expectAgreement(site.loginFile, site.serviceFile)
  expect(loginGap).toBeLessThan(500)
  expect(serviceGap).toBeLessThan(500)
}, 120_000)

test('a change of one of them is heard as fast as with few', async () => {
  await site.caughtUp()
  const id = `usr_${(77_777).toString(16).padStart(32, '0')}`
  const { status } = await site.manage(`/users/${id}/disable`, { method: 'POST' })
  const acknowledged = performance.now()
  expect(status).toBe(200)
  await until(
    'it is written',
    () => readValue(site.serviceFile, 'SELECT status FROM subjects WHERE id = ?', id) === 'disabled',
  )
  report({ changeMilliseconds: Math.round(performance.now() - acknowledged) })
  expect(performance.now() - acknowledged).toBeLessThan(1_500)
})

test('service-a that is started again reads all from its own database', async () => {
  await site.service.stop()
  const begun = performance.now()
  await site.service.restart()
  const listening = performance.now()
  await until('service-a is ready', () => isReady(site.service), 60_000)
  report({
    againListeningMilliseconds: Math.round(listening - begun),
    againReadyMilliseconds: Math.round(performance.now() - begun),
    againMemoryMiB: memoryOf(site.service),
  })
  await site.caughtUp()
  await expectAgreement(site.loginFile, site.serviceFile)
}, 60_000)

import { expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bySystem } from '../lib/audit.ts'
import { systemClock } from '../lib/clock.ts'
import { createSqliteUserStore } from '../userdb/index.ts'
import { createChangeLog } from './change-log.ts'
import type { RaceOrder } from './session-race.worker.ts'
import { createSqliteSessionStore } from './session-store.ts'
import { newUser, openLoginDatabase } from './test-login.ts'

// A connection of SQLite is synchronous, so that two in one thread take turns. Threads do not.

const nextMessage = (worker: Worker): Promise<unknown> =>
  new Promise((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<unknown>) => resolve(data)
    worker.onerror = reject
  })

/** What each thread came to; they begin together. */
const run = async (orders: RaceOrder[]): Promise<unknown[]> => {
  const workers = orders.map(order => {
    const worker = new Worker(new URL('./session-race.worker.ts', import.meta.url))
    worker.postMessage(order)
    return worker
  })
  await Promise.all(workers.map(nextMessage))
  const outcomes = workers.map(nextMessage)
  for (const worker of workers) worker.postMessage('go')
  const all = await Promise.all(outcomes)
  for (const worker of workers) worker.terminate()
  return all
}

test('SES-02: two threads that refresh the same 20 sessions get the same live token of each', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'login-race-'))
  const path = join(folder, 'login.sqlite')
  const database = openLoginDatabase(path)
  const users = createSqliteUserStore({ database, clock: systemClock })
  const sessions = createSqliteSessionStore({
    database,
    clock: systemClock,
    changes: createChangeLog(database),
  })
  const ann = await users.insert(newUser('ann@example.com'), bySystem)
  const started = await Promise.all(Array.from({ length: 20 }, () => sessions.start(ann.id, bySystem)))
  const tokens = started.map(session => session?.refreshToken ?? '')

  const [one, other] = await run([
    { path, tokens },
    { path, tokens },
  ])
  expect(one).toEqual(other)
  expect(one).not.toContain(null)
  const counters = database.query('SELECT refresh_counter, ended_at FROM sessions').all()
  expect(counters).toEqual(Array.from({ length: 20 }, () => ({ refresh_counter: 1, ended_at: null })))
  database.close()
  rmSync(folder, { recursive: true })
})

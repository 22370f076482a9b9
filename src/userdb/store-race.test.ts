import type { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bySystem } from '../lib/audit.ts'
import { systemClock } from '../lib/clock.ts'
import { createSqliteUserStore, type UserStore } from './store.ts'
import type { RaceOrder } from './store-race.worker.ts'
import { newUser, openUserDatabase } from './test-store.ts'

// A connection of SQLite is synchronous, so that two in one thread take turns. Threads do not.
describe('two threads with a connection each', () => {
  let folder: string
  let path: string
  let database: Database
  let store: UserStore
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'userdb-race-'))
    path = join(folder, 'users.sqlite')
    database = openUserDatabase(path)
    store = createSqliteUserStore({ database, clock: systemClock })
  })
  afterEach(() => {
    database.close()
    rmSync(folder, { recursive: true })
  })

  const nextMessage = (worker: Worker): Promise<unknown> =>
    new Promise((resolve, reject) => {
      worker.onmessage = ({ data }: MessageEvent<unknown>) => resolve(data)
      worker.onerror = reject
    })

  /** All outcomes of both threads, which begin together. */
  const run = async (orders: RaceOrder[]): Promise<unknown[]> => {
    const workers = orders.map(order => {
      const worker = new Worker(new URL('./store-race.worker.ts', import.meta.url))
      worker.postMessage(order)
      return worker
    })
    await Promise.all(workers.map(nextMessage))
    const outcomes = workers.map(nextMessage)
    for (const worker of workers) worker.postMessage('go')
    const all = await Promise.all(outcomes)
    for (const worker of workers) worker.terminate()
    return all.flat()
  }

  const count = (outcomes: unknown[], code: unknown): number =>
    outcomes.filter(outcome => outcome === code).length

  test.each(['disable', 'demote', 'remove'] as const)(
    'AZ-04: one active admin is left, whichever way both go (%s)',
    async action => {
      const ids: string[] = []
      for (let index = 0; index < 20; index += 1) {
        const user = newUser(`admin-${index}@example.com`, { roles: ['admin'] })
        ids.push((await store.insert(user, bySystem)).id)
      }
      const outcomes = await run([
        { path, action, subjects: ids.slice(0, 10) },
        { path, action, subjects: ids.slice(10) },
      ])
      expect(count(outcomes, null)).toBe(19)
      expect(count(outcomes, 'last_admin')).toBe(1)
      const { items } = await store.list({ limit: 100, after: null, status: 'active' })
      expect(items.filter(({ roles }) => roles.includes('admin'))).toHaveLength(1)
    },
  )

  test('PWD-13: every address has one user', async () => {
    const subjects = Array.from({ length: 30 }, (_, index) => `user-${index}@example.com`)
    const outcomes = await run([
      { path, action: 'insert', subjects },
      { path, action: 'insert', subjects },
    ])
    expect(count(outcomes, null)).toBe(30)
    expect(count(outcomes, 'email_taken')).toBe(30)
    expect((await store.list({ limit: 100, after: null })).items).toHaveLength(30)
  })
})

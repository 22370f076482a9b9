import type { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import { bySystem } from '../lib/audit.ts'
import { systemClock } from '../lib/clock.ts'
import { createSqliteUserStore, type UserStore, type UserTransaction } from './store.ts'
import { newUser, openUserDatabase } from './test-store.ts'
import { listUserStates, readUserState } from './user-states.ts'

let database: Database
let store: UserStore
beforeEach(() => {
  database = openUserDatabase()
  store = createSqliteUserStore({ database, clock: systemClock })
})
afterEach(() => database.close())

const inRead = <Result>(read: (tx: UserTransaction) => Result): Result =>
  drizzle({ client: database }).transaction(read)

describe('the state of a user', () => {
  test('is status and roles, and nothing about the person', async () => {
    const ann = await store.insert(
      newUser('ann@example.com', { roles: ['user', 'admin', 'support'] }),
      bySystem,
    )
    const bob = await store.insert(newUser('bob@example.com', { roles: [] }), bySystem)
    await store.disable(bob.id, bySystem)
    expect(inRead(tx => readUserState(tx, ann.id))).toEqual({
      id: ann.id,
      status: 'active',
      roles: ['admin', 'support', 'user'],
    })
    expect(inRead(tx => readUserState(tx, bob.id))).toEqual({ id: bob.id, status: 'disabled', roles: [] })
    expect(inRead(tx => readUserState(tx, 'usr_nobody'))).toBeNull()
  })

  test('of all comes in the order of ids, page by page', async () => {
    const ids = ['usr_c', 'usr_a', 'usr_e', 'usr_b', 'usr_d']
    for (const id of ids) await store.insert({ ...newUser(`${id}@example.com`), id }, bySystem)
    const pages: string[][] = []
    let afterId = ''
    for (;;) {
      const page = inRead(tx => listUserStates(tx, { afterId, limit: 2 }))
      pages.push(page.map(({ id }) => id))
      const last = page.at(-1)
      if (last === undefined) break
      expect(last.roles).toEqual(['user'])
      afterId = last.id
    }
    expect(pages).toEqual([['usr_a', 'usr_b'], ['usr_c', 'usr_d'], ['usr_e'], []])
  })
})

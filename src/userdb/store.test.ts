import type { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sqliteTable, text } from 'drizzle-orm/sqlite-core'
import { bySystem } from '../lib/audit.ts'
import { systemClock } from '../lib/clock.ts'
import { users } from './schema.ts'
import { describeUserStore } from './store.contract.ts'
import { createSqliteUserStore } from './store.ts'
import { codeOf, newUser, openUserDatabase } from './test-store.ts'

const makeFolder = (): string => mkdtempSync(join(tmpdir(), 'userdb-'))

describeUserStore('users in memory', (clock, onEvent) => {
  const database = openUserDatabase()
  const store = createSqliteUserStore({ database, clock, inTransaction: (_, event) => onEvent(event) })
  return { first: store, second: store, close: () => database.close() }
})

describeUserStore('users in a file with two connections', (clock, onEvent) => {
  const folder = makeFolder()
  const databases = [1, 2].map(() => openUserDatabase(join(folder, 'users.sqlite')))
  const [first, second] = databases.map(database =>
    createSqliteUserStore({ database, clock, inTransaction: (_, event) => onEvent(event) }),
  )
  if (!first || !second) throw new Error('two databases make two stores')
  return {
    first,
    second,
    close: () => {
      for (const database of databases) database.close()
      rmSync(folder, { recursive: true })
    },
  }
})

// Stands for the tables that a service writes beside a change: its audit, its sessions.
const log = sqliteTable('log', { entry: text().notNull().unique() })

describe('the transaction', () => {
  let database: Database
  beforeEach(() => {
    database = openUserDatabase()
    database.run('CREATE TABLE log (entry TEXT NOT NULL UNIQUE)')
  })
  afterEach(() => database.close())
  const entries = () => database.query('SELECT entry FROM log').values().flat()

  test('what is written through it commits with the change, and goes when the change goes', async () => {
    let failing = false
    const store = createSqliteUserStore({
      database,
      clock: systemClock,
      inTransaction: (tx, { type, user }) => {
        // The change is there already, so that what is written can refer to it.
        expect(tx.select({ id: users.id }).from(users).all()).toEqual([{ id: user.id }])
        tx.insert(log).values({ entry: type }).run()
        if (failing) throw new Error('failed')
      },
    })
    const ann = await store.insert(newUser('ann@example.com'), bySystem)
    failing = true
    await expect(store.disable(ann.id, bySystem)).rejects.toThrow('failed')
    expect(entries()).toEqual(['user_created'])
  })

  test('its own broken unique index is not mistaken for a taken address', async () => {
    const store = createSqliteUserStore({
      database,
      clock: systemClock,
      inTransaction: tx => tx.insert(log).values({ entry: 'same' }).run(),
    })
    await store.insert(newUser('ann@example.com'), bySystem)
    expect(await codeOf(store.insert(newUser('bob@example.com'), bySystem))).toBe('SQLITE_CONSTRAINT_UNIQUE')
    expect(await store.findByEmail('bob@example.com')).toBeNull()
  })

  test('an asynchronous callback is refused and rolled back: it would commit before it fails', async () => {
    const store = createSqliteUserStore({
      database,
      clock: systemClock,
      inTransaction: async tx => {
        tx.insert(log).values({ entry: 'early' }).run()
      },
    })
    await expect(store.insert(newUser('ann@example.com'), bySystem)).rejects.toThrow('must be synchronous')
    expect(await store.findByEmail('ann@example.com')).toBeNull()
    expect(entries()).toEqual([])
  })

  test('the roles of a removed user go with it', async () => {
    const store = createSqliteUserStore({ database, clock: systemClock })
    const ann = await store.insert(newUser('ann@example.com', { roles: ['user', 'support'] }), bySystem)
    await store.remove(ann.id, bySystem)
    expect(database.query('SELECT * FROM user_roles').all()).toEqual([])
  })
})

describe('OPS-02: while another connection holds the file', () => {
  let folder: string
  let database: Database
  let other: Database
  beforeEach(() => {
    folder = makeFolder()
    database = openUserDatabase(join(folder, 'users.sqlite'))
    other = openUserDatabase(join(folder, 'users.sqlite'))
  })
  afterEach(() => {
    database.close()
    other.close()
    rmSync(folder, { recursive: true })
  })
  const create = () => createSqliteUserStore({ database, clock: systemClock })
  const admin = (email: string) => newUser(email, { roles: ['admin'] })

  /** Begins a change while the other connection is in the middle of one, which then commits. */
  const raceWith = async (statement: string, id: string, change: () => Promise<unknown>) => {
    other.run('BEGIN IMMEDIATE')
    other.query(statement).run(id)
    const outcome = codeOf(change())
    await Bun.sleep(5)
    other.run('COMMIT')
    return outcome
  }

  test('a write waits without stopping the event loop, then goes through', async () => {
    const store = create()
    other.run('BEGIN IMMEDIATE')
    let done = false
    const inserting = store.insert(newUser('ann@example.com'), bySystem).then(() => {
      done = true
    })
    await Bun.sleep(10)
    expect(done).toBe(false)
    expect(await store.findByEmail('ann@example.com')).toBeNull()
    other.run('COMMIT')
    await inserting
    expect(await store.findByEmail('ann@example.com')).not.toBeNull()
  })

  test.each(['remove', 'disable', 'update'] as const)(
    'AZ-04: %s is decided on what the other has committed',
    async way => {
      const store = create()
      const ann = await store.insert(admin('ann@example.com'), bySystem)
      const bob = await store.insert(admin('bob@example.com'), bySystem)
      const disable = "UPDATE users SET status = 'disabled' WHERE id = ?"
      const outcome = await raceWith(disable, bob.id, () =>
        way === 'update' ? store.update(ann.id, { roles: [] }, bySystem) : store[way](ann.id, bySystem),
      )
      expect(outcome).toBe('last_admin')
      expect(await store.hasAdmin()).toBe(true)
    },
  )

  test('AZ-04: a refusal too is decided on what the other has committed', async () => {
    const store = create()
    const ann = await store.insert(admin('ann@example.com'), bySystem)
    const bob = await store.insert(newUser('bob@example.com'), bySystem)
    const promote = "INSERT INTO user_roles (user_id, role) VALUES (?, 'admin')"
    expect(await raceWith(promote, bob.id, () => store.remove(ann.id, bySystem))).toBeNull()
    expect(await store.findById(ann.id)).toBeNull()
  })

  test('PWD-12: the first admin is decided on what the other has committed', async () => {
    const store = create()
    const bob = await store.insert(newUser('bob@example.com'), bySystem)
    const promote = "INSERT INTO user_roles (user_id, role) VALUES (?, 'admin')"
    await raceWith(promote, bob.id, async () => {
      expect(await store.insertFirstAdmin(admin('ann@example.com'), bySystem)).toBeNull()
    })
    expect(await store.findByEmail('ann@example.com')).toBeNull()
  })

  test('PWD-13: an address that the other has taken meanwhile is taken', async () => {
    const store = create()
    const bob = await store.insert(newUser('bob@example.com'), bySystem)
    const move = "UPDATE users SET email = 'ann@example.com' WHERE id = ?"
    const outcome = await raceWith(move, bob.id, () => store.insert(newUser('ann@example.com'), bySystem))
    expect(outcome).toBe('email_taken')
  })
})

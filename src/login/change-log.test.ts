import { describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import { changeTypes } from '../lib/changes-schema.ts'
import { createChangeLog } from './change-log.ts'
import { changeRows } from './test-feed.ts'
import { openLoginDatabase, startOfTest } from './test-login.ts'

const change = { type: changeTypes.accountDisabled, at: startOfTest, subjectId: 'usr_1' }

describe('what is appended', () => {
  test('is kept in order, each under a number and a nonce of its own', () => {
    const database = openLoginDatabase()
    const log = createChangeLog(database)
    const list = Array.from({ length: 250 }, (_, index) => ({ ...change, subjectId: `usr_${index}` }))
    drizzle({ client: database }).transaction(tx => log.append(tx, list))
    const rows = changeRows(database)
    expect(rows.map(({ sequence }) => sequence)).toEqual(list.map((_, index) => index + 1))
    expect(rows.map(({ subjectId }) => subjectId)).toEqual(list.map(({ subjectId }) => subjectId))
    const nonces = database.query('SELECT DISTINCT nonce FROM changes').all()
    expect(nonces).toHaveLength(250)
    database.close()
  })

  test('is gone with a transaction that fails, and its number is never told', () => {
    const database = openLoginDatabase()
    const log = createChangeLog(database)
    const db = drizzle({ client: database })
    expect(() =>
      db.transaction(tx => {
        log.append(tx, [change])
        throw new Error('undone')
      }),
    ).toThrow('undone')
    expect(changeRows(database)).toEqual([])
    database.close()
  })
})

describe('a watcher', () => {
  /** How often a watcher is told before a time is over, or it has been told. */
  const nextTelling = (log: ReturnType<typeof createChangeLog>): Promise<'told' | 'not told'> =>
    new Promise(resolve => {
      const end = (outcome: 'told' | 'not told') => {
        stop()
        clearTimeout(timer)
        resolve(outcome)
      }
      const stop = log.watch(() => end('told'))
      const timer = setTimeout(() => end('not told'), 500)
    })

  test('is told of what this process writes, when it is committed and not before', async () => {
    const database = openLoginDatabase()
    const log = createChangeLog(database)
    const seen: number[] = []
    const stop = log.watch(() => seen.push(changeRows(database).length))
    drizzle({ client: database }).transaction(tx => {
      log.append(tx, [change])
      log.append(tx, [change, change])
      expect(seen).toEqual([])
    })
    await Promise.resolve()
    expect(seen).toEqual([3])
    stop()
    drizzle({ client: database }).transaction(tx => log.append(tx, [change]))
    await Bun.sleep(30)
    expect(seen).toEqual([3])
    database.close()
  })

  test('is told of what another connection commits, the second time too', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'changes-'))
    const [one, other] = [1, 2].map(() => openLoginDatabase(join(folder, 'login.sqlite')))
    if (!one || !other) throw new Error('two connections')
    const log = createChangeLog(one)
    for (let turn = 0; turn < 2; turn += 1) {
      const told = nextTelling(log)
      drizzle({ client: other }).transaction(tx => createChangeLog(other).append(tx, [change]))
      expect(await told).toBe('told')
    }
    one.close()
    other.close()
    rmSync(folder, { recursive: true })
  })

  test('of a file that can not be asked any more is told, so that it finds out', async () => {
    const database = openLoginDatabase()
    const told = nextTelling(createChangeLog(database))
    database.close()
    expect(await told).toBe('told')
  })
})

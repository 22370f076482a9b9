import { afterAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bySystem } from '../lib/audit.ts'
import { createChangeLog } from './change-log.ts'
import { clientStoreContract, newClient } from './client-store.contract.ts'
import { createSqliteClientStore } from './client-store.ts'
import { changeRows } from './test-feed.ts'
import { auditOf, createTime, openLoginDatabase } from './test-login.ts'

const folder = mkdtempSync(join(tmpdir(), 'client-store-'))
afterAll(() => rmSync(folder, { recursive: true }))

const createSite = (limit?: number) => {
  const path = join(folder, `${crypto.randomUUID()}.sqlite`)
  const [database, second] = [openLoginDatabase(path), openLoginDatabase(path)]
  // What is asked here is who wins, not what survives a power cut.
  for (const each of [database, second]) each.run('PRAGMA synchronous = OFF')
  const time = createTime()
  const { clock } = time
  const create = (each: typeof database) =>
    createSqliteClientStore({
      database: each,
      clock,
      changes: createChangeLog(each),
      ...(limit === undefined ? {} : { limit }),
    })
  return {
    database,
    store: create(database),
    other: create(second),
    time,
    audit: () => auditOf(database),
    changes: () => changeRows(database),
  }
}

describe('service accounts in SQLite', () => {
  clientStoreContract(createSite)

  test('a change that services can not be told of is not made, nor audited', async () => {
    const { database, store, audit } = createSite()
    const { id } = await store.insert(newClient(), bySystem)
    database.run('ALTER TABLE changes RENAME TO gone')
    for (const work of [
      () => store.disable(id, bySystem),
      () => store.remove(id, bySystem),
      () => store.update(id, { scopes: [] }, bySystem),
      () => store.rotate(id, { id: 'sec_x', hash: 'x' }, 0, bySystem),
      () => store.insert(newClient({ id: 'cli_new' }), bySystem),
    ]) {
      await expect(work()).rejects.toThrow()
    }
    expect(await store.find(id)).toMatchObject({ status: 'active', scopes: ['changes:read'] })
    expect((await store.findCredential(id))?.hashes).not.toContain('x')
    expect(await store.find('cli_new')).toBeNull()
    expect(audit()).toHaveLength(1)
  })

  test('hashes of a deleted client are in no row any more', async () => {
    const { database, store } = createSite()
    const { id } = await store.insert(newClient(), bySystem)
    await store.rotate(id, { id: 'sec_y', hash: 'y' }, 60, bySystem)
    await store.remove(id, bySystem)
    expect(database.query('SELECT * FROM client_secrets').all()).toEqual([])
  })
})

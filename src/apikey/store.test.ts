import type { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import { bySystem } from '../lib/audit.ts'
import { type Clock, systemClock } from '../lib/clock.ts'
import { createScan } from './scan.ts'
import { apikeyAudit } from './schema.ts'
import { type AuditEntry, describeKeyStore, type StorePair } from './store.contract.ts'
import { createSqliteKeyStore, type KeyStore, type KeyTransfer } from './store.ts'
import { describeKeyCredits } from './store-credits.contract.ts'
import { describeKeyList } from './store-list.contract.ts'
import { describeKeyTransfer } from './store-transfer.contract.ts'
import { describeKeyUses } from './store-uses.contract.ts'
import { codeOf, newKey, newMaterial, openKeyDatabase } from './test-store.ts'
import { createUsageStore } from './usage-store.ts'

const auditOf = (database: Database): AuditEntry[] =>
  drizzle({ client: database })
    .select({
      action: apikeyAudit.action,
      subjectId: apikeyAudit.subjectId,
      detail: apikeyAudit.detail,
      actorId: apikeyAudit.actorId,
      requestId: apikeyAudit.requestId,
      address: apikeyAudit.address,
    })
    .from(apikeyAudit)
    .orderBy(apikeyAudit.sequence)
    .all()

const inMemory = (clock: Clock, scan = createScan()): StorePair => {
  const database = openKeyDatabase()
  const store = createSqliteKeyStore({ database, clock, scan })
  const uses = createUsageStore({ database })
  return {
    first: store,
    second: store,
    firstUses: uses,
    secondUses: uses,
    audit: () => auditOf(database),
    close: () => database.close(),
  }
}

const inFile = (clock: Clock, scan = createScan()): StorePair => {
  const folder = mkdtempSync(join(tmpdir(), 'apikey-'))
  const path = join(folder, 'keys.sqlite')
  const [one, two] = [openKeyDatabase(path), openKeyDatabase(path)]
  return {
    first: createSqliteKeyStore({ database: one, clock, scan }),
    second: createSqliteKeyStore({ database: two, clock, scan }),
    firstUses: createUsageStore({ database: one }),
    secondUses: createUsageStore({ database: two }),
    audit: () => auditOf(two),
    close: () => {
      one.close()
      two.close()
      rmSync(folder, { recursive: true })
    },
  }
}

for (const describeStore of [
  describeKeyStore,
  describeKeyCredits,
  describeKeyList,
  describeKeyTransfer,
  describeKeyUses,
]) {
  describeStore('keys in memory', inMemory)
  describeStore('keys in a file with two connections', inFile)
}

const toBob: KeyTransfer = {
  from: 'usr_ann',
  to: 'usr_bob',
  keyIds: null,
  most: 100,
  limit: 100,
  grantable: [],
}

describe('the audit trail', () => {
  let database: Database
  let store: KeyStore
  let id: string
  beforeEach(async () => {
    database = openKeyDatabase()
    store = createSqliteKeyStore({ database, clock: systemClock })
    const made = await store.insert(newKey('usr_ann'), 10, bySystem)
    id = made.id
  })
  afterEach(() => database.close())
  const keys = () => database.query('SELECT * FROM api_keys ORDER BY id').all()

  test.each([
    ['insert', () => store.insert(newKey('usr_ann'), 10, bySystem)],
    ['update', () => store.update(id, 'all', { name: 'other' }, bySystem)],
    ['rotate', () => store.rotate(id, 'all', newMaterial(), Date.now(), bySystem)],
    ['revoke', () => store.revoke(id, 'all', bySystem)],
    ['revokeOwned', () => store.revokeOwned('usr_ann', bySystem)],
    ['transfer', () => store.transfer(toBob, bySystem)],
  ] as const)(
    'LOG-01: no change goes without its row: %s is undone where it can not be written',
    async (_, act) => {
      const before = keys()
      database.run('ALTER TABLE api_key_audit RENAME TO away')
      expect(await codeOf(act())).not.toBeNull()
      expect(keys()).toEqual(before)
      database.run('ALTER TABLE away RENAME TO api_key_audit')
      expect(await codeOf(act())).toBeNull()
      expect(keys()).not.toEqual(before)
    },
  )

  test('a refused change leaves no row', async () => {
    const before = auditOf(database).length
    await codeOf(store.update('key_ghost', 'all', { name: 'other' }, bySystem))
    await codeOf(store.insert(newKey('usr_ann'), 1, bySystem))
    expect(await codeOf(store.transfer({ ...toBob, limit: 0 }, bySystem))).toBe('api_key_limit_reached')
    expect(auditOf(database)).toHaveLength(before)
  })
})

describe('the queries', () => {
  test('KEY-13: a key is looked up, counted and listed through an index', () => {
    const database = openKeyDatabase()
    const plan = (sql: string): string =>
      database
        .query<{ detail: string }, []>(`EXPLAIN QUERY PLAN ${sql}`)
        .all()
        .map(({ detail }) => detail)
        .join('; ')
    expect(plan("SELECT * FROM api_keys WHERE id = 'x'")).toContain('USING INDEX')
    expect(plan("SELECT count(*) FROM api_keys WHERE owner_id = 'x' AND revoked_at IS NULL")).toContain(
      'api_keys_by_owner',
    )
    const page = plan(
      "SELECT * FROM api_keys WHERE owner_id = 'x' AND (created_at, id) > (1, 'x') ORDER BY created_at, id LIMIT 51",
    )
    expect(page).toContain('api_keys_by_owner')
    expect(page).not.toContain('TEMP B-TREE')
    database.close()
  })

  test('HTTP-14: what a caller sends is never SQL', async () => {
    const database = openKeyDatabase()
    const store = createSqliteKeyStore({ database, clock: systemClock })
    await store.insert(newKey('usr_ann'), 10, bySystem)
    for (const text of ["' OR 1=1 --", "'; DROP TABLE api_keys; --", '%', 'key_%', '\0', '"id"']) {
      expect(await store.findCredential(text)).toBeNull()
      expect(await codeOf(store.find(text, 'all'))).toBe('api_key_not_found')
      const scope = { ownerId: text }
      expect((await store.list({ scope, limit: 10, after: { createdAt: 0, id: text } })).items).toEqual([])
    }
    expect((await store.list({ scope: 'all', limit: 10, after: null })).items).toHaveLength(1)
    database.close()
  })
})

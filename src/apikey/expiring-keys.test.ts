import type { Database } from 'bun:sqlite'
import { beforeEach, describe, expect, test } from 'bun:test'
import { bySystem } from '../lib/audit.ts'
import type { KeyEvent } from './events.ts'
import { createExpiringKeys } from './expiring-keys.ts'
import type { NewKey } from './key-record.ts'
import { createSqliteKeyStore, type KeyStore } from './store.ts'
import { newKey, newMaterial, openKeyDatabase } from './test-store.ts'

const day = 86_400_000
let now: number
let database: Database
let store: KeyStore
let told: string[]
let tell: () => Promise<void>

beforeEach(() => {
  now = 1_000
  told = []
  database = openKeyDatabase()
  store = createSqliteKeyStore({ database, clock: () => now })
  const emit = (event: KeyEvent): void => {
    if (event.type === 'api_key.expiring') told.push(event.keyId)
  }
  tell = createExpiringKeys({ database, clock: () => now, seconds: 7 * 86_400, emit })
})

const insert = (changes: Partial<NewKey> = {}) =>
  store.insert(newKey('usr_ann', changes), 1_000, { ...bySystem, actorId: 'usr_ann' })
const look = async (): Promise<string[]> => {
  told.length = 0
  await tell()
  return told.toSorted()
}

describe('keys that expire soon', () => {
  test('are told once each, from 7 days ahead on', async () => {
    const { id } = await insert({ expiresAt: now + 8 * day })
    await insert()
    expect(await look()).toEqual([])
    now += day - 1
    expect(await look()).toEqual([])
    now += 1
    expect(await look()).toEqual([id])
    expect(await look()).toEqual([])
  })

  test('are told again when they got another expiry', async () => {
    const { id } = await insert({ expiresAt: now + day })
    expect(await look()).toEqual([id])
    await store.update(id, 'all', { name: 'renamed' }, bySystem)
    expect(await look()).toEqual([])
    await store.update(id, 'all', { expiresAt: now + 2 * day }, bySystem)
    expect(await look()).toEqual([id])
  })

  test('are not told where nobody would miss them: disabled, revoked, replaced, or expired by then', async () => {
    const { id } = await insert({ expiresAt: now + day })
    await store.update(id, 'all', { enabled: false }, bySystem)
    await store.revoke((await insert({ expiresAt: now + day })).id, 'all', bySystem)
    const replaced = await insert({ expiresAt: now + day })
    const next = await store.rotate(replaced.id, 'all', newMaterial(), now + day, bySystem)
    await insert({ expiresAt: now + 1 })
    now += 1
    expect(await look()).toEqual([next.id])
  })

  test('are all told, however many there are', async () => {
    for (let count = 0; count < 120; count += 1) await insert({ expiresAt: now + day })
    expect(await look()).toHaveLength(120)
    expect(await look()).toEqual([])
  })
})

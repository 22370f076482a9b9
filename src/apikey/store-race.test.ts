import type { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bySystem } from '../lib/audit.ts'
import { systemClock } from '../lib/clock.ts'
import { createSqliteKeyStore, type KeyStore } from './store.ts'
import type { RaceOrder } from './store-race.worker.ts'
import { newKey, openKeyDatabase } from './test-store.ts'

// A connection of SQLite is synchronous, so that two in one thread take turns. Threads do not.
describe('two threads with a connection each', () => {
  let folder: string
  let path: string
  let database: Database
  let store: KeyStore
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'apikey-race-'))
    path = join(folder, 'keys.sqlite')
    database = openKeyDatabase(path)
    store = createSqliteKeyStore({ database, clock: systemClock })
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

  /** All outcomes of the threads, which begin together. */
  const run = async (orders: Omit<RaceOrder, 'path' | 'limit'>[], limit = 10): Promise<unknown[]> => {
    const workers = orders.map(order => {
      const worker = new Worker(new URL('./store-race.worker.ts', import.meta.url))
      worker.postMessage({ ...order, path, limit } satisfies RaceOrder)
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
  const insert = async (ownerId: string): Promise<string> =>
    (await store.insert(newKey(ownerId), 100, bySystem)).id
  const keysOf = async (ownerId: string) =>
    (await store.list({ scope: { ownerId }, limit: 200, after: null })).items

  test('KEY-12: 50 creations on two connections keep the limit of 10', async () => {
    const subjects = Array.from({ length: 25 }, () => 'usr_ann')
    const outcomes = await run([
      { action: 'insert', subjects },
      { action: 'insert', subjects },
    ])
    expect(count(outcomes, null)).toBe(10)
    expect(count(outcomes, 'api_key_limit_reached')).toBe(40)
    expect(await keysOf('usr_ann')).toHaveLength(10)
  })

  test('KEY-10: of 20 rotations of a key on two connections one wins, and one live key is left', async () => {
    for (let round = 0; round < 3; round += 1) {
      const owner = `usr_${round}`
      const id = await insert(owner)
      const subjects = Array.from({ length: 10 }, () => id)
      const outcomes = await run([
        { action: 'rotate', subjects },
        { action: 'rotate', subjects },
      ])
      expect(count(outcomes, null)).toBe(1)
      expect(count(outcomes, 'api_key_rotated')).toBe(19)
      const now = Date.now()
      const live = (await keysOf(owner)).filter(({ expiresAt }) => expiresAt === null || expiresAt > now)
      expect(live).toHaveLength(1)
    }
  })

  test('KEY-10: a key revoked on one connection is not rotated on the other any more', async () => {
    const ids: string[] = []
    for (let index = 0; index < 40; index += 1) ids.push(await insert('usr_ann'))
    const outcomes = await run([
      { action: 'rotate', subjects: ids },
      { action: 'revoke', subjects: ids.toReversed() },
    ])
    const successors = await keysOf('usr_ann')
    expect(count(outcomes, null)).toBe(40 + successors.length)
    expect(count(outcomes, 'api_key_not_found')).toBe(40 - successors.length)
    for (const id of ids) {
      const old = (await store.findCredential(id))?.key
      expect(old?.revokedAt).toBeNumber()
      expect(old?.rotatedTo ?? null).toBe(
        successors.find(({ rotatedFrom }) => rotatedFrom === id)?.id ?? null,
      )
    }
  })

  test('KEY-12: two transfers at once keep the limit of 10, and no key goes to two owners', async () => {
    const ids: string[] = []
    for (let index = 0; index < 20; index += 1) ids.push(await insert('usr_ann'))
    const outcomes = await run([
      { action: 'transfer', subjects: ids },
      { action: 'transfer', subjects: ids.toReversed() },
    ])
    expect(count(outcomes, null)).toBe(10)
    expect(await keysOf('usr_bob')).toHaveLength(10)
    expect(await keysOf('usr_ann')).toHaveLength(10)
  })

  test('KEY-10: transfer, rotation and revocation at once: a key and its successor have one owner', async () => {
    const ids: string[] = []
    for (let index = 0; index < 40; index += 1) ids.push(await insert('usr_ann'))
    const outcomes = await run(
      [
        { action: 'transfer', subjects: ids },
        { action: 'rotate', subjects: ids.toReversed() },
        { action: 'revoke', subjects: [...ids.slice(20), ...ids.slice(0, 20)] },
      ],
      1_000,
    )
    const [moved, rotated, revoked] = [0, 40, 80].map(start => outcomes.slice(start, start + 40))
    expect(revoked).toEqual(ids.map(() => null))
    for (const [index, id] of ids.entries()) {
      const old = (await store.findCredential(id))?.key
      expect(old?.revokedAt).toBeNumber()
      expect(old?.ownerId).toBe(moved?.[index] === null ? 'usr_bob' : 'usr_ann')
      const isRotated = rotated?.[39 - index] === null
      expect(typeof old?.rotatedTo === 'string').toBe(isRotated)
      if (!isRotated) continue
      const next = (await store.findCredential(old?.rotatedTo ?? ''))?.key
      expect(next).toMatchObject({ ownerId: old?.ownerId ?? '', rotatedFrom: id, revokedAt: null })
    }
  })
})

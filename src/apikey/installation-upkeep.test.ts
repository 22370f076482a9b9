import { Database } from 'bun:sqlite'
import { afterEach, describe, expect, spyOn, test } from 'bun:test'
import { bySystem } from '../lib/audit.ts'
import { createServiceGuard } from '../service-a/guard.ts'
import { createInstallation } from './installation.ts'
import { internalsOf } from './internals.ts'
import { checkOptions } from './options.ts'
import { newKey } from './test-store.ts'

const day = 86_400_000
const start = Date.UTC(2026, 0, 1)
const given = {
  jwt: { secret: 'a shared secret of 32 bytes, and then some' },
  issuer: 'http://login.test',
  audience: 'a',
  roles: {},
  log: { info: () => {}, warn: () => {} },
}

const interval = spyOn(globalThis, 'setInterval')
afterEach(() => interval.mockClear())
/** Does what the timer does, and waits until all of it is done. */
const tick = async (): Promise<void> => {
  const [upkeep] = interval.mock.calls[0] ?? []
  if (typeof upkeep === 'function') upkeep()
  await Bun.sleep(20)
}

describe('the upkeep of an installed plugin', () => {
  const rowsAfter = async (days: number, auditDays?: number | null): Promise<unknown[]> => {
    let now = start
    const database = new Database(':memory:')
    const options = {
      ...given,
      database,
      clock: () => now,
      ...(auditDays === undefined ? {} : { auditDays }),
    }
    const { open, stop } = createInstallation(options)
    const { id } = await open().store.insert(newKey('usr_ann'), 10, bySystem)
    await open().store.revoke(id, 'all', bySystem)
    now += days * day + 1
    await tick()
    await stop()
    const rows = database.query(
      'SELECT (SELECT count(*) FROM api_keys), (SELECT count(*) FROM api_key_audit)',
    )
    const found = rows.values().flat()
    database.close()
    return found
  }

  test('deletes what is past its time: 400 days unless something else is said', async () => {
    expect(await rowsAfter(399)).toEqual([1, 2])
    interval.mockClear()
    expect(await rowsAfter(400)).toEqual([0, 0])
    interval.mockClear()
    expect(await rowsAfter(30, 30)).toEqual([0, 0])
    interval.mockClear()
    expect(await rowsAfter(10_000, null)).toEqual([1, 2])
  })

  test.each([0, -1, 1.5, 36_501, Number.NaN])('does not start with %p days', auditDays => {
    expect(() => checkOptions({ ...given, database: ':memory:', auditDays })).toThrow('auditDays')
  })
})

test.each([
  [0, 1],
  [7, 0],
])('AUDIT_DAYS=%d leaves %d of the rows of a year ago', async (AUDIT_DAYS, left) => {
  let now = start
  const database = new Database(':memory:')
  const guard = createServiceGuard(
    {
      ISSUER: given.issuer,
      AUDIENCE: 'a',
      LOGIN_URL: given.issuer,
      JWT_SECRET: given.jwt.secret,
      API_KEY_PREFIX: 'lk',
      ALLOW_INSECURE_LOGIN: true,
      AUDIT_DAYS,
    },
    { database, clock: () => now, log: given.log },
  )
  await internalsOf(guard).store().insert(newKey('usr_ann'), 10, bySystem)
  now += 365 * day
  await tick()
  await internalsOf(guard).stop()
  expect(database.query('SELECT count(*) FROM api_key_audit').values()).toEqual([[left]])
  database.close()
})

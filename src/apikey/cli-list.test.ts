import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { bySystem } from '../lib/audit.ts'
import type { NewKey } from './key-record.ts'
import { type KeysCli, openKeysCli } from './test-keys-cli.ts'
import { newKey, newMaterial, writeUse } from './test-store.ts'

const day = 86_400_000

let cli: KeysCli
beforeEach(() => {
  cli = openKeysCli()
})
afterEach(() => cli.close())

const insert = async (changes: Partial<NewKey> = {}): Promise<string> =>
  (await cli.store.insert(newKey('usr_ann', changes), 1_000, bySystem)).id
const list = async (...args: string[]): Promise<string[]> => {
  expect(await cli.keys('list', ...args)).toBe(0)
  return cli.ids()
}

describe('latchkey keys list', () => {
  test('has each status apart, all of them together, and all but revoked ones when none is named', async () => {
    const active = await insert()
    const disabled = await insert()
    await cli.store.update(disabled, 'all', { enabled: false }, bySystem)
    const expired = await insert({ expiresAt: Date.now() - 1 })
    const rotated = await insert()
    const { id: next } = await cli.store.rotate(rotated, 'all', newMaterial(), Date.now() + day, bySystem)
    const revoked = await insert()
    await cli.store.revoke(revoked, 'all', bySystem)
    const of = async (status: string) => (await list('--status', status)).toSorted()
    expect(await of('active')).toEqual([active, next].toSorted())
    expect(await of('disabled')).toEqual([disabled])
    expect(await of('expired')).toEqual([expired])
    expect(await of('rotated')).toEqual([rotated])
    expect(await of('revoked')).toEqual([revoked])
    const kept = [active, disabled, expired, rotated, next]
    expect(await of('all')).toEqual([...kept, revoked].toSorted())
    expect((await list()).toSorted()).toEqual(kept.toSorted())
  })

  test('finds by name, permission and end, and by several at once', async () => {
    const deploy = await insert({ name: 'Deploy it', permissions: ['documents:*'] })
    const soon = await insert({ name: 'deploy too', expiresAt: Date.now() + 5 * day })
    expect(await list('--name', 'DEPLOY')).toHaveLength(2)
    expect(await list('--permission', 'documents:read')).toEqual([deploy])
    expect(await list('--permission', 'other:read')).toEqual([])
    expect(await list('--expiring-before', '6d')).toEqual([soon])
    expect(await list('--expiring-before', '4d')).toEqual([])
    expect(await list('--expiring-before', new Date(Date.now() + 6 * day).toISOString())).toEqual([soon])
    expect(await list('--name', 'deploy', '--expiring-before', '6d', '--permission', 'a:b')).toEqual([])
  })

  test('finds what was used since, what was not, and what never was', async () => {
    const never = await insert()
    const used = await insert()
    await writeUse(cli.database, used, Date.now() - 10 * day)
    cli.database.run('UPDATE api_keys SET created_at = ?', [Date.now() - 40 * day])
    expect(await list('--never-used')).toEqual([never])
    expect(await list('--used-since', '11d')).toEqual([used])
    expect(await list('--used-since', '9d')).toEqual([])
    expect(await list('--unused-since', '11d')).toEqual([never])
    expect((await list('--unused-since', '9d')).toSorted()).toEqual([never, used].toSorted())
  })

  test('goes on where a page has few of the keys that are looked for, or none', async () => {
    const first = await insert({ name: 'wanted' })
    // More than one page looks at, of which the whole second one has none.
    cli.database.run(
      `INSERT INTO api_keys (id, prefix, start, last4, secret_hash, name, owner_id, created_by, permissions,
         enabled, created_at, updated_at)
       WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 110000)
       SELECT 'key_' || printf('%016d', i), prefix, start, last4, secret_hash, iif(i = 109000, 'wanted', 'not'),
         owner_id, created_by, permissions, 1, created_at + i, updated_at
       FROM api_keys, n WHERE name = 'wanted'`,
    )
    expect(await list('--name', 'wanted')).toEqual([first, 'key_0000000000109000'])
    expect(await list('--name', 'wanted', '--limit', '2')).toHaveLength(2)
  })

  test.each([
    [['--status', 'live'], '--status takes one of active, disabled, expired, rotated, revoked and all.'],
    [['--name', ''], '--name takes 1 to 100 characters that can be printed.'],
    [['--permission', 'read'], '--permission takes resource:action'],
    [['--expiring-before', 'soon'], '--expiring-before takes ISO 8601'],
    [['--unused-since', '2026-02-30T00:00:00Z'], '--unused-since must be a day of the calendar.'],
    [['--used-since', '30'], '--used-since takes ISO 8601'],
    [['--never-used=yes'], 'There is an option'],
  ] as const)('%j is told by the option, with exit code 2', async (args, words) => {
    expect(await cli.keys('list', ...args)).toBe(2)
    expect(cli.terminal.errors()).toStartWith(words)
    expect(cli.terminal.output()).toBe('')
  })
})

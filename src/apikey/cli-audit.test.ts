import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { bySystem } from '../lib/audit.ts'
import { type KeysCli, openKeysCli } from './test-keys-cli.ts'
import { newKey } from './test-store.ts'
import { formatKey, generateKey } from './token.ts'

const hour = 3_600_000
const ann = { actorId: 'usr_ann', requestId: 'req_1', address: '192.0.2.7' }

let cli: KeysCli
beforeEach(() => {
  cli = openKeysCli()
})
afterEach(() => cli.close())

const insert = async (name = 'ci'): Promise<string> =>
  (await cli.store.insert(newKey('usr_ann', { name }), 1_000, ann)).id
const audit = async (...args: string[]) => {
  expect(await cli.keys('audit', ...args, '--json')).toBe(0)
  return cli.printed()
}

describe('latchkey keys audit', () => {
  test('tells who did what, the last first, in the form of HTTP, and of no secret', async () => {
    const id = await insert()
    await cli.store.update(id, 'all', { expiresAt: Date.now() + hour }, ann)
    await cli.store.revoke(id, 'all', bySystem)
    const told = await audit()
    expect(told).toMatchObject([
      { action: 'api_key.revoked', keyId: id, actorId: null, address: null },
      {
        action: 'api_key.changed',
        keyId: id,
        ...ann,
        before: { expiresAt: null },
        after: { expiresAt: expect.stringMatching(/^\d{4}-/) },
      },
      { action: 'api_key.created', keyId: id, ...ann },
    ])
    expect(JSON.stringify(told)).not.toContain('argon2')
    expect(await cli.keys('audit')).toBe(0)
    const [last = '', changed = ''] = cli.terminal.output().split('\n')
    expect(last.split('\t').slice(1, 5)).toEqual(['api_key.revoked', id, '-', '-'])
    expect(changed.split('\t').slice(1, 5)).toEqual(['api_key.changed', id, 'usr_ann', '192.0.2.7'])
    expect(changed).toContain('{"before":{"expiresAt":null},"after":{"expiresAt":"')
  })

  test('finds by key, actor, action and time, each alone and together', async () => {
    const one = await insert()
    const other = await insert()
    await cli.store.revoke(other, 'all', bySystem)
    cli.database.run("UPDATE api_key_audit SET at = at - ? WHERE action = 'api_key.created'", [5 * hour])
    const of = async (...args: string[]) =>
      (await audit(...args)).map(({ action, keyId }) => `${action} ${keyId === one ? 'one' : 'other'}`)
    expect(await of(one)).toEqual(['api_key.created one'])
    expect(await of('--actor', 'usr_ann')).toEqual(['api_key.created other', 'api_key.created one'])
    expect(await of('--action', 'api_key.revoked')).toEqual(['api_key.revoked other'])
    expect(await of('--since', '2h')).toEqual(['api_key.revoked other'])
    expect(await of('--until', '2h')).toHaveLength(2)
    expect(await of(other, '--until', new Date(Date.now() - 2 * hour).toISOString())).toEqual([
      'api_key.created other',
    ])
    expect(await of(one, '--since', '2h')).toEqual([])
    expect(await of('--limit', '1')).toHaveLength(1)
  })

  test('goes through a trail of many pages, and tells each row once', async () => {
    const id = await insert()
    for (let change = 0; change < 500; change += 1) {
      await cli.store.update(id, 'all', { name: `name ${change}` }, ann)
    }
    const sequences = (await audit(id)).map(({ sequence }) => sequence)
    expect(sequences).toHaveLength(501)
    expect(new Set(sequences).size).toBe(501)
    expect(await audit('--action', 'api_key.created')).toHaveLength(1)
    expect(await audit('--limit', '201')).toHaveLength(201)
  })

  test('of nothing is nothing, and only reads', async () => {
    expect(await audit()).toEqual([])
    expect(cli.terminal.output()).toBe('')
    await insert()
    await audit()
    expect(await audit()).toHaveLength(1)
  })

  test('commands no terminal and shows no key, whatever others wrote', async () => {
    const key = formatKey(generateKey('lk'))
    await insert(`\x1b[2J${key}`)
    expect(await cli.keys('audit')).toBe(0)
    expect(cli.terminal.output()).not.toContain('\x1b')
    expect(cli.terminal.output()).not.toContain(key.slice(-65))
  })

  test.each([
    [['usr_ann'], 'There must be one id of a key'],
    [['--actor', 'two words'], '--actor takes'],
    [['--action', 'Revoked'], '--action takes'],
    [['--since', 'yesterday'], '--since takes'],
    [['--until', '2026-02-30T00:00:00Z'], '--until must be a day of the calendar.'],
    [['--limit', '0'], '--limit takes'],
  ] as const)('%j is told by the option, with exit code 2', async (args, words) => {
    expect(await cli.keys('audit', ...args)).toBe(2)
    expect(cli.terminal.errors()).toStartWith(words)
  })
})

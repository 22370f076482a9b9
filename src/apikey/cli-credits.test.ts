import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { bySystem } from '../lib/audit.ts'
import type { NewKey } from './key-record.ts'
import { type KeysCli, openKeysCli } from './test-keys-cli.ts'
import { newKey, newMaterial } from './test-store.ts'

let cli: KeysCli
beforeEach(() => {
  cli = openKeysCli()
})
afterEach(() => cli.close())

const insert = async (changes: Partial<NewKey> = {}): Promise<string> =>
  (await cli.store.insert(newKey('usr_ann', changes), 10, bySystem)).id
const daily = { remaining: 40, refill: { amount: 100, interval: 'daily', dayOfMonth: null } } as const
const credits = async (...args: string[]): Promise<string> => {
  expect(await cli.keys('credits', ...args)).toBe(0)
  return cli.terminal.output()
}

describe('latchkey keys credits', () => {
  test('tells the balance and what refills it, and changes nothing', async () => {
    const id = await insert({ credits: daily })
    expect(await credits(id)).toMatch(new RegExp(`^${id}\t40\t100 daily\tnext \\d{4}-\\S+T00:00:00.000Z\n$`))
    await credits(id, '--json')
    expect(cli.printed()).toMatchObject([{ id, remaining: 40, refill: daily.refill }])
    const actions = cli.database.query('SELECT action FROM api_key_audit').values().flat()
    expect(actions).toEqual(['api_key.created'])
    const free = await insert()
    expect(await credits(free)).toBe(`${free}\tunmetered\n`)
  })

  test('sets, adds and subtracts, ends at 0, keeps the refill, and writes each into the trail', async () => {
    const id = await insert({ credits: daily })
    for (const [option, amount, left] of [
      ['--set', '10', 10],
      ['--add', '5', 15],
      ['--subtract', '3', 12],
      ['--subtract', '100', 0],
    ] as const) {
      await credits(id, option, amount, '--json')
      expect(cli.printed()).toMatchObject([{ id, remaining: left, refill: daily.refill }])
    }
    const actions = cli.database.query('SELECT action FROM api_key_audit').values().flat()
    expect(actions).toEqual(['api_key.created', ...Array(4).fill('api_key.credits_changed')])
  })

  test('are those of the successors as well', async () => {
    const id = await insert({ credits: daily })
    const next = await cli.store.rotate(id, 'all', newMaterial(), Date.now() + 60_000, bySystem)
    await credits(next.id, '--set', '7')
    expect(await credits(id)).toStartWith(`${id}\t7\t`)
  })

  test('begin by --set alone: to add to no limit would make one', async () => {
    const id = await insert()
    expect(await cli.keys('credits', id, '--add', '1')).toBe(1)
    expect(cli.terminal.errors()).toBe('The API key spends no credits.\n')
    expect(await credits(id, '--set', '3')).toBe(`${id}\t3\tno refill\n`)
    expect((await cli.store.find(id, 'all')).isMetered).toBe(true)
  })

  test('end at a most, which is told by the option and not by a stack', async () => {
    const id = await insert({ credits: { remaining: 1, refill: null } })
    expect(await cli.keys('credits', id, '--add', '1000000000000')).toBe(1)
    expect(cli.terminal.errors()).toBe(
      'A field is invalid. --add must not bring the balance above 1000000000000.\n',
    )
  })

  test.each([
    [['--set', 'x'], '--set takes'],
    [['--set', '1000000000001'], '--set takes'],
    [['--add', '0'], '--add takes'],
    [['--subtract', '1e3'], '--subtract takes'],
    [['--set', '1', '--add', '1'], 'Of --set, --add and --subtract one can be given.'],
  ] as const)('%j is told by the option, with exit code 2', async (args, words) => {
    const id = await insert({ credits: daily })
    expect(await cli.keys('credits', id, ...args)).toBe(2)
    expect(cli.terminal.errors()).toStartWith(words)
    expect(await cli.store.credits(id, 'all')).toMatchObject({ remaining: 40 })
  })
})

import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type KeysCli, openKeysCli } from './test-keys-cli.ts'
import { codeOf } from './test-store.ts'
import { parseKey, publicId } from './token.ts'

let cli: KeysCli
beforeEach(() => {
  cli = openKeysCli()
})
afterEach(() => cli.close())

const create = (...args: string[]) => cli.keys('create', '--name', 'ci', '--owner', 'usr_ann', ...args)
const make = async (...args: string[]): Promise<string> => {
  expect(await create(...args)).toBe(0)
  return publicId(parseKey(cli.terminal.output().trim())?.id ?? '')
}
const change = (id: string, ...args: string[]) => cli.keys('change', id, ...args)
const find = (id: string) => cli.store.find(id, 'all')
const hear = (id: string, status: string): void => {
  cli.database.run("INSERT OR IGNORE INTO feed_position VALUES (1, 'f', 'g', 'c', 1, ?)", [Date.now()])
  cli.database.run(
    `INSERT OR REPLACE INTO subjects (id, status, roles, scopes, sequence, epoch, changed_at)
     VALUES (?, ?, '[]', '[]', 1, 1, 1)`,
    [id, status],
  )
}
const trail = () =>
  cli.database
    .query<{ action: string; detail: string }, []>(
      'SELECT action, detail FROM api_key_audit ORDER BY sequence',
    )
    .all()
    .map(({ action, detail }) => ({ action, detail: JSON.parse(detail) }))

const all = [
  ...['--metadata', '{"team":"core"}', '--network', '192.0.2.0/24', '--network', '2001:DB8::7'],
  ...[
    '--limit',
    'minute=100/60s',
    '--limit',
    'day=5000/1d',
    '--credits',
    '250',
    '--refill-monthly',
    '1000@31',
  ],
]

describe('latchkey keys create', () => {
  test('gives a key all the terms that HTTP gives, in the same form', async () => {
    const id = await make(...all)
    expect(await find(id)).toMatchObject({
      metadata: { team: 'core' },
      allowedNetworks: ['192.0.2.0/24', '2001:db8::7/128'],
      limits: [
        { name: 'minute', limit: 100, windowSeconds: 60 },
        { name: 'day', limit: 5_000, windowSeconds: 86_400 },
      ],
      isMetered: true,
    })
    expect(await cli.store.credits(id, 'all')).toMatchObject({
      remaining: 250,
      refill: { amount: 1_000, interval: 'monthly', dayOfMonth: 31 },
    })
  })

  test('takes metadata from a file, up to as much as HTTP takes', async () => {
    const path = join(cli.folder, 'metadata.json')
    writeFileSync(path, '{\n  "team": "core"\n}\n')
    expect((await find(await make('--metadata', `@${path}`))).metadata).toEqual({ team: 'core' })
    for (const [content, words] of [
      [JSON.stringify({ a: 'x'.repeat(4_096) }), '--metadata must be at most 4096 bytes as JSON.'],
      [' '.repeat(65_537), 'The file that --metadata names is too large.'],
      [Buffer.from([0x22, 0xff, 0x22]), 'The file that --metadata names is not UTF-8.'],
      [`{"a":${'['.repeat(60)}${']'.repeat(60)}}`, '--metadata is not JSON that can be taken.'],
    ] as const) {
      writeFileSync(path, content)
      expect(await create('--metadata', `@${path}`)).toBe(2)
      expect(cli.terminal.errors()).toStartWith(words)
    }
    for (const name of ['nothing-here', cli.folder]) {
      expect(await create('--metadata', `@${name}`)).toBe(2)
      expect(cli.terminal.errors()).toStartWith('The file that --metadata names can not be read.')
      expect(cli.terminal.errors()).not.toContain(name)
    }
  })

  const once = '--limit takes name=100/60s'
  const credits = '--credits takes 0 to 1000000000000'
  test.each([
    [['--metadata', '[]'], '--metadata takes a JSON object'],
    [['--metadata', 'null'], '--metadata takes a JSON object'],
    [['--metadata', '{"__proto__":1}'], '--metadata takes a JSON object'],
    [['--metadata', '{team}'], '--metadata is not JSON'],
    [['--metadata', '{"a":1e999}'], '--metadata is not JSON'],
    [['--network', '192.0.2.1/24'], '--network '],
    [['--network', 'localhost'], '--network '],
    [Array.from({ length: 21 }, () => ['--network', '::1']).flat(), '--network takes an address'],
    [['--limit', 'minute=100'], once],
    [['--limit', 'Minute=100/60s'], once],
    [['--limit', 'minute=0/60s'], once],
    [['--limit', 'minute=10001/60s'], once],
    [['--limit', 'minute=1/31d'], once],
    [['--limit', 'a=1/1s', '--limit', 'a=2/1s'], '--limit must differ from the other names.'],
    [['a', 'b', 'c', 'd', 'e', 'f'].flatMap(name => ['--limit', `${name}=1/1s`]), once],
    [['--credits', '-1'], credits],
    [['--credits=-1'], credits],
    [['--credits', '1.5'], credits],
    [['--credits', '1000000000001'], credits],
    [['--credits', '1', '--refill-daily', '0'], credits],
    [['--credits', '1', '--refill-monthly', '1@32'], credits],
    [['--credits', '1', '--refill-monthly', '1@1@1'], credits],
    [['--refill-daily', '1'], 'A refill needs --credits'],
    [
      ['--credits', '1', '--refill-daily', '1', '--refill-monthly', '1'],
      '--refill-daily and --refill-monthly',
    ],
    [['--expires-in', '999999w'], '--expires-in goes too far.'],
    [['--expires-at', '2001-01-01T00:00:00Z'], '--expires-at must lie in the future.'],
  ] as const)('%j is told by the option, with exit code 2, and nothing is made', async (args, words) => {
    expect(await create(...args)).toBe(2)
    // What looks like an option in the place of a value is no use at all.
    const isOption = args[1] === '-1'
    expect(cli.terminal.errors()).toStartWith(isOption ? 'There is an option' : words)
    expect(cli.database.query('SELECT * FROM api_keys').all()).toEqual([])
  })
})

describe('latchkey keys change', () => {
  test('keeps what is not named, sets what is, and clears by the option that says so', async () => {
    const id = await make(...all, '--permission', 'a:b', '--expires-in', '90d')
    const before = await find(id)
    expect(await change(id, '--name', 'other', '--disable')).toBe(0)
    const { updatedAt: _, ...kept } = before
    expect(await find(id)).toMatchObject({ ...kept, name: 'other', enabled: false })
    expect(cli.terminal.output()).toStartWith(`${id}\tdisabled\t`)

    expect(await change(id, '--enable', '--limit', 'hour=7/1h', '--network', '::1', '--metadata', '{}')).toBe(
      0,
    )
    expect(await find(id)).toMatchObject({
      name: 'other',
      enabled: true,
      limits: [{ name: 'hour', limit: 7, windowSeconds: 3_600 }],
      allowedNetworks: ['::1/128'],
      metadata: {},
      expiresAt: before.expiresAt,
      isMetered: true,
    })

    const clear = ['permissions', 'expiry', 'metadata', 'networks', 'limits', 'credits'].map(
      of => `--no-${of}`,
    )
    expect(await change(id, ...clear, '--json')).toBe(0)
    expect(cli.printed()).toMatchObject([
      {
        id,
        name: 'other',
        state: 'active',
        permissions: [],
        expiresAt: null,
        metadata: null,
        allowedNetworks: null,
        limits: null,
        metered: false,
      },
    ])
    expect(await cli.store.credits(id, 'all')).toBeNull()
  })

  test('writes what changed into the audit trail, by nobody that is known', async () => {
    const id = await make()
    await change(id, '--name', 'other')
    expect(trail().at(-1)).toEqual({
      action: 'api_key.changed',
      detail: { before: { name: 'ci' }, after: { name: 'other' } },
    })
  })

  test('gives credits and a refill anew, and without a refill there is none', async () => {
    const id = await make('--credits', '5', '--refill-daily', '5')
    expect(await change(id, '--credits', '9', '--refill-monthly', '10')).toBe(0)
    expect(await cli.store.credits(id, 'all')).toMatchObject({
      remaining: 9,
      refill: { amount: 10, interval: 'monthly', dayOfMonth: 1 },
    })
    expect(await change(id, '--credits', '3')).toBe(0)
    expect(await cli.store.credits(id, 'all')).toMatchObject({ remaining: 3, refill: null })
  })

  test('gives more permissions only where the owner is active, and takes away in any case', async () => {
    const id = await make('--permission', 'a:*')
    hear('usr_ann', 'deleted')
    expect(await change(id, '--permission', 'b:c')).toBe(1)
    expect(cli.terminal.errors()).toBe('There is no such owner. The owner is deleted.\n')
    expect((await find(id)).permissions).toEqual(['a:*'])
    expect(await change(id, '--permission', 'a:b')).toBe(0)
    expect((await find(id)).permissions).toEqual(['a:b'])
    hear('usr_ann', 'active')
    expect(await change(id, '--permission', 'b:c', '--permission', 'b:c')).toBe(0)
    expect((await find(id)).permissions).toEqual(['b:c'])
  })

  test('leaves alone what is revoked, replaced, or was never there', async () => {
    const id = await make()
    expect(await cli.keys('rotate', id)).toBe(0)
    expect(await change(id, '--name', 'x')).toBe(1)
    expect(cli.terminal.errors()).toBe('The API key has been replaced by another.\n')
    await cli.store.revoke(id, 'all', { actorId: null, requestId: null, address: null })
    expect(await change(id, '--name', 'x')).toBe(1)
    expect(await codeOf(find(id))).toBe('api_key_not_found')
    expect(await change(publicId('0'.repeat(16)), '--name', 'x')).toBe(1)
    expect(cli.terminal.errors()).toBe('There is no such API key.\n')
  })

  test.each([
    [[], 'There is nothing to change.'],
    [['--enable', '--disable'], '--enable and --disable exclude each other'],
    [['--limit', 'a=1/1s', '--no-limits'], '--no-limits and --limit exclude each other'],
    [['--expires-in', '1d', '--no-expiry'], '--no-expiry and --expires-at exclude each other'],
    [['--name', ''], '--name takes'],
    [['--limit', 'a=1/1s', '--limit', 'a=1/1s'], '--limit must differ'],
    [['--network', 'x'], '--network '],
    [['--owner', 'usr_eve'], 'There is an option that is unknown'],
  ] as const)('%j is told by the option, with exit code 2, and nothing is changed', async (args, words) => {
    const id = await make()
    const before = await find(id)
    expect(await change(id, ...args)).toBe(2)
    expect(cli.terminal.errors()).toStartWith(words)
    expect(await find(id)).toEqual(before)
  })
})

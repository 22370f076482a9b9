import { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { migrations } from '../../db/apikey/index.ts'
import { bySystem } from '../lib/audit.ts'
import { systemClock } from '../lib/clock.ts'
import { migrate } from '../lib/migrate.ts'
import { verifySecret } from './secret-hash.ts'
import { createSqliteKeyStore, type KeyStore } from './store.ts'
import { codeOf, newKey, openKeyDatabase } from './test-store.ts'
import { createTestTerminal, type TestTerminal } from './test-terminal.ts'
import { formatKey, generateKey, parseKey, publicId } from './token.ts'

let folder: string
let path: string
let database: Database
let store: KeyStore
let terminal: TestTerminal
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'keys-cli-'))
  path = join(folder, 'service.sqlite')
  database = openKeyDatabase(path)
  store = createSqliteKeyStore({ database, clock: systemClock })
  terminal = createTestTerminal({ DATABASE_PATH: path })
})
afterEach(() => {
  terminal.restore()
  database.close()
  rmSync(folder, { recursive: true })
})

const keys = (...args: string[]) => terminal.run(args)
const hear = (id: string, status: string, scopes: readonly string[] = []): void => {
  database.run("INSERT OR IGNORE INTO feed_position VALUES (1, 'f', 'g', 'c', 1, ?)", [Date.now()])
  database.run(
    `INSERT OR REPLACE INTO subjects (id, status, roles, scopes, sequence, epoch, changed_at)
     VALUES (?, ?, '[]', ?, 1, 1, 1)`,
    [id, status, JSON.stringify(scopes)],
  )
}
const audit = () =>
  database
    .query<Record<string, unknown>, []>(
      'SELECT action, actor_id, address, request_id, subject_id FROM api_key_audit ORDER BY sequence',
    )
    .all()
const rows = () => database.query('SELECT * FROM api_keys').all()
const printed = (): Record<string, unknown>[] =>
  terminal
    .output()
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))

/** Makes one and returns its text and id. */
const make = async (...args: string[]) => {
  expect(await keys('create', '--name', 'deploy', '--owner', 'usr_ann', ...args)).toBe(0)
  const text = terminal.output().trim()
  return { text, id: publicId(parseKey(text)?.id ?? '') }
}

describe('latchkey keys create', () => {
  test('prints the key on standard output and nothing else, and keeps only its hash', async () => {
    const { text, id } = await make('--permission', 'documents:read', '--permission', 'a:*')
    expect(terminal.output()).toBe(`${text}\n`)
    expect(terminal.errors()).toContain(`${id} for usr_ann\n`)
    const found = await store.findCredential(id)
    expect(found?.key).toMatchObject({
      name: 'deploy',
      ownerId: 'usr_ann',
      createdBy: 'operator',
      permissions: ['documents:read', 'a:*'],
      expiresAt: null,
      prefix: 'lk',
    })
    const secret = parseKey(text)?.secret ?? ''
    expect(await verifySecret(secret, found?.secretHash ?? '')).toBe(true)
    expect(JSON.stringify(rows())).not.toContain(secret)
    expect(terminal.errors()).not.toContain(secret)
    expect(audit()).toEqual([
      { action: 'api_key.created', actor_id: null, address: null, request_id: null, subject_id: id },
    ])
  })

  test('takes the prefix of the service, and a life or a time of expiry', async () => {
    const args = ['create', '--name', 'x', '--owner', 'cli_ci', '--json', '--expires-in', '90d']
    const before = Date.now()
    expect(await terminal.run(args, '', { DATABASE_PATH: path, API_KEY_PREFIX: 'lk_test' })).toBe(0)
    const [made = {}] = printed()
    expect(made).toMatchObject({
      ownerId: 'cli_ci',
      state: 'active',
      key: expect.stringMatching(/^lk_test_/),
    })
    expect(Math.abs(Date.parse(String(made.expiresAt)) - before - 90 * 86_400_000)).toBeLessThan(5_000)
    expect(await keys('create', '--name', 'x', '--owner', 'o', '--expires-at', '2999-01-31T00:00:00Z')).toBe(
      0,
    )
    expect(rows()).toHaveLength(2)
  })

  test('makes none for an owner whom the service knows to be gone, or does not know', async () => {
    hear('usr_ann', 'active')
    hear('usr_eve', 'disabled')
    await make()
    expect(terminal.errors()).toMatch(/^key_\S+ for usr_ann\n$/)
    for (const [owner, words] of [
      ['usr_eve', 'The owner is disabled.'],
      ['usr_bob', 'The owner is nobody of whom this service has heard.'],
    ] as const) {
      expect(await keys('create', '--name', 'x', '--owner', owner)).toBe(1)
      expect(terminal.output()).toBe('')
      expect(terminal.errors()).toBe(`There is no such owner. ${words}\n`)
    }
    expect(rows()).toHaveLength(1)
  })

  test('warns where no feed was heard, and of permissions that a service account lacks now', async () => {
    await make()
    expect(terminal.errors()).toStartWith('This service has heard nothing of owners yet')
    hear('cli_ci', 'active', ['documents:read'])
    const args = ['--permission', 'documents:read', '--permission', 'documents:write']
    expect(await keys('create', '--name', 'x', '--owner', 'cli_ci', ...args)).toBe(0)
    expect(terminal.errors()).toContain('of no use until that changes: documents:write\n')
  })

  test('stops at as many keys as an owner may have', async () => {
    for (let made = 0; made < 100; made += 1) await store.insert(newKey('usr_ann'), 100, bySystem)
    expect(await keys('create', '--name', 'x', '--owner', 'usr_ann')).toBe(1)
    expect(terminal.errors()).toContain('The owner has as many API keys as allowed.\n')
  })
})

describe('latchkey keys list and show', () => {
  test('list has every key that is not revoked, page after page, and none twice', async () => {
    const made = new Set<string>()
    for (let key = 0; key < 450; key += 1) {
      made.add((await store.insert(newKey(key % 2 === 0 ? 'usr_ann' : 'cli_ci'), 1_000, bySystem)).id)
    }
    const [gone = ''] = made
    await store.revoke(gone, 'all', bySystem)
    made.delete(gone)
    expect(await keys('list')).toBe(0)
    const ids = terminal
      .output()
      .trimEnd()
      .split('\n')
      .map(line => line.split('\t')[0] ?? '')
    expect(ids.length).toBe(449)
    expect(new Set(ids)).toEqual(made)
    expect(await keys('list', '--owner', 'cli_ci', '--json')).toBe(0)
    expect(printed()).toHaveLength(225)
    for (const limit of [1, 200, 201, 400]) {
      expect(await keys('list', '--limit', String(limit), '--json')).toBe(0)
      expect(printed()).toHaveLength(limit)
    }
  })

  test('list of nothing is nothing', async () => {
    expect(await keys('list', '--json')).toBe(0)
    expect(terminal.output()).toBe('')
  })

  test('show tells of a revoked key as well, and of no secret', async () => {
    const { id, text } = await make()
    await store.revoke(id, 'all', bySystem)
    expect(await keys('show', id, '--json')).toBe(0)
    expect(printed()).toMatchObject([{ id, state: 'revoked', revokedAt: expect.any(String) }])
    expect(terminal.output()).not.toContain('argon2id')
    expect(terminal.output()).not.toContain(parseKey(text)?.secret ?? '')
    expect(await keys('show', id)).toBe(0)
    expect(terminal.output()).toContain('state\trevoked\n')
    expect(await keys('show', publicId('0'.repeat(16)))).toBe(1)
    expect(terminal.errors()).toBe('There is no such API key.\n')
  })

  test('what others wrote into a name commands no terminal and shows no key', async () => {
    const name = `\x1b[2Jred\n${formatKey(generateKey('lk'))}`
    const { id } = await store.insert(newKey('usr_ann', { name }), 10, bySystem)
    for (const verb of [['list'], ['show', id]]) {
      expect(await keys(...verb)).toBe(0)
      expect(terminal.output()).toContain('?[2Jred?lk_…\n')
    }
  })
})

describe('latchkey keys rotate, revoke and transfer', () => {
  test('rotate prints the new key, and the old one lives on as long as it is told', async () => {
    const { id } = await make()
    expect(await keys('rotate', id, '--grace-seconds', '60')).toBe(0)
    const next = publicId(parseKey(terminal.output().trim())?.id ?? '')
    expect(terminal.errors()).toContain(`${next} replaces ${id}, which ends at `)
    const old = await store.find(id, 'all')
    expect(old.rotatedTo).toBe(next)
    expect(Math.abs((old.expiresAt ?? 0) - Date.now() - 60_000)).toBeLessThan(5_000)
    expect(await keys('rotate', id)).toBe(1)
    expect(terminal.errors()).toContain('The API key has been replaced by another.\n')
    expect(audit().map(({ action, actor_id: actor }) => [action, actor])).toEqual([
      ['api_key.created', null],
      ['api_key.created', null],
      ['api_key.rotated', null],
    ])
  })

  test('rotate makes no new key for an owner who is gone', async () => {
    const { id } = await make()
    hear('usr_ann', 'deleted')
    expect(await keys('rotate', id)).toBe(1)
    expect(terminal.output()).toBe('')
    expect(rows()).toHaveLength(1)
  })

  test('revoke by id, once: again it says so, with exit code 1', async () => {
    const { id } = await make()
    expect(await keys('revoke', id)).toBe(0)
    expect(terminal.output()).toStartWith(`${id}\trevoked\t`)
    expect(await codeOf(store.find(id, 'all'))).toBe('api_key_not_found')
    expect(await keys('revoke', id)).toBe(1)
    expect(terminal.errors()).toContain('has been revoked before')
    expect(audit().map(({ action }) => action)).toEqual(['api_key.created', 'api_key.revoked'])
  })

  test('revoke by the key on standard input, if its secret is right', async () => {
    const { id, text } = await make()
    const forged = formatKey({ ...generateKey('lk'), id: parseKey(text)?.id ?? '' })
    expect(await terminal.run(['revoke', '--stdin'], forged)).toBe(1)
    expect(await codeOf(store.find(id, 'all'))).toBeNull()
    expect(await terminal.run(['revoke', '--stdin', '--json'], `${text}\n`)).toBe(0)
    expect(printed()).toMatchObject([{ id, state: 'revoked' }])
    for (const input of ['', 'nonsense', text.slice(1), text.repeat(100)]) {
      expect(await terminal.run(['revoke', '--stdin'], input)).toBe(2)
      expect(terminal.errors()).toStartWith('There is no key on standard input.\n')
    }
  })

  test('transfer moves named keys or all, by the hundred, to an owner who is there', async () => {
    const made: string[] = []
    for (let key = 0; key < 60; key += 1) {
      made.push((await store.insert(newKey('usr_ann'), 1_000, bySystem)).id)
    }
    const [first = ''] = made
    hear('usr_eve', 'active')
    expect(await keys('transfer', '--from', 'usr_ann', '--to', 'usr_eve', first, '--json')).toBe(0)
    expect(printed()).toMatchObject([{ id: first, ownerId: 'usr_eve' }])
    expect(terminal.errors()).toBe('Moved 1; 59 are left.\n')
    expect(await keys('transfer', '--from', 'usr_ann', '--to', 'usr_bob')).toBe(1)
    expect(terminal.errors()).toStartWith('There is no such owner.')
    expect(await keys('transfer', '--from', 'usr_ann', '--to', 'usr_eve')).toBe(0)
    expect(terminal.errors()).toBe('Moved 59; 0 are left.\n')
    expect(await keys('transfer', '--from', 'usr_ann', '--to', 'usr_eve', first)).toBe(1)
  })
})

const anId = publicId('0'.repeat(16))
const aKey = formatKey(generateKey('lk'))
const create = ['create', '--name', 'x', '--owner', 'usr_ann']

describe('what is no use of it', () => {
  test.each([
    [[]],
    [['nonsense']],
    [['__proto__']],
    [['create']],
    [['create', '--name', 'x']],
    [['create', '--owner', 'usr_ann']],
    [['create', '--name', '', '--owner', 'usr_ann']],
    [['create', '--name', 'a\nb', '--owner', 'usr_ann']],
    [['create', '--name', 'x', '--owner', 'two words']],
    [[...create, 'word']],
    [[...create, '--permission', 'read']],
    [[...create, ...Array.from({ length: 101 }, () => ['--permission', 'a:b']).flat()]],
    [[...create, '--expires-in', '90']],
    [[...create, '--expires-in', '0d']],
    [[...create, '--expires-in', '-1d']],
    [[...create, '--expires-in', '1y']],
    [[...create, '--expires-at', '2001-01-01T00:00:00Z']],
    [[...create, '--expires-at', '2999-02-30T00:00:00Z']],
    [[...create, '--expires-at', 'tomorrow']],
    [[...create, '--expires-at', '2999-01-01T00:00:00Z', '--expires-in', '1d']],
    [[...create, '--verbose']],
    [['list', 'usr_ann']],
    [['list', '--limit', '0']],
    [['list', '--limit', '1e3']],
    [['show']],
    [['show', 'usr_ann']],
    [['show', anId, anId]],
    [['rotate', anId, '--grace-seconds', '2592001']],
    [['rotate', anId, '--grace-seconds=-1']],
    [['revoke']],
    [['revoke', anId, '--stdin']],
    [['transfer', '--from', 'usr_ann']],
    [['transfer', '--from', 'usr_ann', '--to', 'usr_ann']],
    [['transfer', '--from', 'usr_ann', '--to', 'usr_eve', 'usr_bob']],
    [['scan']],
    [['scan', '-', '-']],
    [['scan', '-', '--revoke', '--no-database']],
  ])('%j is told on standard error, with exit code 2', async args => {
    expect(await keys(...args)).toBe(2)
    expect(terminal.output()).toBe('')
    expect(terminal.errors()).toContain('Usage: latchkey keys')
    expect([rows(), audit()]).toEqual([[], []])
  })

  test.each([
    [[aKey]],
    [['show', aKey]],
    [['revoke', aKey]],
    [['rotate', `x${aKey}x`]],
    [['revoke', '--stdin', aKey]],
    [['create', '--name', aKey, '--owner', 'usr_ann']],
    [['create', '--name', 'x', '--owner', aKey]],
    [['change', anId, '--name', aKey]],
    [['change', anId, '--metadata', `{"key":"${aKey}"}`]],
    [['audit', aKey]],
    [['credits', aKey]],
    [['list', '--name', aKey]],
    [['transfer', `--from=${aKey}`, '--to', 'x']],
    [['scan', aKey]],
    [['scan', `--${aKey}`]],
  ])('KEY-05: a key among the arguments is refused and not repeated', async args => {
    expect(await keys(...args)).toBe(2)
    expect(terminal.output()).toBe('')
    expect(terminal.errors()).toStartWith('There is a key among the arguments')
    expect(terminal.errors()).not.toContain(parseKey(aKey)?.secret ?? '')
    expect(rows()).toEqual([])
  })

  test.each([
    'create',
    'list',
    'show',
    'change',
    'credits',
    'rotate',
    'revoke',
    'transfer',
    'audit',
    'explain',
    'scan',
  ])('%s --help tells how to use it, on standard output', async verb => {
    expect(await keys(verb, '--help')).toBe(0)
    expect(terminal.output()).toStartWith(`Usage: latchkey keys ${verb} `)
    expect(terminal.errors()).toBe('')
    expect(await keys('--help')).toBe(0)
    expect(terminal.output()).toMatch(new RegExp(`\\b${verb} `))
  })
})

const uses = [
  ['list'],
  ['audit'],
  ['credits', anId],
  ['change', anId, '--disable'],
  ['show', anId],
  ['rotate', anId],
  ['revoke', anId],
  create,
  ['scan', '-', '--revoke'],
]

describe('a file that is not of a service with keys', () => {
  test.each(uses.map(args => [args]))('%j makes no database where there is none', async args => {
    const missing = join(folder, 'missing.sqlite')
    expect(await terminal.run(args, '', { DATABASE_PATH: missing })).toBe(2)
    expect(terminal.errors()).toBe(`There is no database at ${missing}.\n`)
    expect(existsSync(missing)).toBe(false)
  })

  test.each(uses.map(args => [args]))('%j leaves that of somebody else alone', async args => {
    const other = join(folder, 'other.sqlite')
    const made = new Database(other)
    made.run('CREATE TABLE notes (text TEXT)')
    made.close()
    const before = readFileSync(other)
    const names = readdirSync(folder)
    expect(await terminal.run(args, '', { DATABASE_PATH: other })).toBe(2)
    expect(terminal.errors()).toContain(
      'is not the database of a service with API keys. Nothing was changed.\n',
    )
    expect(readFileSync(other).equals(before)).toBe(true)
    expect(readdirSync(folder)).toEqual(names)
  })

  test.each(uses.map(args => [args]))('%j brings none of another release up to this one', async args => {
    const old = join(folder, 'old.sqlite')
    const made = new Database(old)
    migrate(made, { name: 'apikey', migrations: migrations.migrations.slice(0, 2) }, systemClock)
    made.close()
    expect(await terminal.run(args, '', { DATABASE_PATH: old })).toBe(2)
    expect(terminal.errors()).toContain('was written by another release: start the service of this one on it')
  })

  test('garbage is told in words', async () => {
    const garbage = join(folder, 'garbage.sqlite')
    writeFileSync(garbage, 'this is no database\n'.repeat(100))
    for (const args of uses) {
      expect(await terminal.run(args, '', { DATABASE_PATH: garbage })).toBe(2)
      expect(terminal.errors()).toMatch(/^[^\n]*can not be (opened|used)[^\n]*\n$/)
    }
  })
})

test('a file that another process holds for long is told of, and nothing is half done', async () => {
  database.run('BEGIN IMMEDIATE')
  expect(await keys(...create)).toBe(2)
  database.run('ROLLBACK')
  expect(terminal.output()).toBe('')
  expect(terminal.errors()).toEndWith('The database is busy: try again.\n')
  expect(rows()).toEqual([])
})

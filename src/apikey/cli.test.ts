import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bySystem } from '../lib/audit.ts'
import { systemClock } from '../lib/clock.ts'
import { openDatabase } from '../lib/sqlite.ts'
import { createKeys, type IssuedKey, lowestCost } from './keys.ts'
import { createSqliteKeyStore, type KeyStore } from './store.ts'
import { openKeyDatabase } from './test-store.ts'
import { createTestTerminal, type TestTerminal } from './test-terminal.ts'
import { parseKey } from './token.ts'

let folder: string
let path: string
let database: ReturnType<typeof openKeyDatabase>
let store: KeyStore
let made: IssuedKey
let terminal: TestTerminal
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'explain-'))
  path = join(folder, 'service.sqlite')
  database = openKeyDatabase(path)
  store = createSqliteKeyStore({ database, clock: systemClock })
  const keys = createKeys({ store, clock: systemClock, prefix: 'lk', cost: lowestCost, keysPerOwner: 10 })
  const input = { name: 'deploy', ownerId: 'cli_ci', permissions: ['documents:read'], expiresAt: null }
  made = await keys.create(input, ['documents:*'], { ...bySystem, actorId: 'usr_ann' })
  terminal = createTestTerminal({ DATABASE_PATH: path })
})
afterEach(() => {
  terminal.restore()
  database.close()
  rmSync(folder, { recursive: true })
})

const secret = (): string => parseKey(made.text)?.secret ?? 'no secret'
const explain = (args: string[], input = '', env: Record<string, string> = { DATABASE_PATH: path }) =>
  terminal.run(['explain', ...args], input, env)
const main = join(import.meta.dir, '..', 'main.ts')

describe('latchkey keys explain', () => {
  test('says of a good key that it is let in, with exit code 0', async () => {
    expect(await explain([], `${made.text}\n`)).toBe(0)
    expect(terminal.output()).toStartWith(`${made.key.id}: accepted\n`)
    for (const part of ['secret      passed', 'owner: cli_ci', 'owner: not followed', 'documents:read'])
      expect(terminal.output()).toContain(part)
    expect(terminal.output() + terminal.errors()).not.toContain(secret())
  })

  test('says of a bad one why not, with exit code 1', async () => {
    await store.update(made.key.id, 'all', { enabled: false }, bySystem)
    expect(await explain([], made.text)).toBe(1)
    expect(terminal.output()).toContain('refused with 403 api_key_disabled')
    expect(terminal.output()).toMatch(/disabled +failed +disabled since \d{4}-/)
  })

  test('asks for a permission by name', async () => {
    expect(await explain(['--permission', 'documents:read'], made.text)).toBe(0)
    expect(await explain(['--permission', 'documents:write'], made.text)).toBe(1)
    expect(terminal.output()).toContain('refused with 403 insufficient_permission')
  })

  test('asks for an address', async () => {
    await store.update(made.key.id, 'all', { allowedNetworks: ['192.0.2.0/24'] }, bySystem)
    expect(await explain(['--address', '192.0.2.7'], made.text)).toBe(0)
    expect(await explain(['--address', '192.0.3.7'], made.text)).toBe(1)
    expect(terminal.output()).toContain('refused with 403 api_key_network_not_allowed')
  })

  test('takes the name of a key as its argument, and then reads no input', async () => {
    expect(await explain([made.key.id], made.text)).toBe(0)
    expect(terminal.wasRead()).toBe(false)
    expect(terminal.output()).toMatch(/secret +not checked/)
  })

  test('answers programs in JSON', async () => {
    expect(await explain(['--json'], made.text)).toBe(0)
    expect(JSON.parse(terminal.output())).toMatchObject({ keyId: made.key.id, accepted: true, code: null })
    expect(terminal.output()).not.toContain(secret())
  })

  test('goes by the settings of the service for how long login may go unheard', async () => {
    database.run("INSERT INTO feed_position VALUES (1, 'f', 'g', 'c', 1, ?)", [Date.now() - 60_000])
    database.run(
      `INSERT INTO subjects (id, status, roles, scopes, sequence, epoch, changed_at)
       VALUES ('cli_ci', 'active', '[]', '["documents:read"]', 1, 1, 1)`,
    )
    const env = { DATABASE_PATH: path, STALE_MODE: 'deny' }
    expect(await explain([], made.text, env)).toBe(0)
    expect(await explain([], made.text, { ...env, MAX_STALENESS_SECONDS: '59' })).toBe(1)
    expect(terminal.output()).toContain('refused with 503 unavailable')
  })

  test('changes nothing', async () => {
    const dump = () =>
      ['api_keys', 'api_key_audit'].map(table => database.query(`SELECT * FROM ${table}`).all())
    const before = dump()
    await explain([], made.text)
    expect(dump()).toEqual(before)
  })

  test.each([
    ['a key', () => [made.text]],
    ['a key with a typo', () => [made.text.slice(1)]],
    ['too many words', () => [made.key.id, made.text]],
    ['an option that is none', () => [`--${made.text}`]],
    ['an option with a value', () => [`--json=${made.text}`]],
    ['a permission that is none', () => ['--permission', made.text]],
    ['an address that is none', () => ['--address', made.text]],
  ] as const)(
    'KEY-05: %s among the arguments is refused with exit code 2, and not repeated',
    async (_, args) => {
      expect(await explain(args(), made.text)).toBe(2)
      expect(terminal.output()).toBe('')
      expect(terminal.errors()).not.toBe('')
      expect(terminal.errors()).not.toContain(secret())
    },
  )

  test('tells how to use it', async () => {
    expect(await explain(['--help'])).toBe(0)
    expect(terminal.output()).toStartWith('Usage: latchkey keys explain')
  })

  test('without a key, a database, or the tables of a service: says so, with exit code 2', async () => {
    expect(await explain([], ' \n')).toBe(2)
    expect(terminal.errors()).toContain('no key on standard input')
    const missing = join(folder, 'missing.sqlite')
    expect(await explain([], made.text, { DATABASE_PATH: missing })).toBe(2)
    expect(terminal.errors()).toContain('There is no database at')
    expect(await Bun.file(missing).exists()).toBe(false)
    const other = join(folder, 'other.sqlite')
    openDatabase(other).close()
    expect(await explain([], made.text, { DATABASE_PATH: other })).toBe(2)
    expect(terminal.errors()).toContain('is not the database of a service with API keys')
    const garbage = join(folder, 'garbage.sqlite')
    writeFileSync(garbage, made.text.repeat(100))
    expect(await explain([], made.text, { DATABASE_PATH: garbage })).toBe(2)
    expect(terminal.errors()).not.toContain(secret())
    expect(terminal.output()).toBe('')
  })
})

test('a process of its own explains a key beside the service that has the database open', async () => {
  const child = Bun.spawn([process.execPath, main, 'keys', 'explain', '--json'], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? '', HOME: folder, DATABASE_PATH: path },
    stdin: new Blob([`${made.text}\n`]),
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const [told, complaints, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  expect({ complaints, code }).toEqual({ complaints: '', code: 0 })
  expect(JSON.parse(told)).toMatchObject({ keyId: made.key.id, accepted: true })
  expect(told).not.toContain(secret())
})

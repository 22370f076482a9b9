import { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, spyOn, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { migrations } from '../../db/login/index.ts'
import { systemClock } from '../lib/clock.ts'
import { migrate } from '../lib/migrate.ts'
import { migrations as userdbMigrations } from '../userdb/index.ts'
import { run } from './cli.ts'
import { createTestLogin, openLoginDatabase, type TestLogin } from './test-login.ts'
import { basic, expectOAuthError, sendForm } from './test-oauth.ts'

let folder: string
let path: string
let output: string
let errors: string
let spies: { mockRestore(): void }[]
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'login-cli-'))
  path = join(folder, 'data', 'login.sqlite')
  output = ''
  errors = ''
  spies = [
    spyOn(process.stdout, 'write').mockImplementation(text => {
      output += text
      return true
    }),
    spyOn(process.stderr, 'write').mockImplementation(text => {
      errors += text
      return true
    }),
  ]
})
afterEach(() => {
  for (const spy of spies) spy.mockRestore()
  rmSync(folder, { recursive: true })
})

/** Runs `latchkey clients …` and says how it went. */
const clients = async (...args: string[]): Promise<number> => {
  output = ''
  errors = ''
  return run(args, { DATABASE_PATH: path })
}

const Printed = Type.Object({
  id: Type.String(),
  status: Type.String(),
  scopes: Type.Array(Type.String()),
  secret: Type.Optional(Type.String()),
})
const printed = () => Value.Parse(Printed, JSON.parse(output))

describe('latchkey clients', () => {
  test('makes the first service account before there is any login, and prints its secret', async () => {
    expect(
      await clients(
        'create',
        '--name',
        'Invoices',
        '--scope',
        'changes:read',
        '--scope',
        'a:b',
        '--id',
        'cli_x',
      ),
    ).toBe(0)
    expect(output).toMatch(/^cli_x\tactive\ta:b changes:read\tInvoices\nsecret\tlcs_[A-Za-z0-9_-]{43}\n$/)
    expect(errors).toBe('')
    expect(await clients('list')).toBe(0)
    expect(output).toBe('cli_x\tactive\ta:b changes:read\tInvoices\n')
    expect(await clients('list', '--json')).toBe(0)
    expect(JSON.parse(output)).toMatchObject([{ id: 'cli_x', createdBy: null }])
    expect(output).not.toContain('lcs_')
  })

  test('rotates, disables, enables and deletes, in words or as JSON', async () => {
    await clients('create', '--json', '--name', 'Invoices')
    const { id, secret = '' } = printed()
    expect(id).toMatch(/^cli_[0-9a-f]{32}$/)
    expect(await clients('rotate', id, '--grace-seconds', '0', '--json')).toBe(0)
    expect(printed().secret).toMatch(/^lcs_/)
    expect(output).not.toContain(secret)
    expect(await clients('disable', id, '--json')).toBe(0)
    expect(printed().status).toBe('disabled')
    expect(await clients('enable', id)).toBe(0)
    expect(output).toStartWith(`${id}\tactive\t-\t`)
    expect(await clients('delete', id)).toBe(0)
    expect(output).toBe('')
    expect(await clients('list', '--json')).toBe(0)
    expect(output).toBe('[]\n')
  })

  test.each([['rotate'], ['disable'], ['enable'], ['delete']])(
    '%s of one that is not there is 1',
    async verb => {
      await clients('create', '--name', 'x')
      expect(await clients(verb, 'cli_nobody')).toBe(1)
      expect({ output, errors }).toEqual({ output: '', errors: 'There is no such service account.\n' })
    },
  )

  test('an id that is taken, or was once, is 1', async () => {
    await clients('create', '--name', 'x', '--id', 'cli_x')
    for (const verb of ['create', 'delete']) {
      if (verb === 'delete') await clients('delete', 'cli_x')
      expect(await clients('create', '--name', 'y', '--id', 'cli_x')).toBe(1)
      expect(errors).toBe('The id belongs to a service account, or did so once.\n')
    }
  })

  test('makes no database where there is none, but to create', async () => {
    for (const args of [['list'], ['rotate', 'cli_x'], ['disable', 'cli_x'], ['delete', 'cli_x']]) {
      expect(await clients(...args)).toBe(1)
      expect(errors).toBe(`There is no database at ${path}.\n`)
    }
    expect(existsSync(path)).toBe(false)
  })

  test('tells what is wrong with a database, without a stack', async () => {
    writeFileSync(
      path.replace('data/', ''),
      'this is no database, and long enough to be taken for one\n'.repeat(40),
    )
    path = path.replace('data/', '')
    expect(await clients('list')).toBe(1)
    expect(errors).toMatch(/^[^\n]*can not be (opened|used)[^\n]*\n$/)
  })

  test.each([[['list']], [['rotate', 'cli_x']], [['create', '--name', 'x']]])(
    '%j leaves a database alone that is not of a login',
    async args => {
      path = join(folder, 'other.sqlite')
      const other = new Database(path)
      other.run('CREATE TABLE notes (text TEXT)')
      other.close()
      const before = readFileSync(path)
      expect(await clients(...args)).toBe(1)
      expect({ output, errors }).toEqual({
        output: '',
        errors: `${path} is not the database of a login. Nothing was changed.\n`,
      })
      expect(readFileSync(path).equals(before)).toBe(true)
      expect(readdirSync(folder)).toEqual(['other.sqlite'])
    },
  )

  test('brings a database of an earlier release up to this one only to create', async () => {
    mkdirSync(join(folder, 'data'))
    const old = new Database(path)
    migrate(old, userdbMigrations, systemClock)
    migrate(old, { name: 'login', migrations: migrations.migrations.slice(0, 2) }, systemClock)
    old.close()
    for (const args of [['list'], ['disable', 'cli_x']]) {
      expect(await clients(...args)).toBe(1)
      expect(errors).toMatch(/^[^\n]* was written by another release: [^\n]*\n$/)
    }
    expect(await clients('create', '--name', 'x', '--id', 'cli_x')).toBe(0)
    expect(await clients('list')).toBe(0)
    expect(output).toStartWith('cli_x\t')
  })

  test.each([
    [[]],
    [['nonsense']],
    [['__proto__']],
    [['create']],
    [['create', '--name', '']],
    [['create', '--name']],
    [['create', '--name', 'x', '--scope', 'a:*']],
    [['create', '--name', 'x', '--id', 'usr_x']],
    [['create', '--name', 'x', '--id', 'cli_']],
    [['create', '--name', 'x', 'cli_x']],
    [['create', '--name', 'x', '--grace-seconds', '5']],
    [['create', '--name', 'x', '--verbose']],
    [['list', 'cli_x']],
    [['list', '--name', 'x']],
    [['rotate']],
    [['rotate', 'cli_x', 'cli_y']],
    [['rotate', 'cli_x', '--grace-seconds', '-1']],
    [['rotate', 'cli_x', '--grace-seconds', '2592001']],
    [['rotate', 'cli_x', '--grace-seconds', '1e3']],
    [['delete', 'cli_x', '--json=yes']],
  ])('%j is no use of it: 2, told on standard error, and no database is made', async args => {
    expect(await clients(...args)).toBe(2)
    expect(errors).toContain('Usage: latchkey clients <verb>')
    expect(output).toBe('')
    expect(existsSync(path)).toBe(false)
  })
})

describe('beside a login that runs', () => {
  let login: TestLogin
  beforeEach(() => {
    login = createTestLogin({ database: openLoginDatabase(path), time: { now: 0, clock: systemClock } })
  })
  afterEach(() => login.database.close())
  const ask = (id: string, secret: string) =>
    sendForm(login, '/oauth/token', { grant_type: 'client_credentials' }, basic(id, secret))

  test('what the command does holds at the next request, and is audited and told to services', async () => {
    await clients('create', '--json', '--name', 'x', '--scope', 'changes:read')
    const { id, secret = '' } = printed()
    expect((await ask(id, secret)).status).toBe(200)
    await clients('rotate', id, '--grace-seconds', '60', '--json')
    const next = printed().secret ?? ''
    expect((await ask(id, secret)).status).toBe(200)
    expect((await ask(id, next)).status).toBe(200)
    await clients('disable', id)
    expectOAuthError(await ask(id, next), 401, 'invalid_client')
    await clients('enable', id)
    expect((await ask(id, next)).status).toBe(200)
    await clients('delete', id)
    expectOAuthError(await ask(id, next), 401, 'invalid_client')
    expect(login.audit().map(({ action, actor_id: actor }) => [action, actor])).toEqual(
      ['created', 'secret_rotated', 'disabled', 'enabled', 'deleted'].map(verb => [`client.${verb}`, null]),
    )
    expect(login.database.query('SELECT 1 FROM changes').all()).toHaveLength(5)
  })
})

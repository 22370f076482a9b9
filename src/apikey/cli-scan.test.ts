import type { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bySystem } from '../lib/audit.ts'
import { systemClock } from '../lib/clock.ts'
import { createKeys, type IssuedKey, type Keys, lowestCost } from './keys.ts'
import { createSqliteKeyStore, type KeyStore } from './store.ts'
import { openKeyDatabase } from './test-store.ts'
import { createTestTerminal, type TestTerminal } from './test-terminal.ts'
import { formatKey, generateKey, parseKey, publicId } from './token.ts'

let folder: string
let files: string
let database: Database
let store: KeyStore
let keys: Keys
let terminal: TestTerminal
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'keys-scan-'))
  files = join(folder, 'files')
  mkdirSync(files)
  const path = join(folder, 'service.sqlite')
  database = openKeyDatabase(path)
  store = createSqliteKeyStore({ database, clock: systemClock })
  keys = createKeys({ store, clock: systemClock, prefix: 'lk', cost: lowestCost, keysPerOwner: 10 })
  terminal = createTestTerminal({ DATABASE_PATH: path })
})
afterEach(() => {
  terminal.restore()
  database.close()
  rmSync(folder, { recursive: true })
})

const issue = (expiresAt: number | null = null): Promise<IssuedKey> =>
  keys.create({ name: 'n', ownerId: 'usr_ann', permissions: [], expiresAt }, [], bySystem)
const write = (name: string, content: string | Uint8Array): string => {
  writeFileSync(join(files, name), content)
  return join(files, name)
}
const scan = (...args: string[]) => terminal.run(['scan', ...args])
const forged = ({ text }: IssuedKey): string =>
  formatKey({ ...generateKey('lk'), id: parseKey(text)?.id ?? '' })
const isRevoked = async ({ key: { id } }: IssuedKey): Promise<boolean> =>
  typeof (await store.findCredential(id))?.key.revokedAt === 'number'
const expectNoSecret = (...texts: string[]): void => {
  for (const text of texts) {
    expect(terminal.output() + terminal.errors()).not.toContain(parseKey(text)?.secret ?? 'no key')
  }
}

describe('latchkey keys scan', () => {
  test('tells where each key is and in which state, and never the key', async () => {
    const [live, off, gone, dead] = [
      await issue(),
      await issue(),
      await issue(),
      await issue(Date.now() + 60),
    ]
    await store.update(off.key.id, 'all', { enabled: false }, bySystem)
    await store.revoke(gone.key.id, 'all', bySystem)
    await Bun.sleep(70)
    const stranger = formatKey(generateKey('lk'))
    const texts = [live.text, off.text, gone.text, dead.text, stranger, forged(live)]
    const path = write('app.env', texts.map(text => `A_KEY="${text}"\n`).join('# and\n'))
    expect(await scan(path)).toBe(1)
    expect(terminal.output()).toBe(
      [
        `${path}:1:8  ${live.key.id}  live`,
        `${path}:3:8  ${off.key.id}  disabled`,
        `${path}:5:8  ${gone.key.id}  revoked`,
        `${path}:7:8  ${dead.key.id}  expired`,
        `${path}:9:8  ${publicId(parseKey(stranger)?.id ?? '')}  unknown`,
        `${path}:11:8  ${live.key.id}  wrong secret`,
        '',
      ].join('\n'),
    )
    expect(terminal.errors()).toBe('6 keys in 1 file\n')
    expectNoSecret(...texts)
  })

  test('is 0 where there is none, and tells of what only looks like one as little as of nothing', async () => {
    const text = formatKey(generateKey('lk'))
    const path = write('a.txt', `${text.slice(0, -1)}${text.endsWith('a') ? 'b' : 'a'}\n${text.slice(1)}\n`)
    expect(await scan(path)).toBe(0)
    expect(terminal.output()).toBe('')
    expect(terminal.errors()).toBe('0 keys in 1 file\n')
  })

  test('--revoke revokes those whose secret is right, each once, and leaves the others', async () => {
    const [leaked, off, named] = [await issue(), await issue(), await issue()]
    await store.update(off.key.id, 'all', { enabled: false }, bySystem)
    write('a', `${leaked.text}\n${off.text}\n${forged(named)}\n`)
    write('b', leaked.text)
    expect(await scan(files, '--revoke')).toBe(1)
    expect(
      terminal
        .output()
        .trimEnd()
        .split('\n')
        .map(line => line.split('  ').at(-1)),
    ).toEqual(['revoked now', 'revoked now', 'wrong secret', 'revoked'])
    expect([await isRevoked(leaked), await isRevoked(off), await isRevoked(named)]).toEqual([
      true,
      true,
      false,
    ])
    const rows = database
      .query(
        "SELECT subject_id, actor_id FROM api_key_audit WHERE action = 'api_key.revoked' ORDER BY sequence",
      )
      .all()
    expect(rows).toEqual([leaked, off].map(({ key }) => ({ subject_id: key.id, actor_id: null })))
  })

  test('without --revoke nothing is written', async () => {
    const leaked = await issue()
    write('a', leaked.text)
    expect(await scan(files)).toBe(1)
    expect(await isRevoked(leaked)).toBe(false)
  })

  test('--revoke that can not be carried out is 2, and what was found is told all the same', async () => {
    const leaked = await issue()
    write('a', leaked.text)
    database.run('BEGIN IMMEDIATE')
    expect(await scan(files, '--revoke')).toBe(2)
    database.run('ROLLBACK')
    expect(terminal.output()).toBe(`${join(files, 'a')}:1:1  ${leaked.key.id}  live\n`)
    expect(terminal.errors()).toContain(`${leaked.key.id} could not be revoked`)
  })

  test('--json writes an object a line', async () => {
    const leaked = await issue()
    const file = write('a', `\n ${leaked.text}`)
    expect(await scan(file, '--json', '--revoke')).toBe(1)
    const found = { file, line: 2, column: 2, keyId: leaked.key.id, state: 'revoked', revoked: true }
    expect(terminal.output()).toBe(`${JSON.stringify(found)}\n`)
  })

  test('without a database it only finds', async () => {
    const { text, key } = await issue()
    const path = write('a', text)
    expect(await scan(path, '--no-database')).toBe(1)
    expect(terminal.output()).toBe(`${path}:1:1  ${key.id}\n`)
    const env = { DATABASE_PATH: join(folder, 'none.sqlite') }
    expect(await terminal.run(['scan', path, '--json'], '', env)).toBe(1)
    expect(JSON.parse(terminal.output())).toMatchObject({ keyId: key.id, state: null, revoked: false })
    expect(terminal.errors()).toContain('There is no database at DATABASE_PATH')
    expect(await terminal.run(['scan', path, '--revoke'], '', env)).toBe(2)
  })

  test('reads standard input as -, beside files', async () => {
    const [one, other] = [await issue(), await issue()]
    const path = write('a', one.text)
    expect(await terminal.run(['scan', path, '-'], `commit 1\n+KEY=${other.text}\n`)).toBe(1)
    expect(terminal.output()).toBe(`${path}:1:1  ${one.key.id}  live\n-:2:6  ${other.key.id}  live\n`)
  })

  test('goes through folders, hidden and binary files too, in the order of names', async () => {
    const [one, two, three] = [await issue(), await issue(), await issue()]
    mkdirSync(join(files, 'b', 'deep'), { recursive: true })
    write('b/deep/.hidden', one.text)
    write('a.bin', Buffer.concat([new Uint8Array(600_000), Buffer.from(two.text), new Uint8Array([255, 0])]))
    write('c', three.text)
    expect(await scan(files)).toBe(1)
    expect(
      terminal
        .output()
        .trimEnd()
        .split('\n')
        .map(line => line.slice(files.length + 1)),
    ).toEqual([
      `a.bin:1:600001  ${two.key.id}  live`,
      `b/deep/.hidden:1:1  ${one.key.id}  live`,
      `c:1:1  ${three.key.id}  live`,
    ])
    expect(terminal.errors()).toBe('3 keys in 3 files\n')
  })

  test('follows no link that it comes upon, reads no pipe, and says of both that it did not', async () => {
    const { text } = await issue()
    writeFileSync(join(folder, 'outside'), text)
    symlinkSync(join(folder, 'outside'), join(files, 'link'))
    symlinkSync(folder, join(files, 'round'))
    const server = createServer().listen(join(files, 'socket'))
    await new Promise(resolve => server.once('listening', resolve))
    try {
      expect(await scan(files)).toBe(0)
      expect(terminal.errors()).toBe(
        '0 keys in 0 files; 2 links not followed; 1 pipe, socket or device not read\n',
      )
      // One that was named is meant.
      expect(await scan(join(files, 'link'))).toBe(1)
    } finally {
      server.close()
    }
  })

  test('what can not be read is told, the rest is scanned, and the exit code is 2', async () => {
    const { text, key } = await issue()
    write('a', text)
    expect(await scan(join(files, 'none'), files)).toBe(2)
    expect(terminal.output()).toBe(`${join(files, 'a')}:1:1  ${key.id}  live\n`)
    expect(terminal.errors()).toBe(
      `${join(files, 'none')}: can not be read (ENOENT)\n1 key in 1 file; 1 trouble\n`,
    )
  })

  // Root may read everything.
  test.skipIf(process.getuid?.() === 0)('so is a file or a folder without permission', async () => {
    mkdirSync(join(files, 'closed'))
    chmodSync(join(files, 'closed'), 0)
    chmodSync(write('b', 'x'), 0)
    expect(await scan(files)).toBe(2)
    chmodSync(join(files, 'closed'), 0o700)
    expect(terminal.errors().match(/\(EACCES\)/g)).toHaveLength(2)
  })

  test('a name that holds a key, or commands a terminal, is not repeated as it is', async () => {
    const { text } = await issue()
    write(`${text}\x1b[2J`, text)
    expect(await scan(files)).toBe(1)
    expect(terminal.output()).toContain('lk_…?[2J:1:1  key_')
    expectNoSecret(text)
    expect(await scan(files, '--json')).toBe(1)
    expectNoSecret(text)
  })
})

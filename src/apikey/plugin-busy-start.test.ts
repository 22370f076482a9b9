import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openDatabase, settle } from '../lib/sqlite.ts'
import { internalsOf } from './internals.ts'
import { apikey } from './plugin.ts'
import { openKeyDatabase } from './test-store.ts'

/** Holds a file for as long as it is told, from when it says so. */
const holder = `
const { Database } = require('bun:sqlite')
const [path, milliseconds] = process.argv.slice(-2)
const database = new Database(path)
database.run('BEGIN IMMEDIATE')
process.stdout.write('held')
await Bun.sleep(Number(milliseconds))
database.run('COMMIT')
database.close()
`

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'latchkey-start-'))
  path = join(folder, 'keys.sqlite')
  const database = openKeyDatabase(path)
  // What a process left behind, which is taken out at the start.
  database.run(
    "INSERT INTO api_key_windows (lineage_id, name, admitted, expires_at) VALUES ('key_a', '*', x'01', 9e12)",
  )
  database.close()
})
afterEach(() => rmSync(folder, { recursive: true }))

test('on a database that does not wait, the start does for another process that writes, and it is left as it was', async () => {
  const database = openDatabase(path)
  settle(database)
  const child = Bun.spawn([process.execPath, '-e', holder, path, '400'], { stdout: 'pipe' })
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) if (text === 'held') break
  expect(() => database.run('BEGIN IMMEDIATE')).toThrow('locked')

  const auth = apikey({
    jwt: { secret: 'x'.repeat(32) },
    issuer: 'http://login.test',
    audience: 'test',
    database,
    roles: { user: ['notes:read'] },
    log: { info: () => {}, warn: () => {} },
  })
  expect(await internalsOf(auth).store().findCredential('key_a')).toBeNull()
  expect(database.query('PRAGMA busy_timeout').values()).toEqual([[0]])
  expect(database.query('SELECT count(*) FROM api_key_windows').values()).toEqual([[0]])
  await internalsOf(auth).stop()
  await child.exited
  database.close()
})

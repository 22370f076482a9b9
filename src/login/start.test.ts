import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bySystem } from '../lib/audit.ts'
import { StartError } from '../lib/start-error.ts'
import { start } from './start.ts'
import { createTestLogin, openLoginDatabase } from './test-login.ts'

// A start that goes on takes signals and a port: test/e2e has those.
describe('PWD-12: a first administrator who can not be made stops the start before it listens', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'login-start-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  test.each([
    ['root@example.com', 'short', 'ADMIN_PASSWORD must have at least 15 characters.'],
    ['root@example.com', 'root@example.com', 'ADMIN_PASSWORD must not contain the email address'],
    ['not an address', 'correct horse battery', 'ADMIN_EMAIL must be an email address'],
    ['ann@example.com', 'correct horse battery', 'A user has this email address already.'],
  ])('%s with %s: the name and the rule are told, the value is not', async (email, password, words) => {
    const path = join(folder, 'login.sqlite')
    const before = createTestLogin({ database: openLoginDatabase(path) })
    await before.users.create({ email: 'ann@example.com', password: 'a password of ann' }, bySystem)
    before.database.close()

    const starting = start({ DATABASE_PATH: path, ADMIN_EMAIL: email, ADMIN_PASSWORD: password, PORT: '9' })
    const error = await starting.catch((thrown: unknown) => thrown)
    if (!(error instanceof StartError)) throw error
    expect(error.message).toContain(words)
    expect(error.message).not.toContain(password)
    expect(error.message).not.toContain(email)
  })
})

import type { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bySystem } from '../lib/audit.ts'
import { createSqliteUserStore, type User, type UserStore } from '../userdb/index.ts'
import { createChangeLog } from './change-log.ts'
import { describeSessionStore, type SessionPair } from './session-store.contract.ts'
import { createSqliteSessionStore, graceMilliseconds, type SessionStore } from './session-store.ts'
import { auditOf, createTime, newUser, openLoginDatabase, type TestTime } from './test-login.ts'
import { createUserEvents } from './user-events.ts'

const dump = (database: Database): unknown => [
  database.query('SELECT * FROM sessions ORDER BY id').all(),
  database.query('SELECT * FROM login_audit ORDER BY sequence').all(),
  database.query('SELECT * FROM changes ORDER BY sequence').all(),
]

const pairOf = (one: Database, other: Database, { clock }: TestTime, close: () => void): SessionPair => ({
  first: createSqliteSessionStore({ database: one, clock, changes: createChangeLog(one) }),
  second: createSqliteSessionStore({ database: other, clock, changes: createChangeLog(other) }),
  users: createSqliteUserStore({
    database: one,
    clock,
    inTransaction: createUserEvents(createChangeLog(one)),
  }),
  dump: () => dump(other),
  audit: () => auditOf(other),
  close,
})

describeSessionStore('sessions in memory', time => {
  const database = openLoginDatabase()
  return pairOf(database, database, time, () => database.close())
})

describeSessionStore('sessions in a file with two connections', time => {
  const folder = mkdtempSync(join(tmpdir(), 'login-'))
  const [one, other] = [1, 2].map(() => openLoginDatabase(join(folder, 'login.sqlite')))
  if (!one || !other) throw new Error('two connections')
  return pairOf(one, other, time, () => {
    one.close()
    other.close()
    rmSync(folder, { recursive: true })
  })
})

describe('one transaction', () => {
  let time: TestTime
  let database: Database
  let sessions: SessionStore
  let users: UserStore
  let ann: User

  beforeEach(async () => {
    time = createTime()
    database = openLoginDatabase()
    sessions = createSqliteSessionStore({ database, clock: time.clock, changes: createChangeLog(database) })
    users = createSqliteUserStore({
      database,
      clock: time.clock,
      inTransaction: createUserEvents(createChangeLog(database)),
    })
    ann = await users.insert(newUser('ann@example.com'), bySystem)
  })
  afterEach(() => database.close())

  const start = async () => {
    const session = await sessions.start(ann.id, bySystem)
    if (session === null) throw new Error('the session was refused')
    return session
  }

  test('LOG-01: where the audit row can not be written, nothing is: no start, no end, no change of a user', async () => {
    const session = await start()
    const reused = await start()
    await sessions.refresh(reused.refreshToken, bySystem)
    time.now += graceMilliseconds + 1
    database.run('ALTER TABLE login_audit RENAME TO login_audit_gone')
    const kept = () => [
      database.query('SELECT * FROM sessions ORDER BY id').all(),
      database.query('SELECT * FROM users').all(),
    ]
    const before = kept()
    const commands = [
      () => sessions.start(ann.id, bySystem),
      () => sessions.signOut(session.refreshToken, 'local', bySystem),
      () => sessions.signOut(session.refreshToken, 'global', bySystem),
      () => sessions.refresh(reused.refreshToken, bySystem),
      () => users.disable(ann.id, bySystem),
      () => users.remove(ann.id, bySystem),
      () => users.setPassword(ann.id, '$argon2id$other', bySystem),
      () => users.update(ann.id, { displayName: 'Ann' }, bySystem),
    ]
    for (const command of commands) await expect(command()).rejects.toThrow('login_audit')
    expect(kept()).toEqual(before)
    expect(await sessions.isLive(session.sessionId, ann.id)).toBe(true)
  })

  test('SES-04: where the sessions can not be ended, the user is not disabled, deleted or given a password', async () => {
    database.run('ALTER TABLE sessions RENAME TO sessions_gone')
    for (const change of [
      () => users.disable(ann.id, bySystem),
      () => users.remove(ann.id, bySystem),
      () => users.setPassword(ann.id, '$argon2id$other', bySystem),
    ]) {
      await expect(change()).rejects.toThrow('sessions')
    }
    expect(await users.findCredential(ann.email)).toEqual({
      user: ann,
      passwordHash: newUser('').passwordHash,
    })
  })

  test('says of every end when and why', async () => {
    const session = await start()
    time.now += 5
    await users.disable(ann.id, bySystem)
    const row = database
      .query('SELECT ended_at, end_reason FROM sessions WHERE id = ?')
      .get(session.sessionId)
    expect(row).toEqual({ ended_at: time.now, end_reason: 'user_disabled' })
  })

  test('an end stays as it was when the user is deleted later', async () => {
    const session = await start()
    await sessions.signOut(session.refreshToken, 'local', bySystem)
    const row = () => database.query('SELECT * FROM sessions').all()
    const before = row()
    time.now += 5
    await users.remove(ann.id, bySystem)
    expect(row()).toEqual(before)
  })

  test('SES-01: neither a token nor its key is in what is audited, and no token is kept', async () => {
    const session = await start()
    const next = await sessions.refresh(session.refreshToken, bySystem)
    await sessions.signOut(next?.refreshToken ?? '', 'global', bySystem)
    const key = database.query<{ refresh_key: string }, []>('SELECT refresh_key FROM sessions').get()
    const audit = JSON.stringify(auditOf(database))
    const everything = JSON.stringify(dump(database))
    for (const token of [session.refreshToken, next?.refreshToken ?? '']) {
      expect(everything).not.toContain(token)
      expect(everything).not.toContain(token.slice(-43))
      expect(JSON.stringify([session, next])).not.toContain(key?.refresh_key ?? '')
    }
    expect(audit).not.toContain(key?.refresh_key ?? '')
  })
})

describe('OPS-02: while another connection holds the file', () => {
  let folder: string
  let database: Database
  let other: Database
  const time = createTime()
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'login-'))
    database = openLoginDatabase(join(folder, 'login.sqlite'))
    other = openLoginDatabase(join(folder, 'login.sqlite'))
  })
  afterEach(() => {
    database.close()
    other.close()
    rmSync(folder, { recursive: true })
  })

  test('SES-04: a user who is disabled while their password is being checked gets no session', async () => {
    const users = createSqliteUserStore({
      database,
      clock: time.clock,
      inTransaction: createUserEvents(createChangeLog(database)),
    })
    const sessions = createSqliteSessionStore({
      database,
      clock: time.clock,
      changes: createChangeLog(database),
    })
    const ann = await users.insert(newUser('ann@example.com'), bySystem)
    other.run('BEGIN IMMEDIATE')
    other.run("UPDATE users SET status = 'disabled'")
    const starting = sessions.start(ann.id, bySystem)
    await Bun.sleep(5)
    other.run('COMMIT')
    expect(await starting).toBeNull()
    expect(other.query('SELECT * FROM sessions').all()).toEqual([])
  })

  test('SES-02: a refresh is decided on what the other has committed', async () => {
    const users = createSqliteUserStore({
      database,
      clock: time.clock,
      inTransaction: createUserEvents(createChangeLog(database)),
    })
    const sessions = createSqliteSessionStore({
      database,
      clock: time.clock,
      changes: createChangeLog(database),
    })
    const ann = await users.insert(newUser('ann@example.com'), bySystem)
    const session = await sessions.start(ann.id, bySystem)
    other.run('BEGIN IMMEDIATE')
    other.query("UPDATE sessions SET ended_at = ?, end_reason = 'signed_out'").run(time.now)
    const refreshing = sessions.refresh(session?.refreshToken ?? '', bySystem)
    await Bun.sleep(5)
    other.run('COMMIT')
    expect(await refreshing).toBeNull()
  })
})

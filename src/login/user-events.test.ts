import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { bySystem } from '../lib/audit.ts'
import { changeTypes, longestTokenSeconds } from '../lib/changes-schema.ts'
import type { User } from '../userdb/index.ts'
import { graceMilliseconds, type SignOutScope } from './session-store.ts'
import { changeRows, createFeedSite, type FeedSite } from './test-feed.ts'
import { newUser } from './test-login.ts'

let site: FeedSite
let ann: User
beforeEach(async () => {
  site = createFeedSite()
  ann = await site.users.insert(newUser('ann@example.com'), bySystem)
})
afterEach(() => site.database.close())

/** What a call added to the feed. */
const added = async (call: () => Promise<unknown>) => {
  const before = changeRows(site.database).length
  await call()
  return changeRows(site.database).slice(before)
}

const start = async (user: User = ann) => {
  const session = await site.sessions.start(user.id, bySystem)
  if (session === null) throw new Error('the session was refused')
  return session
}

const stateOf = (status: string, roles: readonly string[]) => ({ status, roles: [...roles], scopes: [] })

describe('the feed is told of a user', () => {
  type Case = [
    what: string,
    act: () => Promise<unknown>,
    type: string,
    state: () => ReturnType<typeof stateOf>,
  ]
  const cases: Case[] = [
    [
      'who has other roles',
      () => site.users.update(ann.id, { roles: ['support', 'user'] }, bySystem),
      changeTypes.claimsChanged,
      () => stateOf('active', ['support', 'user']),
    ],
    [
      'who lost every role, name and all',
      () => site.users.update(ann.id, { roles: [], displayName: 'Ann' }, bySystem),
      changeTypes.claimsChanged,
      () => stateOf('active', []),
    ],
    [
      'who was disabled',
      () => site.users.disable(ann.id, bySystem),
      changeTypes.accountDisabled,
      () => stateOf('disabled', ['user']),
    ],
    [
      'who has another password',
      () => site.users.setPassword(ann.id, '$argon2id$other', bySystem),
      changeTypes.credentialChanged,
      () => stateOf('active', ['user']),
    ],
    [
      'who was deleted',
      () => site.users.remove(ann.id, bySystem),
      changeTypes.accountPurged,
      () => stateOf('deleted', []),
    ],
  ]
  test.each(cases)('%s, by one row with the state that it leaves', async (_, act, type, state) => {
    site.time.now += 5
    expect(await added(act)).toEqual([
      {
        sequence: 2,
        type,
        at: site.time.now,
        subjectId: ann.id,
        state: state(),
        sessionId: null,
        tokenId: null,
        expiresAt: null,
      },
    ])
  })

  test('who was made, and who was enabled again', async () => {
    expect(changeRows(site.database)).toMatchObject([
      { type: changeTypes.accountCreated, subjectId: ann.id, state: stateOf('active', ['user']) },
    ])
    await site.users.disable(ann.id, bySystem)
    expect(await added(() => site.users.enable(ann.id, bySystem))).toMatchObject([
      { type: changeTypes.accountEnabled, subjectId: ann.id, state: stateOf('active', ['user']) },
    ])
  })

  test('but not of a name, of the same roles in another order, or of what changed nothing', async () => {
    await site.users.update(ann.id, { roles: ['support', 'user'] }, bySystem)
    await start()
    const nothing = await added(async () => {
      await site.users.update(ann.id, { displayName: 'Ann' }, bySystem)
      await site.users.update(ann.id, { displayName: 'Anna', roles: ['user', 'support'] }, bySystem)
      await site.users.update(ann.id, {}, bySystem)
      await site.users.enable(ann.id, bySystem)
      await site.users.replaceHash(ann.id, '$argon2id$kept', '$argon2id$raised')
    })
    expect(nothing).toEqual([])
  })
})

describe('the feed is told of sessions that ended', () => {
  const ofSessions = (rows: Awaited<ReturnType<typeof added>>) =>
    rows.filter(({ type }) => type === changeTypes.sessionRevoked)

  test.each<[SignOutScope, number[]]>([
    ['local', [0]],
    ['others', [1, 2]],
    ['global', [0, 1, 2]],
  ])('by signing out with the scope %s: each one by itself, and no other', async (scope, ended) => {
    const bob = await site.users.insert(newUser('bob@example.com'), bySystem)
    const mine = [await start(), await start(), await start()]
    await start(bob)
    site.time.now += 1_000
    const rows = await added(() => site.sessions.signOut(mine[0]?.refreshToken ?? '', scope, bySystem))
    expect(rows.map(({ sessionId }) => sessionId).toSorted()).toEqual(
      ended.map(index => mine[index]?.sessionId ?? '').toSorted(),
    )
    for (const row of rows) {
      expect(row).toMatchObject({ type: changeTypes.sessionRevoked, subjectId: ann.id, state: null })
      expect(row.at).toBe(site.time.now)
      // No token of it lives that long: it was signed before the end, or while that was being written.
      expect(row.expiresAt).toBeGreaterThan(site.time.now + longestTokenSeconds * 1_000)
    }
  })

  test('by the reuse of a refresh token', async () => {
    const session = await start()
    await site.sessions.refresh(session.refreshToken, bySystem)
    site.time.now += graceMilliseconds + 1
    const rows = await added(() => site.sessions.refresh(session.refreshToken, bySystem))
    expect(rows).toMatchObject([{ type: changeTypes.sessionRevoked, sessionId: session.sessionId }])
  })

  const changes: [string, () => Promise<unknown>][] = [
    ['disabled', () => site.users.disable(ann.id, bySystem)],
    ['deleted', () => site.users.remove(ann.id, bySystem)],
    ['given another password', () => site.users.setPassword(ann.id, '$argon2id$other', bySystem)],
  ]
  test.each(changes)('by their user being %s, after the row of the user', async (_, change) => {
    const mine = [await start(), await start()].map(({ sessionId }) => sessionId)
    const rows = await added(change)
    expect(rows).toHaveLength(3)
    expect(rows[0]?.sessionId).toBeNull()
    expect(
      ofSessions(rows)
        .map(({ sessionId }) => sessionId)
        .toSorted(),
    ).toEqual(mine.toSorted())
  })

  test('unless all of their access tokens have expired, to be on the safe side by half a minute at least', async () => {
    const [old, recent, refreshed] = [await start(), await start(), await start()]
    const life = longestTokenSeconds * 1_000
    site.time.now += life
    await site.sessions.refresh(refreshed.refreshToken, bySystem)
    site.database.run('UPDATE sessions SET refreshed_at = ? WHERE id = ?', [
      site.time.now - life - 30_000,
      recent.sessionId,
    ])
    site.database.run('UPDATE sessions SET refreshed_at = ? WHERE id = ?', [
      site.time.now - life - 3_600_000,
      old.sessionId,
    ])
    const rows = ofSessions(await added(() => site.users.disable(ann.id, bySystem)))
    expect(rows.map(({ sessionId }) => sessionId).toSorted()).toEqual(
      [recent.sessionId, refreshed.sessionId].toSorted(),
    )
    expect(await site.sessions.isLive(old.sessionId, ann.id)).toBe(false)
  })

  test('however many there are, each once', async () => {
    const { now } = site.time
    const insert = site.database.query("INSERT INTO sessions VALUES (?, ?, 'key', 0, ?, ?, ?, NULL, NULL, 0)")
    for (let index = 0; index < 2_345; index += 1)
      insert.run(`ses_${index}`, ann.id, now, now, now + 86_400_000)
    const rows = ofSessions(await added(() => site.users.disable(ann.id, bySystem)))
    expect(new Set(rows.map(({ sessionId }) => sessionId)).size).toBe(2_345)
    expect(rows).toHaveLength(2_345)
  })
})

describe('one transaction', () => {
  test('where the feed can not be written, nothing is: no change of a user, no end of a session', async () => {
    const [session, reused] = [await start(), await start()]
    await site.sessions.refresh(reused.refreshToken, bySystem)
    site.time.now += graceMilliseconds + 1
    site.database.run('ALTER TABLE changes RENAME TO changes_gone')
    const kept = () =>
      ['users', 'user_roles', 'sessions', 'login_audit'].map(table =>
        site.database.query(`SELECT * FROM ${table}`).all(),
      )
    const before = kept()
    const commands = [
      () => site.users.insert(newUser('bob@example.com'), bySystem),
      () => site.users.update(ann.id, { roles: [] }, bySystem),
      () => site.users.disable(ann.id, bySystem),
      () => site.users.remove(ann.id, bySystem),
      () => site.users.setPassword(ann.id, '$argon2id$other', bySystem),
      () => site.sessions.signOut(session.refreshToken, 'local', bySystem),
      () => site.sessions.signOut(session.refreshToken, 'global', bySystem),
      () => site.sessions.refresh(reused.refreshToken, bySystem),
    ]
    for (const command of commands) await expect(command()).rejects.toThrow('changes')
    expect(kept()).toEqual(before)
  })

  test('where the change fails after the row was written, there is no row', async () => {
    const before = changeRows(site.database)
    site.database.run(
      "CREATE TRIGGER refuse BEFORE UPDATE OF ended_at ON sessions BEGIN SELECT RAISE(ABORT, 'refused'); END",
    )
    await start()
    await expect(site.users.disable(ann.id, bySystem)).rejects.toThrow('refused')
    expect(changeRows(site.database)).toEqual(before)
    expect((await site.users.findById(ann.id))?.status).toBe('active')
  })
})

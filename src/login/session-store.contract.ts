import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { type AuditContext, bySystem } from '../lib/audit.ts'
import type { User, UserStore } from '../userdb/index.ts'
import {
  absoluteMilliseconds,
  graceMilliseconds,
  idleMilliseconds,
  type SessionStore,
  type SignOutScope,
  type StartedSession,
} from './session-store.ts'
import { type AuditRow, createTime, newUser, startOfTest, type TestTime } from './test-login.ts'

/** Two stores over the same sessions, and the users that they are of. */
export type SessionPair = {
  readonly first: SessionStore
  readonly second: SessionStore
  readonly users: UserStore
  /** Everything that is kept, so that a test can tell that nothing was written. */
  dump(): unknown
  audit(): AuditRow[]
  close(): void
}

const context: AuditContext = { actorId: null, requestId: 'req_1', address: '192.0.2.1' }
const day = 86_400_000

/** What every {@link SessionStore} promises. */
export const describeSessionStore = (name: string, open: (time: TestTime) => SessionPair): void =>
  describe(name, () => {
    let time: TestTime
    let pair: SessionPair
    let ann: User

    beforeEach(async () => {
      time = createTime()
      pair = open(time)
      ann = await pair.users.insert(newUser('ann@example.com'), bySystem)
    })
    afterEach(() => pair.close())

    const start = async (user: User = ann): Promise<StartedSession> => {
      const session = await pair.first.start(user.id, context)
      if (session === null) throw new Error('the session was refused')
      return session
    }
    const refresh = async (token: string): Promise<string> => {
      const session = await pair.second.refresh(token, context)
      if (session === null) throw new Error('the token was refused')
      return session.refreshToken
    }
    const isLive = ({ sessionId, userId }: StartedSession) => pair.second.isLive(sessionId, userId)
    const lastAudit = () => pair.audit().at(-1)

    /** What a call came to, and that it wrote nothing. */
    const writesNothing = async <Result>(call: () => Promise<Result>): Promise<Result> => {
      const before = pair.dump()
      const result = await call()
      expect(pair.dump()).toEqual(before)
      return result
    }

    describe('starting', () => {
      test('LOG-01: makes a session that goes on, and an audit row by the user with the request that asked', async () => {
        const session = await start()
        expect(session).toEqual({
          sessionId: expect.stringMatching(/^ses_[0-9a-f]{32}$/),
          userId: ann.id,
          refreshToken: expect.stringMatching(/^lkr_/),
        })
        expect(await isLive(session)).toBe(true)
        expect(lastAudit()).toEqual({
          at: startOfTest,
          action: 'session.started',
          actor_id: ann.id,
          subject_id: ann.id,
          detail: JSON.stringify({ sessionId: session.sessionId }),
          address: '192.0.2.1',
          request_id: 'req_1',
        })
      })

      test('SES-04: is refused to a user who is disabled, deleted or was never there, and leaves no trace', async () => {
        const bob = await pair.users.insert(newUser('bob@example.com'), bySystem)
        await pair.users.disable(ann.id, bySystem)
        await pair.users.remove(bob.id, bySystem)
        for (const id of [ann.id, bob.id, 'usr_nobody', '']) {
          expect(await writesNothing(() => pair.first.start(id, context))).toBeNull()
        }
      })

      test('a session is live only for its own user, and no other text is one', async () => {
        const bob = await pair.users.insert(newUser('bob@example.com'), bySystem)
        const session = await start()
        expect(await pair.second.isLive(session.sessionId, bob.id)).toBe(false)
        expect(await pair.second.isLive('ses_nothing', ann.id)).toBe(false)
        expect(await pair.second.isLive('', ann.id)).toBe(false)
        expect(await pair.second.isLive(session.refreshToken, ann.id)).toBe(false)
      })
    })

    describe('SES-02: refreshing', () => {
      test('trades each token for another one of the same session', async () => {
        const session = await start()
        const seen = new Set([session.refreshToken])
        let token = session.refreshToken
        for (let turn = 0; turn < 40; turn += 1) {
          time.now += 60_000
          const next = await pair.first.refresh(token, context)
          expect(next).toMatchObject({ sessionId: session.sessionId, userId: ann.id })
          token = next?.refreshToken ?? ''
          seen.add(token)
        }
        expect(seen.size).toBe(41)
        expect(await isLive(session)).toBe(true)
      })

      test('within 10 s the token before the last gets the same successor again, and nothing is written', async () => {
        const { refreshToken } = await start()
        time.now += 60_000
        const successor = await refresh(refreshToken)
        for (const later of [0, 1, graceMilliseconds - 1]) {
          time.now += later
          expect(await writesNothing(() => refresh(refreshToken))).toBe(successor)
          time.now -= later
        }
        time.now += graceMilliseconds
        expect(await writesNothing(() => refresh(refreshToken))).toBe(successor)
        expect(await refresh(successor)).not.toBe(successor)
      })

      test('after 10 s it is refused and ends the session, which is committed and audited all the same', async () => {
        const session = await start()
        const successor = await refresh(session.refreshToken)
        time.now += graceMilliseconds + 1
        expect(await pair.first.refresh(session.refreshToken, context)).toBeNull()
        expect(await isLive(session)).toBe(false)
        expect(lastAudit()).toMatchObject({
          at: time.now,
          action: 'session.ended',
          actor_id: null,
          subject_id: ann.id,
          detail: JSON.stringify({ sessionId: session.sessionId, reason: 'refresh_token_reused' }),
          request_id: 'req_1',
        })
        expect(await writesNothing(() => pair.second.refresh(successor, context))).toBeNull()
        expect(await writesNothing(() => pair.second.refresh(session.refreshToken, context))).toBeNull()
      })

      test('an older one ends the session at once, also within 10 s', async () => {
        const session = await start()
        const last = await refresh(await refresh(session.refreshToken))
        expect(await pair.first.refresh(session.refreshToken, context)).toBeNull()
        expect(await isLive(session)).toBe(false)
        expect(await pair.first.refresh(last, context)).toBeNull()
      })

      test('reuse ends one session and no other of the same user', async () => {
        const [session, other] = [await start(), await start()]
        await refresh(await refresh(session.refreshToken))
        await pair.first.refresh(session.refreshToken, context)
        expect(await isLive(session)).toBe(false)
        expect(await isLive(other)).toBe(true)
      })

      test('20 racing uses end with one and the same live token', async () => {
        const session = await start()
        const outcomes = await Promise.all(
          Array.from({ length: 20 }, (_, index) =>
            (index % 2 ? pair.first : pair.second).refresh(session.refreshToken, context),
          ),
        )
        const tokens = new Set(outcomes.map(outcome => outcome?.refreshToken))
        expect(tokens.size).toBe(1)
        const [token] = tokens
        expect(token).not.toBe(session.refreshToken)
        expect(await isLive(session)).toBe(true)
        expect(await refresh(token ?? '')).not.toBe(token)
      })

      test('a forged token never ends a session, however right its other parts are', async () => {
        const session = await start()
        const other = await start()
        const last = await refresh(await refresh(session.refreshToken))
        const [head] = last.split(/_(?=[A-Za-z0-9_-]{43}$)/)
        const stem = head?.slice(0, -1) ?? ''
        const forged = ['0', '1', '2', '3', 'zz'].map(number => `${stem}${number}_${'A'.repeat(43)}`)
        const foreign = `${head}_${other.refreshToken.slice(-43)}`
        for (const text of [...forged, foreign, '', 'lkr_', 'x'.repeat(256)]) {
          expect(await writesNothing(() => pair.first.refresh(text, context))).toBeNull()
          for (const scope of ['local', 'others', 'global'] as const) {
            await writesNothing(() => pair.first.signOut(text, scope, context))
          }
        }
        expect(await isLive(session)).toBe(true)
        expect(await refresh(last)).not.toBe(last)
      })
    })

    describe('SES-03: the lifetime', () => {
      test('without a refresh is 14 days, to the millisecond', async () => {
        expect(idleMilliseconds).toBe(14 * day)
        const session = await start()
        time.now += idleMilliseconds - 1
        expect(await isLive(session)).toBe(true)
        const next = await refresh(session.refreshToken)
        time.now += idleMilliseconds - 1
        expect(await isLive(session)).toBe(true)
        time.now += 1
        expect(await isLive(session)).toBe(false)
        expect(await writesNothing(() => pair.first.refresh(next, context))).toBeNull()
      })

      test('in all is 30 days, to the millisecond, however often it is refreshed', async () => {
        expect(absoluteMilliseconds).toBe(30 * day)
        const session = await start()
        let token = session.refreshToken
        for (const at of [13 * day, 26 * day, absoluteMilliseconds - 1]) {
          time.now = startOfTest + at
          token = await refresh(token)
        }
        expect(await isLive(session)).toBe(true)
        time.now = startOfTest + absoluteMilliseconds
        expect(await isLive(session)).toBe(false)
        expect(await writesNothing(() => pair.first.refresh(token, context))).toBeNull()
      })

      test('a repeated use within the grace is no refresh: it does not make the session live longer', async () => {
        const session = await start()
        await refresh(session.refreshToken)
        time.now += graceMilliseconds
        await refresh(session.refreshToken)
        time.now = startOfTest + idleMilliseconds
        expect(await isLive(session)).toBe(false)
      })

      test('the grace ends with the session', async () => {
        const session = await start()
        await refresh(session.refreshToken)
        await pair.first.signOut(session.refreshToken, 'local', context)
        expect(await writesNothing(() => pair.first.refresh(session.refreshToken, context))).toBeNull()
      })
    })

    describe('signing out', () => {
      test.each<[SignOutScope, string]>([
        ['local', 'this'],
        ['others', 'second third'],
        ['global', 'this second third'],
      ])('SES-04: %s ends %s of the sessions at once, audited, and nobody else’s', async (scope, ended) => {
        const bob = await pair.users.insert(newUser('bob@example.com'), bySystem)
        const mine = { this: await start(), second: await start(), third: await start() }
        const foreign = await start(bob)
        const rows = pair.audit().length
        await pair.first.signOut(mine.this.refreshToken, scope, context)

        const over = ended.split(' ')
        for (const [name, session] of Object.entries(mine)) {
          expect({ name, isLive: await isLive(session) }).toEqual({ name, isLive: !over.includes(name) })
        }
        expect(await isLive(foreign)).toBe(true)
        const written = pair.audit().slice(rows)
        expect(written).toHaveLength(1)
        expect(written[0]).toMatchObject({ action: 'session.ended', actor_id: ann.id, subject_id: ann.id })
        expect(JSON.parse(String(written[0]?.detail))).toEqual({
          sessionId: mine.this.sessionId,
          reason: 'signed_out',
          scope,
          sessions: over.length,
        })
      })

      test('a second time does nothing, and its tokens are dead', async () => {
        const session = await start()
        await pair.first.signOut(session.refreshToken, 'global', context)
        await writesNothing(() => pair.second.signOut(session.refreshToken, 'global', context))
        expect(await writesNothing(() => pair.second.refresh(session.refreshToken, context))).toBeNull()
      })

      test('a dead token ends none of the sessions that go on', async () => {
        const [dead, live] = [await start(), await start()]
        await pair.first.signOut(dead.refreshToken, 'local', context)
        await writesNothing(() => pair.first.signOut(dead.refreshToken, 'global', context))
        expect(await isLive(live)).toBe(true)
      })
    })

    describe('SES-04: a change of the user', () => {
      const changes: [string, (id: string) => Promise<unknown>][] = [
        ['disabling', id => pair.users.disable(id, context)],
        ['deleting', id => pair.users.remove(id, context)],
        ['a new password', id => pair.users.setPassword(id, '$argon2id$other', context)],
      ]
      test.each(changes)('%s ends every session of theirs at once, and nobody else’s', async (_, change) => {
        const bob = await pair.users.insert(newUser('bob@example.com'), bySystem)
        const [one, two, foreign] = [await start(), await start(), await start(bob)]
        await change(ann.id)
        for (const session of [one, two]) {
          expect(await isLive(session)).toBe(false)
          expect(await writesNothing(() => pair.second.refresh(session.refreshToken, context))).toBeNull()
        }
        expect(await isLive(foreign)).toBe(true)
      })

      test('enabling brings no session back', async () => {
        const session = await start()
        await pair.users.disable(ann.id, context)
        await pair.users.enable(ann.id, context)
        expect(await isLive(session)).toBe(false)
        expect(await isLive(await start())).toBe(true)
      })

      test('a new name or other roles end none', async () => {
        const session = await start()
        await pair.users.update(ann.id, { displayName: 'Ann', roles: ['support'] }, context)
        expect(await isLive(session)).toBe(true)
      })
    })
  })

import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { randomBytes } from 'node:crypto'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createForge } from '../support/forge.ts'
import type { CallOptions } from '../support/http.ts'
import { member } from '../support/json.ts'
import { addKnown, type Known } from '../support/known-person.ts'
import { isReady, type LinkedSite, startLinkedSite } from '../support/linked-site.ts'
import { expectProblem } from '../support/problem.ts'
import { signIn } from '../support/site.ts'
import { until } from '../support/wait.ts'

/**
 * Clocks of two machines that are minutes apart, or that are set while a service runs. Needs libfaketime (Debian:
 * `apt-get install faketime`); where that is missing there is no clock to turn, and these are left out.
 */

const library = `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/faketime/libfaketime.so.1`
const clockAt = (setting: string): Record<string, string> => ({
  LD_PRELOAD: library,
  FAKETIME: setting,
  // Timers go on as ever: it is the time of day that is wrong.
  FAKETIME_DONT_FAKE_MONOTONIC: '1',
})

const secret = randomBytes(32).toString('base64url')

type Case = { readonly seconds: number; readonly site: LinkedSite; readonly ann: Known; readonly bob: Known }

describe.skipIf(!existsSync(library))('clocks of service-a three minutes ahead of and behind login', () => {
  let cases: Case[] = []

  const start = async (seconds: number): Promise<Case> => {
    const clock = clockAt(`${seconds > 0 ? '+' : ''}${seconds}s`)
    const site = await startLinkedSite({
      login: { JWT_SECRET: secret },
      service: { JWT_SECRET: secret, STALE_MODE: 'deny', MAX_STALENESS_SECONDS: '3', ...clock },
    })
    const [ann, bob] = [await addKnown(site, 'ann'), await addKnown(site, 'bob')]
    await site.caughtUp()
    return { seconds, site, ann, bob }
  }
  const both = (check: (each: Case) => Promise<void> | void): Promise<unknown> =>
    Promise.all(cases.map(check))

  beforeAll(async () => {
    cases = await Promise.all([start(180), start(-180)])
  })
  afterAll(() => Promise.all(cases.map(({ site }) => site.end())))

  test('are really other ones', () =>
    both(({ seconds, site }) => {
      const [line = '{}'] = site.service.program().lines
      const entry: unknown = JSON.parse(line)
      const difference = (Date.parse(String(member(entry, 'time'))) - Date.now()) / 1_000
      expect(Math.abs(difference - seconds)).toBeLessThan(60)
    }))

  test('take nothing from who is active, and service-a knows that it is up to date', () =>
    both(async ({ site, ann }) => {
      expect((await site.use('/documents', { token: ann.accessToken })).status).toBe(200)
      expect((await site.use('/documents', { key: ann.made.key })).status).toBe(200)
      expect(await isReady(site.service)).toBe(true)
      const { text } = await site.use('/metrics')
      expect(Number(/^latchkey_feed_lag_seconds (\S+)$/m.exec(text)?.[1])).toBeLessThan(3)
    }))

  test('leave the bound as it is: for who was disabled, and for a session that ended', () =>
    both(async ({ site, ann, bob }) => {
      const other = await signIn(site, ann)
      expect((await site.use('/documents', { token: other.accessToken })).status).toBe(200)
      await site.manage('/auth/logout', { json: { refresh_token: other.refreshToken } })
      await site.manage(`/users/${bob.id}/disable`, { method: 'POST' })
      const acknowledged = performance.now()
      const statusOf = async (given: CallOptions): Promise<number> =>
        (await site.use('/documents', given)).status
      await until('it is over', async () => (await statusOf({ token: other.accessToken })) === 401)
      await until('he is out', async () => (await statusOf({ key: bob.made.key })) === 403)
      expect(performance.now() - acknowledged).toBeLessThan(1_500)
      expectProblem(await site.use('/documents', { token: bob.accessToken }), 401, 'token_invalid')
      expect(await statusOf({ token: ann.accessToken })).toBe(200)
    }))

  test('bring no session back after a restart that had ended before it', () =>
    both(async ({ site, ann }) => {
      const other = await signIn(site, ann)
      await site.manage('/auth/logout', { json: { refresh_token: other.refreshToken } })
      await site.caughtUp()
      await site.service.stop()
      await site.service.restart()
      await until('service-a is ready', () => isReady(site.service))
      expectProblem(await site.use('/documents', { token: other.accessToken }), 401, 'token_invalid')
      expect((await site.use('/documents', { token: ann.accessToken })).status).toBe(200)
    }))

  // What does not hold: a token ends by the clock of whoever looks at it. Hence the advice to run NTP.
  test('let a token end earlier or later than login said, by as much as they differ', () =>
    both(async ({ seconds, site, ann }) => {
      const forge = createForge(site, secret, { id: ann.id, sessionId: `ses_${'a'.repeat(32)}` })
      const now = Math.floor(Date.now() / 1_000)
      const soon = forge({ claims: { iat: now - 200, exp: now + 100 } })
      const gone = forge({ claims: { iat: now - 400, exp: now - 100 } })
      const statuses = [soon, gone].map(async token => (await site.use('/documents', { token })).status)
      expect(await Promise.all(statuses)).toEqual(seconds > 0 ? [401, 401] : [200, 200])
    }))
})

describe.skipIf(!existsSync(library))('a service-a whose clock is set while it runs', () => {
  let site: LinkedSite
  let ann: Known
  const clock = join(tmpdir(), `latchkey-clock-${process.pid}`)
  const setClock = (setting: string): void => writeFileSync(clock, `${setting}\n`)

  beforeAll(async () => {
    setClock('+0s')
    const { FAKETIME: _, ...faked } = clockAt('')
    site = await startLinkedSite({
      login: { JWT_SECRET: secret },
      service: {
        JWT_SECRET: secret,
        STALE_MODE: 'deny',
        MAX_STALENESS_SECONDS: '3',
        ...faked,
        FAKETIME_TIMESTAMP_FILE: clock,
        FAKETIME_NO_CACHE: '1',
      },
    })
    ann = await addKnown(site, 'ann')
    await site.caughtUp()
  })
  afterAll(async () => {
    await site.end()
    rmSync(clock, { force: true })
  })

  const served = async (): Promise<boolean> =>
    (await site.use('/documents', { key: ann.made.key })).status === 200

  test.each(['-3600s', '+3600s', '+0s'])('to %s goes on serving and hearing', async setting => {
    setClock(setting)
    await until('it serves', served, 4_000)
    const roles =
      setting === '+0s' ? ['user'] : ['user', `at${setting.length}${setting[0] === '+' ? 'a' : 'b'}`]
    await site.manage(`/users/${ann.id}`, { method: 'PATCH', json: { roles } })
    await site.caughtUp()
    expect(await served()).toBe(true)
  })

  test('back by an hour, as the wire is cut, does not let it go on for an hour longer', async () => {
    site.link.cut()
    setClock('-3600s')
    const cut = performance.now()
    await until('it refuses everybody', async () => !(await served()), 6_000)
    expect(performance.now() - cut).toBeLessThan(5_000)
    site.link.mend()
    await until('it serves again', served)
  })
})

import { afterAll, beforeAll, expect, test } from 'bun:test'
import { member } from '../support/json.ts'
import { addKnown, type Known } from '../support/known-person.ts'
import { type LinkedSite, startLinkedSite } from '../support/linked-site.ts'
import { logOf } from '../support/log-lines.ts'
import { expectProblem } from '../support/problem.ts'
import { until } from '../support/wait.ts'

/** What a service does that has not heard of login for longer than it may; both modes side by side. */

type Mode = 'allow' | 'deny'
type Case = { readonly mode: Mode; readonly site: LinkedSite; readonly ann: Known; readonly bob: Known }

let cases: Case[] = []

const start = async (mode: Mode): Promise<Case> => {
  const site = await startLinkedSite({ service: { MAX_STALENESS_SECONDS: '3', STALE_MODE: mode } })
  const [ann, bob] = [await addKnown(site, 'ann'), await addKnown(site, 'bob')]
  await site.caughtUp()
  return { mode, site, ann, bob }
}

beforeAll(async () => {
  cases = await Promise.all([start('allow'), start('deny')])
})
afterAll(() => Promise.all(cases.map(({ site }) => site.end())))

const both = (check: (each: Case) => Promise<void>): Promise<unknown> => Promise.all(cases.map(check))

const gauge = async ({ site }: Case, name: string): Promise<number> => {
  const { text } = await site.use('/metrics')
  return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1])
}
const lag = (each: Case): Promise<number> => gauge(each, 'latchkey_feed_lag_seconds')
const isUp = (each: Case): Promise<number> => gauge(each, 'latchkey_feed_up')

const ready = async ({ site }: Case): Promise<unknown[]> => {
  const { status, body } = await site.use('/readyz')
  return [status, member(body, 'status')]
}

const lossesTold = ({ site }: Case): number =>
  logOf(site.service).filter(entry => String(member(entry, 'msg')).includes('out of reach')).length

test('the mode makes no difference while login is heard', () =>
  both(async each => {
    expect(await ready(each)).toEqual([200, 'ok'])
    expect(await isUp(each)).toBe(1)
    expect(await lag(each)).toBeLessThan(3)
  }))

test('without login for MAX_STALENESS_SECONDS one goes on by what it knows, the other refuses everybody', () =>
  both(async each => {
    const { mode, site, ann, bob } = each
    const told = lossesTold(each)
    site.link.cut()
    await site.manage(`/users/${bob.id}/disable`, { method: 'POST' })
    // Still fresh enough: a moment ago it was all there was to know.
    expect((await site.use('/documents', { key: ann.made.key })).status).toBe(200)
    await until('the lag is told', async () => (await lag(each)) > 3)

    const answers = await Promise.all([
      site.use('/documents', { key: ann.made.key }),
      site.use('/documents', { token: ann.accessToken }),
      site.use('/documents/late', { key: ann.made.key, method: 'PUT', json: 1 }),
    ])
    if (mode === 'allow') {
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 201])
      expect(await ready(each)).toEqual([200, 'degraded'])
    } else {
      for (const answer of answers) {
        expectProblem(answer, 503, 'unavailable')
        expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
      }
      expectProblem(await site.use('/readyz'), 503, 'unavailable')
    }
    expect((await site.use('/livez')).status).toBe(200)
    expectProblem(await site.use('/documents'), 400, 'credential_missing')
    expect(await isUp(each)).toBe(0)
    expect(lossesTold(each) - told).toBe(1)
  }))

test('a restart makes nothing of what is known any younger', () =>
  both(async each => {
    const { mode, site, ann } = each
    await site.service.kill()
    await site.service.restart()
    expect((await site.use('/documents', { key: ann.made.key })).status).toBe(mode === 'allow' ? 200 : 503)
    expect(await lag(each)).toBeGreaterThan(3)
  }))

test('when login is heard again both serve as before, and what happened meanwhile holds', () =>
  both(async each => {
    const { mode, site, ann, bob } = each
    site.link.mend()
    await until('it is ready', async () => (await ready(each))[0] === 200)
    await site.caughtUp()
    expect(await ready(each)).toEqual([200, 'ok'])
    expectProblem(await site.use('/documents', { key: bob.made.key }), 403, 'api_key_owner_inactive')
    expectProblem(await site.use('/documents', { token: bob.accessToken }), 401, 'token_invalid')
    // What was refused had not been done.
    const late = await site.use('/documents/late', { key: ann.made.key })
    expect(late.status).toBe(mode === 'allow' ? 200 : 404)
    expect(await isUp(each)).toBe(1)
    expect(await lag(each)).toBeLessThan(3)
  }))

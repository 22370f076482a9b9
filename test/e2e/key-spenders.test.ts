import { afterAll, beforeAll, expect, test } from 'bun:test'
import { call } from '../support/http.ts'
import { balanceOf, burst, type MeteredKey, makeMeteredKey, writeWith } from '../support/metered-key.ts'
import { type Role, waitUntilReady } from '../support/role.ts'
import { type SharedSite, startSharedSite } from '../support/shared-site.ts'
import { addPerson, type Person, signIn } from '../support/site.ts'
import { withDatabase } from '../support/sqlite-file.ts'
import { until } from '../support/wait.ts'

/** Two processes on one file: what they take of a key together, over HTTP, while one of them is killed or stopped. */

let site: SharedSite
let root: string
let ann: Person
let both: readonly [Role, Role]

beforeAll(async () => {
  site = await startSharedSite()
  both = [site.service, await site.addService()]
  root = (await signIn(site, site.admin)).accessToken
  ann = await addPerson(site, root, { name: 'ann' })
}, 60_000)
afterAll(() => site.stage.end())

const make = (body: Readonly<Record<string, unknown>>): Promise<MeteredKey> =>
  makeMeteredKey(site, root, ann.id, { limits: null, ...body })

const hands = 32
const granted = 2_500
/** What each process may do before it is seen to what happens then: one of them can be much faster than the other. */
const share = 500

/** What became of requests. */
type Tally = { paid: number; refused: number; unanswered: number; readonly others: number[]; most: number }

/** Spends one credit after the other until there are none; a request that gets no answer may have been paid for. */
const spend = async ({ url }: Role, { key }: MeteredKey, name: string, tally: Tally): Promise<void> => {
  for (let count = 0; ; count += 1) {
    if (tally.paid >= tally.most) await until('to go on', () => tally.paid < tally.most)
    const answer = await writeWith(url, key, name, count).catch(() => null)
    if (answer === null) {
      tally.unanswered += 1
      await waitUntilReady(url)
    } else if (answer.status === 200 || answer.status === 201) tally.paid += 1
    else if (answer.status === 429) {
      tally.refused += 1
      return
    } else tally.others.push(answer.status)
  }
}

test('64 callers spend on two processes, one of which is killed and comes back: no credit is sold twice or lost by an answer', async () => {
  const made = await make({ credits: { remaining: granted } })
  const createTally = (): Tally => ({ paid: 0, refused: 0, unanswered: 0, others: [], most: share })
  const tallies = [createTally(), createTally()] as const
  const [killed, other] = tallies
  killed.most += share
  const sum = (name: 'paid' | 'refused' | 'unanswered'): number => killed[name] + other[name]
  const work = Array.from({ length: hands }, (_, hand) => [
    spend(both[0], made, `first-${hand}`, killed),
    spend(both[1], made, `second-${hand}`, other),
  ])
  await until('both to be under way', () => killed.paid > share / 2 && other.paid > share / 2)
  await both[0].kill()
  const [paidAtKill, otherAtKill] = [killed.paid, other.paid]
  other.most += share
  await Promise.all([
    both[0].restart(),
    until('the other one to go on alone', () => other.paid > otherAtKill + share / 2),
  ])
  killed.most = granted
  await until('the first one to be back', () => killed.paid > paidAtKill)
  other.most = granted
  await Promise.all(work.flat())

  expect(tallies.map(({ others }) => others)).toEqual([[], []])
  expect(sum('refused')).toBe(2 * hands)
  expect(other.unanswered).toBe(0)
  expect(killed.unanswered).toBeLessThanOrEqual(hands)

  const spent = granted - Number(balanceOf(site.serviceFile, made))
  expect(spent).toBe(granted)
  expect(sum('paid')).toBeLessThanOrEqual(spent)
  expect(spent - sum('paid')).toBeLessThanOrEqual(sum('unanswered'))
  withDatabase(site.serviceFile, database => {
    expect(database.query('PRAGMA integrity_check').values()).toEqual([['ok']])
  })
}, 60_000)

/** Asks until the key is refused, and tells how often it was let in. */
const useUp = async (
  { url }: Role,
  { key }: MeteredKey,
  most = Number.POSITIVE_INFINITY,
): Promise<number> => {
  for (let count = 0; ; count += 1) {
    if (count === most) return count
    const { status } = await call(`${url}/documents?limit=1`, { key })
    if (status === 429) return count
    expect(status).toBe(200)
  }
}

const most = 20

test('a limit is kept over a stop, to the last request', async () => {
  const made = await make({ limits: [burst(most)] })
  const [role] = both
  expect(await useUp(role, made, 8)).toBe(8)
  for (const already of [8, 15]) {
    expect(await role.stop()).toEqual({ code: 0, signal: null })
    await role.restart()
    expect(await useUp(role, made, 7)).toBe(Math.min(7, most - already))
  }
  expect(await useUp(role, made)).toBe(0)
}, 60_000)

test('after kill -9 it begins anew: twice the limit at most', async () => {
  const made = await make({ limits: [burst(most)] })
  const [role] = both
  expect(await useUp(role, made)).toBe(most)
  await role.kill()
  await role.restart()
  expect(await useUp(role, made)).toBe(most)
}, 60_000)

test('each of two processes keeps it for itself; what both let in adds up for the one that starts after them', async () => {
  const made = await make({ limits: [burst(most)] })
  const [first, second] = both
  expect(await useUp(first, made, 9)).toBe(9)
  expect(await useUp(second, made, 6)).toBe(6)
  await first.stop()
  await second.stop()
  await first.restart()
  expect(await useUp(first, made)).toBe(most - 15)
  // The other one starts with nothing, and so has a limit of its own.
  await second.restart()
  expect(await useUp(second, made)).toBe(most)
  expect([await useUp(first, made), await useUp(second, made)]).toEqual([0, 0])
}, 60_000)

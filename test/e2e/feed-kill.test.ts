import { afterAll, beforeAll, expect, test } from 'bun:test'
import { addKnown, type Known } from '../support/known-person.ts'
import { type LinkedSite, startLinkedSite } from '../support/linked-site.ts'
import { expectProblem } from '../support/problem.ts'
import { readValue } from '../support/sqlite-file.ts'
import { expectAgreement } from '../support/subject-rows.ts'

/** kill -9 of either side, wherever it is. */

let site: LinkedSite
let people: Known[]

beforeAll(async () => {
  site = await startLinkedSite()
  people = []
  for (const name of ['ann', 'bob', 'carl', 'dora', 'erin', 'fred']) people.push(await addKnown(site, name))
  await site.caughtUp()
})
afterAll(() => site.end())

const person = (index: number): Known => {
  const found = people[index % people.length]
  if (found === undefined) throw new Error('There is nobody')
  return found
}

/** Changes roles and states without an end, several at a time, until told to stop; how many were acknowledged. */
const churn = () => {
  let isRunning = true
  let done = 0
  const work = async (offset: number): Promise<void> => {
    for (let turn = offset; isRunning; turn += 3) {
      const { id } = person(turn)
      const round = Math.floor(turn / people.length)
      const answers = [
        await site.manage(`/users/${id}`, { method: 'PATCH', json: { roles: [`round-${round}`] } }),
        await site.manage(`/users/${id}/${round % 2 === 0 ? 'disable' : 'enable'}`, { method: 'POST' }),
      ]
      for (const { status } of answers) {
        if (status !== 200) throw new Error(`A change is answered with ${status}`)
        done += 1
      }
    }
  }
  const workers = [work(0), work(1), work(2)]
  return {
    stop: async (): Promise<number> => {
      isRunning = false
      await Promise.all(workers)
      return done
    },
  }
}

test('service-a that is killed again and again in the midst of changes has all of them in the end', async () => {
  const changes = churn()
  for (const pause of [30, 170, 90, 310, 5]) {
    await Bun.sleep(pause)
    await site.service.kill()
    await site.service.restart()
  }
  await Bun.sleep(200)
  await site.service.kill()
  expect(await changes.stop()).toBeGreaterThan(50)
  await site.service.restart()
  await site.caughtUp()
  await expectAgreement(site.loginFile, site.serviceFile)
  expect(readValue(site.loginFile, 'SELECT max(sequence) FROM changes')).toBeGreaterThan(50)
})

test('what is in the database of a killed service-a is never ahead of what it has applied', async () => {
  // Whatever of a batch was written: read on from the cursor, it comes to the same again.
  const changes = churn()
  await Bun.sleep(120)
  await site.service.kill()
  await changes.stop()
  const sequence = readValue(site.serviceFile, 'SELECT max(sequence) FROM subjects')
  const last = readValue(site.loginFile, 'SELECT max(sequence) FROM changes WHERE state IS NOT NULL')
  expect(Number(sequence)).toBeLessThanOrEqual(Number(last))
  await site.service.restart()
  await site.caughtUp()
  await expectAgreement(site.loginFile, site.serviceFile)
})

test('what login acknowledged and was killed for reaches service-a', async () => {
  for (const { id } of people) {
    await site.manage(`/users/${id}`, { method: 'PATCH', json: { roles: ['user'] } })
    await site.manage(`/users/${id}/enable`, { method: 'POST' })
  }
  await site.caughtUp()
  const victim = person(0)
  expect((await site.use('/documents', { key: victim.made.key })).status).toBe(200)
  // The wire holds the news back until login is dead.
  site.link.delay(300)
  const { status } = await site.manage(`/users/${victim.id}/disable`, { method: 'POST' })
  await site.login.kill()
  site.link.mend()
  expect(status).toBe(200)
  await site.login.restart()
  await site.caughtUp()
  expectProblem(await site.use('/documents', { key: victim.made.key }), 403, 'api_key_owner_inactive')
  expect((await site.use('/documents', { key: person(1).made.key })).status).toBe(200)
})

test('keys of somebody who was deleted are revoked once, though service-a is killed as it hears of it', async () => {
  const victim = person(1)
  const { status } = await site.manage(`/users/${victim.id}`, { method: 'DELETE' })
  await site.service.kill()
  expect(status).toBe(204)
  await site.service.restart()
  await site.caughtUp()
  await site.service.kill()
  await site.service.restart()
  await site.caughtUp()
  expectProblem(await site.use('/documents', { key: victim.made.key }), 403, 'api_key_revoked')
  expect(
    readValue(
      site.serviceFile,
      "SELECT count(*) FROM api_key_audit WHERE action = 'api_key.revoked' AND subject_id = ?",
      victim.made.id,
    ),
  ).toBe(1)
})

test('nothing secret went to either log', async () => {
  await Promise.all([site.login.stop(), site.service.stop()])
  expect(site.stage.leaks()).toEqual([])
})

import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { copyFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { textOf } from '../support/json.ts'
import { addKnown, type Known } from '../support/known-person.ts'
import { type LinkedSite, startLinkedSite } from '../support/linked-site.ts'
import { warningsOf } from '../support/log-lines.ts'
import { expectProblem } from '../support/problem.ts'
import { type Person, signIn } from '../support/site.ts'
import { readValue, withDatabase } from '../support/sqlite-file.ts'
import { expectAgreement } from '../support/subject-rows.ts'
import { until } from '../support/wait.ts'

/** Whether anything happens in the restored database before service-a asks again. */
const cases = [
  { title: 'and nothing happened in it since', changes: 0 },
  { title: 'and fewer changes were made in it than before', changes: 1 },
  { title: 'and as many changes were made in it as before, or more', changes: 12 },
] as const

type Restored = {
  readonly site: LinkedSite
  readonly ann: Known
  readonly bob: Known
  readonly carl: Known
  readonly dora: Known
  readonly signedOut: Person
  readonly generationBefore: unknown
}

const generationOf = ({ serviceFile }: LinkedSite): unknown =>
  readValue(serviceFile, 'SELECT generation FROM feed_position')

const restore = async (changes: number): Promise<Restored> => {
  const site = await startLinkedSite()
  const [ann, bob, carl] = [
    await addKnown(site, 'ann'),
    await addKnown(site, 'bob'),
    await addKnown(site, 'carl'),
  ]
  const signedOut = { ...ann, ...(await signIn(site, ann)) }
  await site.caughtUp()
  const generationBefore = generationOf(site)
  const copy = join(site.stage.folder, 'copy.sqlite')
  withDatabase(site.loginFile, database => database.query('VACUUM INTO ?').run(copy))

  // What the copy does not know.
  await site.manage(`/users/${bob.id}/disable`, { method: 'POST' })
  await site.manage(`/users/${carl.id}`, { method: 'DELETE' })
  const dora = await addKnown(site, 'dora')
  await site.manage('/auth/logout', { json: { refresh_token: signedOut.refreshToken } })
  await site.caughtUp()
  expectProblem(await site.use('/documents', { key: bob.made.key }), 403, 'api_key_owner_inactive')

  site.link.cut()
  await site.login.stop()
  for (const suffix of ['-wal', '-shm']) rmSync(`${site.loginFile}${suffix}`, { force: true })
  copyFileSync(copy, site.loginFile)
  await site.login.restart()
  for (let count = 0; count < changes; count += 1) {
    const roles = count % 2 === 0 ? ['user', 'reader'] : ['user']
    expect((await site.manage(`/users/${ann.id}`, { method: 'PATCH', json: { roles } })).status).toBe(200)
  }
  site.link.mend()
  await until('service-a follows another generation', () => generationOf(site) !== generationBefore)
  await site.caughtUp()
  return { site, ann, bob, carl, dora, signedOut, generationBefore }
}

let all: Restored[] = []
beforeAll(async () => {
  all = await Promise.all(cases.map(({ changes }) => restore(changes)))
})
afterAll(() => Promise.all(all.map(({ site }) => site.end())))

describe.each(cases)('the database of login is replaced by an older copy, $title', ({ changes }) => {
  const restored = (): Restored => {
    const found = all[cases.findIndex(each => each.changes === changes)]
    if (found === undefined) throw new Error('It was not restored')
    return found
  }

  test('both sides agree again, by a snapshot of a new generation', async () => {
    const { site, generationBefore } = restored()
    await expectAgreement(site.loginFile, site.serviceFile)
    expect(readValue(site.loginFile, 'SELECT generation FROM feed')).toBe(generationOf(site))
    expect(generationOf(site)).not.toBe(generationBefore)
  })

  test('login says that its history was replaced, in the log and in the audit trail', () => {
    const { site } = restored()
    expect(warningsOf(site.login).join('\n')).toContain('generation')
    expect(
      readValue(site.loginFile, "SELECT count(*) FROM login_audit WHERE action = 'feed.generation_changed'"),
    ).toBe(1)
  })

  test('who was disabled or deleted and is active again is named in the log of service-a and in its audit trail', () => {
    const { site, ann, bob, carl } = restored()
    const said = warningsOf(site.service).join('\n')
    expect(said).toContain(bob.id)
    expect(said).toContain(carl.id)
    expect(said).not.toContain(ann.id)
    for (const { id } of [bob, carl]) {
      expect(
        readValue(
          site.serviceFile,
          "SELECT count(*) FROM api_key_audit WHERE action = 'subject.restored' AND subject_id = ?",
          id,
        ),
      ).toBe(1)
    }
  })

  test('who was disabled is as the copy says; keys that were revoked with their owner stay so', async () => {
    const { site, ann, bob, carl } = restored()
    expect((await site.use('/documents', { key: ann.made.key })).status).toBe(200)
    expect((await site.use('/documents', { key: bob.made.key })).status).toBe(200)
    expectProblem(await site.use('/documents', { key: carl.made.key }), 403, 'api_key_revoked')
  })

  test('who was made after the copy is refused, and their keys with them', async () => {
    const { site, dora } = restored()
    expectProblem(await site.use('/documents', { token: dora.accessToken }), 401, 'token_invalid')
    expect((await site.use('/documents', { key: dora.made.key })).status).toBe(403)
  })

  test('a session that ended after the copy is still over at service-a', async () => {
    const { site, ann, signedOut } = restored()
    expectProblem(await site.use('/documents', { token: signedOut.accessToken }), 401, 'token_invalid')
    expect((await site.use('/documents', { token: ann.accessToken })).status).toBe(200)
  })

  test('what happens from here on counts', async () => {
    const { site, bob } = restored()
    await site.manage(`/users/${bob.id}/disable`, { method: 'POST' })
    await site.caughtUp()
    expectProblem(await site.use('/documents', { key: bob.made.key }), 403, 'api_key_owner_inactive')
    const next = await addKnown(site, 'erin')
    await site.caughtUp()
    expect((await site.use('/documents', { key: next.made.key })).status).toBe(200)
    expect(textOf((await site.use('/whoami', { token: next.accessToken })).body, 'kind')).toBe('user')
  })
})

import { afterAll, beforeAll, expect, test } from 'bun:test'
import { addKnown, type Known } from '../support/known-person.ts'
import { type LinkedSite, startLinkedSite } from '../support/linked-site.ts'
import { logOf, pathsOf } from '../support/log-lines.ts'
import { expectProblem } from '../support/problem.ts'
import { readValue, withDatabase } from '../support/sqlite-file.ts'
import { expectAgreement } from '../support/subject-rows.ts'

/** A service that was away for longer than changes are kept. */

let site: LinkedSite
let ann: Known
let bob: Known
let carl: Known
let generation: unknown

const keptChanges = (): unknown => readValue(site.loginFile, 'SELECT count(*) FROM changes')

beforeAll(async () => {
  site = await startLinkedSite()
  ann = await addKnown(site, 'ann')
  bob = await addKnown(site, 'bob')
  carl = await addKnown(site, 'carl')
  await site.caughtUp()
  generation = readValue(site.serviceFile, 'SELECT generation FROM feed_position')

  site.link.cut()
  await site.manage(`/users/${bob.id}/disable`, { method: 'POST' })
  await site.manage(`/users/${carl.id}`, { method: 'DELETE' })
  await site.manage('/clients', { json: { name: 'meanwhile', scopes: ['documents:read'] } })
  await site.login.stop()
  withDatabase(site.loginFile, database => database.run('UPDATE changes SET at = at - 2 * 3600000'))
  await site.login.restart({ CHANGE_RETENTION_HOURS: '1' })
})
afterAll(() => site.end())

test('changes older than CHANGE_RETENTION_HOURS are deleted at a start, but for the last one', () => {
  expect(keptChanges()).toBe(1)
})

test('who missed some of them reads everything anew, in the same generation, and nothing was missed', async () => {
  site.link.mend()
  await site.caughtUp()
  expect(pathsOf(site.login)).toContain('/changes/snapshot')
  expect(readValue(site.serviceFile, 'SELECT generation FROM feed_position')).toBe(generation)
  await expectAgreement(site.loginFile, site.serviceFile)
  expect((await site.use('/documents', { token: ann.accessToken })).status).toBe(200)
  expect((await site.use('/documents', { key: ann.made.key })).status).toBe(200)
  expectProblem(await site.use('/documents', { token: bob.accessToken }), 401, 'token_invalid')
  expectProblem(await site.use('/documents', { key: bob.made.key }), 403, 'api_key_owner_inactive')
  expectProblem(await site.use('/documents', { token: carl.accessToken }), 401, 'token_invalid')
  expectProblem(await site.use('/documents', { key: carl.made.key }), 403, 'api_key_revoked')
})

test('the log of service-a says why', () => {
  expect(JSON.stringify(logOf(site.service))).toContain('resync_required')
})

test('and then it follows change by change again', async () => {
  const before = pathsOf(site.login).filter(path => path === '/changes/snapshot').length
  await site.manage(`/users/${ann.id}/disable`, { method: 'POST' })
  await site.caughtUp()
  expectProblem(await site.use('/documents', { key: ann.made.key }), 403, 'api_key_owner_inactive')
  expect(pathsOf(site.login).filter(path => path === '/changes/snapshot')).toHaveLength(before)
})

test('a key of somebody who was deleted meanwhile is revoked once, and the audit trail says why', () => {
  const rows = (what: string): unknown =>
    readValue(
      site.serviceFile,
      `SELECT ${what} FROM api_key_audit WHERE action = 'api_key.revoked' AND subject_id = ?`,
      carl.made.id,
    )
  expect(rows('count(*)')).toBe(1)
  expect(rows("json_extract(detail, '$.reason')")).toBe('owner_deleted')
})

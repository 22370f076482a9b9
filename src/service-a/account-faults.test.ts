import { expect, test } from 'bun:test'
import { internalsOf } from '../apikey/index.ts'
import { createTestService, userId } from './test-service.ts'

const ann = userId('a')

test('KEY-15: what could not be cleared when an account was closed is cleared later: nobody can ask again', async () => {
  const service = createTestService({ login: { closeOwnAccount: async () => {} } })
  const headers = await service.as(ann)
  const json = { ...headers, 'content-type': 'application/json' }
  await service.send('PUT', '/documents/x', { headers: json, raw: '{}' })
  service.database.run(
    `CREATE TRIGGER broken BEFORE DELETE ON documents BEGIN SELECT RAISE(ABORT, 'no'); END`,
  )

  expect((await service.send('DELETE', '/account', { headers })).status).toBe(500)
  service.database.run('DROP TRIGGER broken')
  const left = () =>
    service.database.query<{ rows: number }, []>('SELECT count(*) AS rows FROM documents').get()?.rows
  expect(left()).toBe(1)
  for (let tries = 0; left() !== 0 && tries < 100; tries += 1) await Bun.sleep(50)
  expect(left()).toBe(0)
  expect(
    await internalsOf(service.guard)
      .store()
      .revokeOwned(ann, { actorId: null, requestId: null, address: null }),
  ).toBe(0)
  service.database.close()
})

test('what login says about another user is not passed on', async () => {
  const profile = {
    id: userId('b'),
    email: 'b@example.com',
    displayName: null,
    roles: [],
    status: 'active' as const,
  }
  const service = createTestService({
    login: { ownProfile: async () => profile, changeOwnProfile: async () => profile },
  })
  const headers = { ...(await service.as(ann)), 'content-type': 'application/json' }
  for (const answer of [
    await service.send('GET', '/account', { headers }),
    await service.send('PATCH', '/account', { headers, raw: '{}' }),
  ]) {
    expect(answer.status).toBe(502)
    expect(answer.text).not.toContain('b@example.com')
  }
  service.database.close()
})

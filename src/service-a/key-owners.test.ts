import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { contractOf, expectAnswer } from '../lib/test-http.ts'
import type { LoginGateway } from './login-gateway.ts'
import { createTestService, type TestService, userId } from './test-service.ts'

const [ann, root] = [userId('a'), userId('b')]
let service: TestService
let asked: [string, ...unknown[]][]
let asRoot: Record<string, string>
const login: Pick<LoginGateway, 'findUser' | 'findClient'> = {
  findUser: async (id, authorization) => {
    asked.push(['findUser', id, authorization])
    const profile = { id, email: 'ann@example.com', displayName: null, roles: ['user'] }
    return { ...profile, status: id === ann ? ('active' as const) : ('disabled' as const) }
  },
  findClient: async (id, authorization) => {
    asked.push(['findClient', id, authorization])
    return id === 'cli_ci' ? { id, scopes: ['documents:read', 'changes:read'], status: 'active' } : null
  },
}
beforeEach(async () => {
  asked = []
  service = createTestService({ login })
  asRoot = await service.as(root, ['admin'])
})
afterEach(() => service.database.close())

const create = (body: object, headers = asRoot) =>
  service.send('POST', '/api-keys', { headers, body: { name: 'ci', ...body } })
const key = { permissions: ['documents:read'] }

describe('whose keys an administrator makes', () => {
  test('is asked of login with the administrator’s own token: users there, service accounts here', async () => {
    expectAnswer(await create({ ...key, ownerId: ann }), { status: 201, has: [ann, root] })
    expectAnswer(await create({ ...key, ownerId: 'cli_ci' }), { status: 201, has: ['"ownerId":"cli_ci"'] })
    expect(asked).toEqual([
      ['findUser', ann, asRoot.authorization],
      ['findClient', 'cli_ci', asRoot.authorization],
    ])
  })

  test.each([
    ['a service account that is not there', 'cli_ghost', '422 owner_unknown ownerId'],
    ['a user that is disabled', userId('c'), '422 owner_unknown ownerId'],
  ])('is never %s', async (_, ownerId, outcome) => {
    expectAnswer(await create({ ...key, ownerId }), contractOf(outcome))
  })

  test('KEY-16: a service account’s key has no more than its scopes', async () => {
    const beyond = await create({ permissions: ['documents:write'], ownerId: 'cli_ci' })
    expectAnswer(beyond, contractOf('422 permission_not_grantable permissions/0'))
  })

  test('the keys of who left go to a service account, and work on', async () => {
    const asAnn = await service.as(ann)
    const made = await create(key, asAnn)
    const body = { from: ann, to: 'cli_ci' }
    expectAnswer(await service.send('POST', '/api-keys/transfer', { headers: asAnn, body }), {
      status: 403,
      code: 'insufficient_permission',
    })
    const moved = await service.send('POST', '/api-keys/transfer', { headers: asRoot, body })
    expectAnswer(moved, { status: 200, has: ['"ownerId":"cli_ci"', `"createdBy":"${ann}"`] })
    const { key: text } = Object(made.json())
    const used = await service.send('GET', '/whoami', { headers: { 'x-api-key': text } })
    expectAnswer(used, { status: 200, has: ['"ownerId":"cli_ci"'] })
  })
})

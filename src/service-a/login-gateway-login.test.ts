import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { bySystem } from '../lib/audit.ts'
import { Failure } from '../lib/failure.ts'
import { type Served, serve } from '../lib/test-serve.ts'
import { createPeople, createTestLogin, type TestLogin } from '../login/test-login.ts'
import { createLoginGateway, type LoginGateway, type Profile } from './login-gateway.ts'

// The other tests say what login answers; here it does so itself.

let login: TestLogin
let served: Served
let gateway: LoginGateway
let people: Awaited<ReturnType<typeof createPeople>>
beforeEach(async () => {
  login = createTestLogin()
  people = await createPeople(login)
  served = serve(login.app)
  gateway = createLoginGateway({ url: served.url })
})
afterEach(async () => {
  await served[Symbol.asyncDispose]()
  login.database.close()
})

const tokenOf = (name: 'ann' | 'root'): string => people.callers[name].authorization ?? ''
const id = (name: string): string => people.ids[name] ?? ''
const failureOf = (promise: Promise<unknown>): Promise<Failure> =>
  promise.then(
    value => {
      throw new Error(`It came to ${JSON.stringify(value)}`)
    },
    (error: unknown) => {
      if (error instanceof Failure) return error
      throw error
    },
  )
const codeOf = async (promise: Promise<unknown>) => (await failureOf(promise)).code

describe('a login that is there', () => {
  test('shows and changes the caller’s own profile', async () => {
    const own: Profile = {
      id: id('ann'),
      email: 'ann@example.com',
      displayName: null,
      roles: ['user'],
      status: 'active',
    }
    expect(await gateway.ownProfile(tokenOf('ann'))).toEqual(own)
    for (const displayName of ['Ann', '2024-01-01T00:00:00Z', 'true', '123', 'Ánn 🙂', null]) {
      expect(await gateway.changeOwnProfile({ displayName }, tokenOf('ann'))).toEqual({ ...own, displayName })
    }
  })

  test('AZ-05: shows other users to an administrator, and to nobody else', async () => {
    expect(await gateway.findUser(id('bob'), tokenOf('root'))).toMatchObject({
      id: id('bob'),
      roles: ['support', 'user'],
    })
    expect(await gateway.findUser(id('ghost'), tokenOf('root'))).toBeNull()
    expect(await codeOf(gateway.findUser(id('bob'), tokenOf('ann')))).toBe('insufficient_permission')
    expect(await codeOf(gateway.findUser(id('ghost'), tokenOf('ann')))).toBe('insufficient_permission')
  })

  test('AZ-05: shows service accounts that are active to an administrator, and to nobody else', async () => {
    const scopes = ['documents:read']
    const { client } = await login.registry.create({ name: 'CI', scopes }, bySystem)
    const find = (by: 'ann' | 'root') => gateway.findClient(client.id, tokenOf(by))
    expect(await find('root')).toEqual({ id: client.id, scopes, status: 'active' })
    expect(await codeOf(find('ann'))).toBe('insufficient_permission')
    expect(await gateway.findClient('cli_ghost', tokenOf('root'))).toBeNull()
    await login.clients.disable(client.id, bySystem)
    expect(await find('root')).toBeNull()
    await login.clients.remove(client.id, bySystem)
    expect(await find('root')).toBeNull()
  })

  test('refuses a token that is none, or none any more', async () => {
    expect(await codeOf(gateway.ownProfile('Bearer nonsense'))).toBe('token_invalid')
    await login.users.disable(id('ann'), bySystem)
    expect(await codeOf(gateway.ownProfile(tokenOf('ann')))).toBe('token_invalid')
    login.time.now += 600_000
    expect(await codeOf(gateway.ownProfile(tokenOf('root')))).toBe('token_expired')
  })

  test('closes an account once, and for good', async () => {
    await gateway.closeOwnAccount(tokenOf('ann'))
    expect(await login.userStore.findById(id('ann'))).toBeNull()
    expect(await codeOf(gateway.closeOwnAccount(tokenOf('ann')))).toBe('token_invalid')
    expect(await codeOf(gateway.closeOwnAccount(tokenOf('root')))).toBe('last_admin')
  })

  test('says which field of a change was wrong', async () => {
    const failure = await failureOf(gateway.changeOwnProfile({ displayName: '\u0007' }, tokenOf('ann')))
    expect(failure).toMatchObject({ code: 'invalid_request', errors: [{ field: 'displayName' }] })
  })

  test('that has just stopped is unreachable', async () => {
    const other = serve(createTestLogin().app)
    await other[Symbol.asyncDispose]()
    gateway = createLoginGateway({ url: other.url })
    expect(await codeOf(gateway.ownProfile(tokenOf('ann')))).toBe('login_unreachable')
  })
})

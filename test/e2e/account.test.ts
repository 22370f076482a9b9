import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { call } from '../support/http.ts'
import { listOf, member } from '../support/json.ts'
import { expectProblem, fieldsOf } from '../support/problem.ts'
import {
  addPerson,
  keyOf,
  makeKey,
  type Person,
  type Site,
  signIn,
  startSite,
  tokenModes,
} from '../support/site.ts'
import { until } from '../support/wait.ts'

const insufficientScope = 'Bearer error="insufficient_scope", scope="api-keys:manage"'

describe.each([...tokenModes])('accounts across both services, tokens signed by %s', mode => {
  let site: Site
  let adminToken: string
  let ann: Person

  const service = (path: string): string => `${site.service.url}${path}`
  const login = (path: string): string => `${site.login.url}${path}`
  const makeFor = (token: string, ownerId: string, permissions = ['documents:read']) =>
    call(service('/api-keys'), { token, json: { name: 'for another', ownerId, permissions } })

  beforeAll(async () => {
    site = await startSite({ mode })
    adminToken = (await signIn(site, site.admin)).accessToken
    ann = await addPerson(site, adminToken, { name: 'ann' })
  })
  afterAll(() => site.stage.end())

  test('an administrator makes a key for somebody else, and it acts on their behalf', async () => {
    const answer = await makeFor(adminToken, ann.id)
    expect(answer.status).toBe(201)
    expect(answer.body).toMatchObject({ ownerId: ann.id, createdBy: expect.not.stringMatching(ann.id) })
    await call(service('/documents/hers'), { token: ann.accessToken, method: 'PUT', json: 'hers' })
    expect((await call(service('/documents/hers'), { key: keyOf(site, answer).key })).body).toBe('hers')
    const listed = await call(service(`/api-keys?owner=${ann.id}`), { token: adminToken })
    expect(listOf(listed.body, 'items').map(item => member(item, 'ownerId'))).toEqual([ann.id])
  })

  test('a key for somebody else holds no more than its owner may do, whatever the maker may', async () => {
    const refused = await makeFor(adminToken, ann.id, ['documents:read', 'api-keys:manage'])
    expectProblem(refused, 422, 'permission_not_grantable')
    expect(fieldsOf(refused)).toEqual(['permissions/1'])
  })

  test('an owner whom login does not know is refused, and so is text that is no id at all', async () => {
    const unknown = `usr_${'0'.repeat(32)}`
    for (const ownerId of [
      unknown,
      'me',
      '../users/me',
      `${ann.id}/sessions`,
      `${ann.id}?x=1`,
      '%2e%2e',
      '__proto__',
    ]) {
      const refused = await makeFor(adminToken, ownerId)
      expectProblem(refused, 422, 'owner_unknown')
      expect(fieldsOf(refused)).toEqual(['ownerId'])
    }
  })

  test('who is no administrator names nobody but themselves as owner', async () => {
    const bob = await addPerson(site, adminToken, { name: 'bob' })
    const refused = await makeFor(bob.accessToken, ann.id)
    expectProblem(refused, 403, 'insufficient_permission')
    expect(refused.headers.get('www-authenticate')).toBe(insufficientScope)
    // Nor are they told whether there is such an owner.
    for (const ownerId of [`usr_${'0'.repeat(32)}`, 'nobody']) {
      expectProblem(await makeFor(bob.accessToken, ownerId), 403, 'insufficient_permission')
    }
    expect((await makeFor(bob.accessToken, bob.id)).status).toBe(201)
  })

  test('who was demoted or signed out since makes no key for others (AUT-12)', async () => {
    const former = await addPerson(site, adminToken, { name: 'former', roles: ['user', 'admin'] })
    expect((await makeFor(former.accessToken, ann.id)).status).toBe(201)
    const demoted = await call(login(`/users/${former.id}`), {
      token: adminToken,
      method: 'PATCH',
      json: { roles: ['user'] },
    })
    expect(demoted.status).toBe(200)
    expectProblem(await makeFor(former.accessToken, ann.id), 403, 'insufficient_permission')

    const { refreshToken } = former
    await call(login('/auth/logout'), { json: { refresh_token: refreshToken } })
    await until('service-a hears of it', async () => {
      return (await makeFor(former.accessToken, ann.id)).status === 401
    })
    const refused = await makeFor(former.accessToken, ann.id)
    expectProblem(refused, 401, 'token_invalid')
    expect(refused.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"')
  })

  test('whoami says who a token or a key stands for, and what it may do', async () => {
    const { id, key } = await makeKey(site, ann.accessToken, { permissions: ['documents:read'] })
    expect((await call(service('/whoami'), { key })).body).toEqual({
      kind: 'key',
      ownerId: ann.id,
      keyId: id,
      permissions: ['documents:read'],
      roles: [],
    })
    expect((await call(service('/whoami'), { token: ann.accessToken })).body).toEqual({
      kind: 'user',
      ownerId: ann.id,
      userId: ann.id,
      clientId: 'latchkey-login',
      sessionId: expect.stringMatching(/^ses_/),
      permissions: ['documents:read', 'documents:write'],
      roles: ['user'],
    })
  })

  test('people read and change their profile through service-a, and login has the change', async () => {
    const { accessToken: token } = ann
    const profile = { id: ann.id, email: ann.email, roles: ['user'], status: 'active' }
    expect((await call(service('/account'), { token })).body).toEqual({ ...profile, displayName: null })
    const changed = await call(service('/account'), {
      token,
      method: 'PATCH',
      json: { displayName: 'Ann Łódź 🔑' },
    })
    expect([changed.status, changed.body]).toEqual([200, { ...profile, displayName: 'Ann Łódź 🔑' }])
    expect((await call(login('/users/me'), { token })).body).toMatchObject({ displayName: 'Ann Łódź 🔑' })
    const cleared = await call(service('/account'), { token, method: 'PATCH', json: { displayName: null } })
    expect(cleared.body).toMatchObject({ displayName: null })
  })

  test('nobody gives themselves a role or another address through their profile (KEY-07, HTTP-02)', async () => {
    for (const base of [service('/account'), login('/users/me')]) {
      for (const [name, value] of Object.entries({
        roles: ['admin'],
        email: 'x@example.com',
        status: 'active',
        id: 'x',
      })) {
        const refused = await call(base, { token: ann.accessToken, method: 'PATCH', json: { [name]: value } })
        expectProblem(refused, 422, 'invalid_request')
        expect(fieldsOf(refused)).toEqual([name])
      }
    }
    expect((await call(login('/users/me'), { token: ann.accessToken })).body).toMatchObject({
      roles: ['user'],
    })
  })

  test('closing an account revokes its keys in the same request, deletes its documents and ends its sessions (KEY-15)', async () => {
    const carl = await addPerson(site, adminToken, { name: 'carl' })
    const made = [await makeKey(site, carl.accessToken), await makeKey(site, carl.accessToken)]
    await call(service('/documents/kept'), { token: carl.accessToken, method: 'PUT', json: 1 })

    const closed = await call(service('/account'), { token: carl.accessToken, method: 'DELETE' })
    expect([closed.status, closed.text]).toEqual([204, ''])
    for (const { key } of made) {
      expectProblem(await call(service('/documents/kept'), { key }), 403, 'api_key_revoked')
    }
    const { email, password } = carl
    expectProblem(await call(login('/auth/login'), { json: { email, password } }), 401, 'credentials_invalid')
    expectProblem(await call(login('/users/me'), { token: carl.accessToken }), 401, 'token_invalid')
    expectProblem(
      await call(login('/auth/refresh'), { json: { refresh_token: carl.refreshToken } }),
      401,
      'refresh_token_invalid',
    )
    expectProblem(await call(login(`/users/${carl.id}`), { token: adminToken }), 404, 'user_not_found')
    expectProblem(await makeFor(adminToken, carl.id), 422, 'owner_unknown')
    // The access token itself lives on for its minutes where no change feed is followed: it finds nothing.
    const left = await call(service('/documents'), { token: carl.accessToken })
    if (left.status === 200) expect(listOf(left.body, 'items')).toEqual([])
  })

  test('the last administrator can not close their account, and then nothing of theirs is touched', async () => {
    const { key } = await makeKey(site, adminToken)
    await call(service('/documents/mine'), { key, method: 'PUT', json: 1 })
    const refused = await call(service('/account'), { token: adminToken, method: 'DELETE' })
    expectProblem(refused, 409, 'last_admin')
    expect((await call(service('/documents/mine'), { key })).body).toBe(1)
    expect((await call(service('/account'), { token: adminToken })).status).toBe(200)
  })

  test('nothing secret went to either log (LOG-02)', async () => {
    await Promise.all([site.login.stop(), site.service.stop()])
    expect(site.stage.leaks()).toEqual([])
  })
})

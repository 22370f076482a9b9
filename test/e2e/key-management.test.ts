import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type Answer, call } from '../support/http.ts'
import { listOf, member, textOf } from '../support/json.ts'
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

describe.each([...tokenModes])('managing keys, tokens signed by %s', mode => {
  let site: Site
  let ann: Person
  let bob: Person

  const keys = (path = ''): string => `${site.service.url}/api-keys${path}`
  /** What a request with the key comes to: 200, or the code of the problem. */
  const use = async (key: string): Promise<unknown> => {
    const { status, body } = await call(`${site.service.url}/documents`, { key })
    return status === 200 ? 200 : member(body, 'code')
  }
  const rotate = (id: string, json?: unknown, token = ann.accessToken): Promise<Answer> =>
    call(keys(`/${id}/rotate`), { token, method: 'POST', ...(json === undefined ? {} : { json }) })
  const patch = (id: string, json: unknown, token = ann.accessToken): Promise<Answer> =>
    call(keys(`/${id}`), { token, method: 'PATCH', json })

  beforeAll(async () => {
    site = await startSite({ mode })
    const { accessToken } = await signIn(site, site.admin)
    ann = await addPerson(site, accessToken, { name: 'ann' })
    bob = await addPerson(site, accessToken, { name: 'bob' })
  })
  afterAll(() => site.stage.end())

  test('a key is shown once, at its creation, and never again (KEY-02, KEY-05)', async () => {
    const made = await call(keys(), {
      token: ann.accessToken,
      json: { name: 'once', permissions: ['documents:read'] },
    })
    const { id, key } = keyOf(site, made)
    expect(key).toMatch(/^lk_[0-9A-Za-z]{65}$/)
    expect([made.status, made.headers.get('location'), made.headers.get('cache-control')]).toEqual([
      201,
      `/api-keys/${id}`,
      'no-store',
    ])
    expect(made.body).toMatchObject({
      id: `key_${key.slice(3, 19)}`,
      name: 'once',
      ownerId: ann.id,
      createdBy: ann.id,
      permissions: ['documents:read'],
      enabled: true,
      expiresAt: null,
      start: key.slice(0, 7),
      last4: key.slice(-4),
    })
    const secret = key.slice(19)
    for (const answer of [
      await call(keys(), { token: ann.accessToken }),
      await call(keys(`/${id}`), { token: ann.accessToken }),
      await patch(id, { name: 'twice' }),
    ]) {
      expect(answer.status).toBe(200)
      expect(answer.text).not.toContain(secret)
      expect(answer.text).not.toMatch(/argon2|"key"|hash/i)
    }
  })

  test('a key may do what it was made for and nothing else; one made for nothing may do nothing', async () => {
    const reader = await makeKey(site, ann.accessToken, { permissions: ['documents:read'] })
    const none = await makeKey(site, ann.accessToken, { permissions: [] })
    const url = `${site.service.url}/documents/mine`
    expectProblem(
      await call(url, { key: reader.key, method: 'PUT', json: 1 }),
      403,
      'insufficient_permission',
    )
    expectProblem(await call(url, { key: reader.key }), 404, 'document_not_found')
    expect(await use(reader.key)).toBe(200)
    expect(await use(none.key)).toBe('insufficient_permission')
  })

  test('nobody gives a key more than its owner may do, at creation or later (KEY-16)', async () => {
    const body = { name: 'too much', permissions: ['documents:read', 'api-keys:manage'] }
    const refused = await call(keys(), { token: ann.accessToken, json: body })
    expectProblem(refused, 422, 'permission_not_grantable')
    expect(fieldsOf(refused)).toEqual(['permissions/1'])
    const { id, key } = await makeKey(site, ann.accessToken)
    for (const permissions of [['*:*'], ['documents:*'], ['api-keys:manage']]) {
      expectProblem(await patch(id, { permissions }), 422, 'permission_not_grantable')
    }
    expect(await use(key)).toBe(200)
  })

  test('a change counts from the next request on: permissions, disabled and enabled again (KEY-09)', async () => {
    const { id, key } = await makeKey(site, ann.accessToken)
    expect(await use(key)).toBe(200)
    expect((await patch(id, { permissions: ['documents:write'] })).status).toBe(200)
    expect(await use(key)).toBe('insufficient_permission')
    expect((await patch(id, { permissions: ['documents:read'], enabled: false })).status).toBe(200)
    expect(await use(key)).toBe('api_key_disabled')
    const changed = await patch(id, { enabled: true, name: 'renamed' })
    expect(changed.body).toMatchObject({
      id,
      name: 'renamed',
      enabled: true,
      permissions: ['documents:read'],
    })
    expect(await use(key)).toBe(200)
  })

  test('what is not the caller’s to set is refused by name, and nothing changes (KEY-07)', async () => {
    const { id, key } = await makeKey(site, ann.accessToken)
    const before = (await call(keys(`/${id}`), { token: ann.accessToken })).body
    for (const name of ['ownerId', 'id', 'secretHash', 'createdAt', 'revokedAt', 'createdBy']) {
      const refused = await patch(id, { name: 'changed', [name]: bob.id })
      expectProblem(refused, 422, 'invalid_request')
      expect(fieldsOf(refused)).toEqual([name])
    }
    for (const name of ['id', 'key', 'createdBy', 'prefix']) {
      const refused = await call(keys(), { token: ann.accessToken, json: { name: 'x', [name]: bob.id } })
      expect([refused.status, fieldsOf(refused)]).toEqual([422, [name]])
    }
    expect((await call(keys(`/${id}`), { token: ann.accessToken })).body).toEqual(before)
    expect(await use(key)).toBe(200)
  })

  test('a key of somebody else is answered like one that never was, and stays as it is (KEY-06)', async () => {
    const { id, key } = await makeKey(site, ann.accessToken)
    const tries = (of: string) => [
      call(keys(`/${of}`), { token: bob.accessToken }),
      patch(of, { enabled: false }, bob.accessToken),
      rotate(of, { graceSeconds: 0 }, bob.accessToken),
      call(keys(`/${of}`), { token: bob.accessToken, method: 'DELETE' }),
    ]
    const told = async (of: string): Promise<unknown[]> =>
      (await Promise.all(tries(of))).map(answer => {
        expectProblem(answer, 404, 'api_key_not_found')
        return answer.text.replace(textOf(answer.body, 'requestId'), '')
      })
    expect(await told(id)).toEqual(await told(`key_${'0'.repeat(16)}`))
    expect(await use(key)).toBe(200)
    const listed = await call(keys(), { token: bob.accessToken })
    expect(listOf(listed.body, 'items')).toEqual([])
    expectProblem(
      await call(keys(`?owner=${ann.id}`), { token: bob.accessToken }),
      403,
      'insufficient_permission',
    )
  })

  test('keys are listed page by page, oldest first', async () => {
    const made = [await makeKey(site, bob.accessToken), await makeKey(site, bob.accessToken)]
    const first = await call(keys('?limit=1'), { token: bob.accessToken })
    const second = await call(keys(`?limit=1&cursor=${textOf(first.body, 'nextCursor')}`), {
      token: bob.accessToken,
    })
    const ids = [first, second].flatMap(({ body }) => listOf(body, 'items').map(item => member(item, 'id')))
    expect(ids).toEqual(made.map(({ id }) => id))
    expect(member(second.body, 'nextCursor')).toBeNull()
    expectProblem(await call(keys('?cursor=bm9uc2Vuc2U'), { token: bob.accessToken }), 422, 'cursor_invalid')
  })

  test('rotation without grace ends the old key at once, and the new one is the same but for its text', async () => {
    const old = await makeKey(site, ann.accessToken, { permissions: ['documents:read'] })
    const answer = await rotate(old.id, { graceSeconds: 0 })
    const made = keyOf(site, answer)
    expect(answer.status).toBe(201)
    expect(answer.body).toMatchObject({
      ownerId: ann.id,
      permissions: ['documents:read'],
      rotatedFrom: old.id,
    })
    expect([await use(old.key), await use(made.key)]).toEqual(['api_key_expired', 200])
    expect((await call(keys(`/${old.id}`), { token: ann.accessToken })).body).toMatchObject({
      rotatedTo: made.id,
    })
    expectProblem(await rotate(old.id), 409, 'api_key_rotated')
    expectProblem(await patch(old.id, { expiresAt: null }), 409, 'api_key_rotated')
    expect(await use(old.key)).toBe('api_key_expired')
  })

  test('within the time of grace, a day unless told, both keys work', async () => {
    const old = await makeKey(site, ann.accessToken)
    const made = keyOf(site, await rotate(old.id))
    expect([await use(old.key), await use(made.key)]).toEqual([200, 200])
    const { body } = await call(keys(`/${old.id}`), { token: ann.accessToken })
    const left = Date.parse(textOf(body, 'expiresAt')) - Date.now()
    expect(left).toBeGreaterThan(86_000_000)
    expect(left).toBeLessThanOrEqual(86_400_000)
  })

  test('of twenty rotations at once one wins, and one key is left alive (KEY-10)', async () => {
    const old = await makeKey(site, ann.accessToken)
    const answers = await Promise.all(Array.from({ length: 20 }, () => rotate(old.id, { graceSeconds: 0 })))
    const won = answers.filter(({ status }) => status === 201)
    expect(won).toHaveLength(1)
    for (const lost of answers.filter(answer => !won.includes(answer)))
      expectProblem(lost, 409, 'api_key_rotated')
    expect(await use(old.key)).toBe('api_key_expired')
    for (const answer of won) expect(await use(keyOf(site, answer).key)).toBe(200)
  })

  test('a deleted key is refused at once and for good (KEY-09)', async () => {
    const { id, key } = await makeKey(site, ann.accessToken)
    const deleted = await call(keys(`/${id}`), { token: ann.accessToken, method: 'DELETE' })
    expect([deleted.status, deleted.text]).toEqual([204, ''])
    expect(await use(key)).toBe('api_key_revoked')
    const again = await call(keys(`/${id}`), { token: ann.accessToken, method: 'DELETE' })
    for (const answer of [again, await rotate(id), await patch(id, { enabled: true })]) {
      expectProblem(answer, 404, 'api_key_not_found')
    }
    expect(await use(key)).toBe('api_key_revoked')
  })

  test('a key expires when it says, and can not be made for the past (KEY-11)', async () => {
    const past = { name: 'late', expiresAt: new Date(Date.now() - 1_000).toISOString() }
    expectProblem(await call(keys(), { token: ann.accessToken, json: past }), 422, 'expiry_invalid')
    const expiresAt = new Date(Date.now() + 700).toISOString()
    const { id, key } = await makeKey(site, ann.accessToken, { expiresAt })
    expect(await use(key)).toBe(200)
    await Bun.sleep(Date.parse(expiresAt) - Date.now() + 1)
    expect(await use(key)).toBe('api_key_expired')
    expectProblem(await rotate(id), 409, 'api_key_inactive')
  })

  test('nothing secret went to either log (LOG-02)', async () => {
    await Promise.all([site.login.stop(), site.service.stop()])
    expect(site.stage.leaks()).toEqual([])
  })
})

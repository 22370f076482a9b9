import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createLoginClient } from '../../src/login/client.ts'
import { createServiceAClient } from '../../src/service-a/client.ts'
import { call } from '../support/http.ts'
import { listOf, member, parseJson } from '../support/json.ts'
import { expectProblem } from '../support/problem.ts'
import {
  addPerson,
  type Key,
  makeKey,
  type Person,
  type Site,
  signIn,
  startSite,
  tokenModes,
} from '../support/site.ts'

const part = (token: string, index: number): unknown =>
  parseJson(Buffer.from(token.split('.')[index] ?? '', 'base64url').toString())

describe.each([...tokenModes])('the three flows, tokens signed by %s', mode => {
  let site: Site
  let ann: Person
  let key: Key
  const documents = (): string => `${site.service.url}/documents`

  beforeAll(async () => {
    site = await startSite({ mode })
    const { accessToken } = await signIn(site, site.admin)
    ann = await addPerson(site, accessToken, { name: 'ann' })
    key = await makeKey(site, ann.accessToken)
  })
  afterAll(() => site.stage.end())

  test('signing in answers with a token that is for this site, says who and no more, and is not cached (TOK-06, TOK-07, TOK-12, TOK-21, SES-05)', async () => {
    const { email, password } = ann
    const answer = await call(`${site.login.url}/auth/login`, { json: { email, password } })
    expect(answer.status).toBe(200)
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(answer.body).toMatchObject({ token_type: 'Bearer', expires_in: 300 })

    expect(part(ann.accessToken, 0)).toEqual(
      mode === 'HS256'
        ? { alg: 'HS256', typ: 'at+jwt' }
        : { alg: 'ES256', typ: 'at+jwt', kid: expect.any(String) },
    )
    const claims = part(ann.accessToken, 1)
    expect(claims).toEqual({
      iss: site.login.url,
      sub: ann.id,
      aud: [site.login.url, 'service-a'],
      iat: expect.any(Number),
      exp: expect.any(Number),
      jti: expect.any(String),
      client_id: 'latchkey-login',
      sid: expect.stringMatching(/^ses_/),
      roles: ['user'],
    })
    expect(Number(member(claims, 'exp')) - Number(member(claims, 'iat'))).toBe(300)
  })

  test('login publishes the public half of its key, and nothing of a shared secret (TOK-14)', async () => {
    const answer = await call(`${site.login.url}/.well-known/jwks.json`)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe('application/jwk-set+json')
    expect(answer.headers.get('cache-control')).toMatch(/max-age=\d+/)
    const shape = {
      kty: 'EC',
      crv: 'P-256',
      alg: 'ES256',
      use: 'sig',
      x: expect.any(String),
      y: expect.any(String),
    }
    const kid = member(part(ann.accessToken, 0), 'kid')
    expect(listOf(answer.body, 'keys')).toEqual(mode === 'HS256' ? [] : [{ ...shape, kid }])
  })

  test('a wrong password, an unknown address and a malformed one are refused alike, with a challenge (AUT-04)', async () => {
    const tries = [
      { email: ann.email, password: 'not the password of ann' },
      { email: 'nobody@example.com', password: 'not the password of ann' },
      { email: 'nobody', password: 'not the password of ann' },
    ]
    for (const json of tries) {
      const answer = await call(`${site.login.url}/auth/login`, { json })
      expectProblem(answer, 401, 'credentials_invalid')
      expect(answer.headers.get('www-authenticate')).toBe('Bearer')
    }
  })

  test('a key is made with a token, and a document is written, read, changed and deleted with the key (HTTP-08)', async () => {
    const url = `${documents()}/settings.json`
    const made = await call(url, { key: key.key, method: 'PUT', json: { size: 1 } })
    expect([made.status, made.headers.get('location')]).toEqual([201, '/documents/settings.json'])
    const etag = made.headers.get('etag') ?? ''
    expect(made.body).toMatchObject({ name: 'settings.json', etag })

    const read = await call(url, { key: key.key })
    expect([read.status, read.body, read.headers.get('etag')]).toEqual([200, { size: 1 }, etag])
    const same = await call(url, { key: key.key, headers: { 'if-none-match': etag } })
    expect([same.status, same.text, same.headers.get('etag')]).toEqual([304, '', etag])

    const changed = await call(url, { key: key.key, method: 'PUT', json: { size: 2 } })
    expect(changed.status).toBe(200)
    expect(changed.headers.get('etag')).not.toBe(etag)
    const anew = await call(url, { key: key.key, headers: { 'if-none-match': etag } })
    expect([anew.status, anew.body]).toEqual([200, { size: 2 }])

    const deleted = await call(url, { key: key.key, method: 'DELETE' })
    expect([deleted.status, deleted.text]).toEqual([204, ''])
    expectProblem(await call(url, { key: key.key }), 404, 'document_not_found')
    expectProblem(await call(url, { key: key.key, method: 'DELETE' }), 404, 'document_not_found')
  })

  test('of two who write a document only the one who has seen its last state succeeds (412)', async () => {
    const url = `${documents()}/shared`
    const put = (json: unknown, headers: Record<string, string> = {}) =>
      call(url, { key: key.key, method: 'PUT', json, headers })
    expectProblem(await put(1, { 'if-match': '*' }), 412, 'precondition_failed')
    const first = (await put(1, { 'if-none-match': '*' })).headers.get('etag') ?? ''
    expectProblem(await put(2, { 'if-none-match': '*' }), 412, 'precondition_failed')
    expect((await put(2, { 'if-match': first })).status).toBe(200)
    expectProblem(await put(3, { 'if-match': first }), 412, 'precondition_failed')
    const removed = await call(url, { key: key.key, method: 'DELETE', headers: { 'if-match': first } })
    expectProblem(removed, 412, 'precondition_failed')
    expect((await call(url, { key: key.key })).body).toBe(2)
  })

  test('any JSON comes back as the JSON that it was, and as nothing a browser would run (HTTP-07)', async () => {
    const values = [
      'text',
      '<html>',
      '',
      null,
      0,
      false,
      [],
      {},
      { status: 500 },
      { toJSON: 1 },
      '\ud83d\ude00',
    ]
    for (const value of values) {
      const url = `${documents()}/any`
      await call(url, { key: key.key, method: 'PUT', json: value })
      const { status, headers, body } = await call(url, { token: ann.accessToken })
      expect({ status, body }).toEqual({ status: 200, body: value })
      expect(headers.get('content-type')).toStartWith('application/json')
      expect(headers.get('x-content-type-options')).toBe('nosniff')
    }
  })

  test('documents are listed by name, page by page, to their owner alone', async () => {
    const bob = await addPerson(site, (await signIn(site, site.admin)).accessToken, { name: 'bob' })
    for (const name of ['c', 'a', 'b']) {
      await call(`${documents()}/${name}`, { token: bob.accessToken, method: 'PUT', json: name })
    }
    const names: unknown[] = []
    let cursor: unknown = ''
    while (typeof cursor === 'string') {
      const query = cursor === '' ? '' : `&cursor=${cursor}`
      const { body } = await call(`${documents()}?limit=2${query}`, { token: bob.accessToken })
      names.push(...listOf(body, 'items').map(item => member(item, 'name')))
      cursor = member(body, 'nextCursor')
    }
    expect(names).toEqual(['a', 'b', 'c'])
    expectProblem(await call(`${documents()}/a`, { key: key.key }), 404, 'document_not_found')
  })

  test('the typed clients of both services go through all three flows', async () => {
    const { email, password } = ann
    const login = createLoginClient(site.login.url)
    const signedIn = await login.auth.login.post({ email, password })
    if (signedIn.error) throw signedIn.error
    const authorization = `Bearer ${signedIn.data.access_token}`
    site.stage.keepSecret(authorization, signedIn.data.refresh_token)

    const person = createServiceAClient(site.service.url, { headers: { authorization } })
    const made = await person['api-keys'].post({
      name: 'typed',
      permissions: ['documents:read', 'documents:write'],
    })
    if (made.error) throw made.error
    site.stage.keepSecret(made.data.key)
    expect(made.data.ownerId).toBe(ann.id)

    const machine = createServiceAClient(site.service.url, { headers: { 'x-api-key': made.data.key } })
    const time = { at: '2026-01-01T00:00:00.000Z' }
    const written = await machine.documents({ name: 'typed' }).put(time)
    expect([written.status, (await machine.documents({ name: 'typed' }).get()).data]).toEqual([201, time])
    const refused = await machine['api-keys'].get()
    expect([refused.status, refused.error?.value.code]).toEqual([403, 'jwt_required'])
  })

  test('nothing secret went to either log, which has an object on each line (LOG-02, LOG-03)', async () => {
    await Promise.all([site.login.stop(), site.service.stop()])
    expect(site.stage.leaks()).toEqual([])
    const lines = site.stage.logLines()
    expect(lines.length).toBeGreaterThan(20)
    expect(lines.filter(line => member(parseJson(line), 'msg') === undefined)).toEqual([])
  })
})

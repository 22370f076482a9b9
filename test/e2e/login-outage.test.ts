import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { randomBytes } from 'node:crypto'
import { type FakeLogin, startFakeLogin } from '../support/fake-login.ts'
import { createForge, type Forge } from '../support/forge.ts'
import { type Answer, call } from '../support/http.ts'
import { listOf, textOf } from '../support/json.ts'
import { expectProblem } from '../support/problem.ts'
import { type Role, startRole, waitUntilReady } from '../support/role.ts'
import {
  addPerson,
  type Key,
  keyOf,
  makeKey,
  type Person,
  type Site,
  signIn,
  startSite,
} from '../support/site.ts'

describe('a service-a that starts while login is down and has no signing key', () => {
  let site: Site
  let ann: Person
  let key: Key

  beforeAll(async () => {
    site = await startSite()
    ann = await addPerson(site, (await signIn(site, site.admin)).accessToken, { name: 'ann' })
    key = await makeKey(site, ann.accessToken)
    await Promise.all([site.login.stop(), site.service.stop()])
    await site.service.restart()
  })
  afterAll(() => site.stage.end())

  const get = (path: string, options = {}): Promise<Answer> => call(`${site.service.url}${path}`, options)

  test('says of tokens that it can not judge them, of itself that it is not ready, and serves keys (TOK-19)', async () => {
    for (const path of ['/whoami', '/documents', '/account', '/api-keys']) {
      const refused = await get(path, { token: ann.accessToken })
      expectProblem(refused, 503, 'unavailable')
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    }
    expectProblem(await get('/readyz'), 503, 'unavailable')
    expect((await get('/livez')).status).toBe(200)
    expect((await get('/documents', { key: key.key })).status).toBe(200)
    expect((await get('/documents/x', { key: key.key, method: 'PUT', json: 1 })).status).toBe(201)
    expectProblem(await get('/whoami', { token: 'nonsense' }), 401, 'token_invalid')
    expectProblem(await get('/whoami'), 400, 'credential_missing')
    expectProblem(await get('/account', { key: key.key }), 403, 'jwt_required')
  })

  test('judges tokens as soon as login is there, without being started again', async () => {
    await site.login.restart()
    let status = 503
    for (let tries = 0; status === 503 && tries < 100; tries += 1) {
      await Bun.sleep(50)
      status = (await get('/whoami', { token: ann.accessToken })).status
    }
    expect([status, (await get('/readyz')).status]).toEqual([200, 200])
  })

  test('goes on judging tokens by the keys it has when login is down again (TOK-19)', async () => {
    await site.login.stop()
    expect((await get('/whoami', { token: ann.accessToken })).status).toBe(200)
    // Whether login has published another key since can not be told now.
    const header = Buffer.from('{"alg":"ES256","typ":"at+jwt","kid":"another"}').toString('base64url')
    const unknown = await get('/whoami', { token: ann.accessToken.replace(/^[^.]+/, header) })
    expect([401, 503]).toContain(unknown.status)
    expect((await get('/whoami', { token: ann.accessToken })).status).toBe(200)
    expect((await get('/readyz')).status).toBe(200)
    expectProblem(await get('/account', { token: ann.accessToken }), 503, 'login_unreachable')
  })
})

describe('a login that answers, but not as login would', () => {
  const secret = randomBytes(32).toString('base64url')
  const user = { id: `usr_${'a'.repeat(32)}`, sessionId: `ses_${'a'.repeat(32)}` }
  const other = `usr_${'b'.repeat(32)}`
  const marker = 'Mark3rOfTheOtherSide'

  let site: Site
  let fake: FakeLogin
  let service: Role
  let forge: Forge
  let token: string
  let adminToken: string
  let key: Key

  const profile = (id: string) => ({
    id,
    email: 'a@example.com',
    displayName: null,
    roles: ['user'],
    status: 'active',
  })
  const asLoginWould = ({ url }: Request): Response =>
    Response.json(profile(url.endsWith('/me') ? user.id : other))

  const account = (method = 'GET'): Promise<Answer> => call(`${service.url}/account`, { token, method })
  const makeForOther = (): Promise<Answer> =>
    call(`${service.url}/api-keys`, { token: adminToken, json: { name: 'x', ownerId: other } })

  /** Reads a profile, makes a key for another and closes an account, all at once; only the first may go well. */
  const askAll = async (): Promise<Answer[]> => {
    const change = { token, method: 'PATCH', json: { displayName: 'x' } }
    const answers = await Promise.all([
      account(),
      makeForOther(),
      account('DELETE'),
      call(`${service.url}/account`, change),
    ])
    for (const answer of answers)
      expect(answer.text + JSON.stringify([...answer.headers])).not.toContain(marker)
    return answers
  }

  /** Waits until service-a asks again, after it has left login alone for a moment. */
  const recover = async (): Promise<void> => {
    fake.answerWith(asLoginWould)
    for (let tries = 0; (await account()).status !== 200; tries += 1) {
      if (tries === 100) throw new Error('service-a does not ask again')
      await Bun.sleep(100)
    }
  }

  const expectNothingDone = async (): Promise<void> => {
    expect((await call(`${service.url}/documents`, { key: key.key })).status).toBe(200)
    const listed = await call(`${service.url}/api-keys?owner=${other}`, { token: adminToken })
    expect(listOf(listed.body, 'items')).toEqual([])
  }

  beforeAll(async () => {
    // Only its stage and addresses are needed: tokens are signed here.
    site = await startSite({ mode: 'HS256', secret })
    fake = await startFakeLogin([user.id, other])
    site.stage.keepSecret(marker)
    const settings = { LOGIN_URL: fake.url, ISSUER: site.login.url, JWT_SECRET: secret }
    service = await startRole(site.stage, { role: 'service-a', settings })
    await waitUntilReady(service.url)
    forge = createForge(site, secret, user)
    token = forge()
    adminToken = forge({ claims: { sub: `usr_${'c'.repeat(32)}`, roles: ['admin'] } })
    const made = await call(`${service.url}/api-keys`, {
      token,
      json: { name: 'own', permissions: ['documents:read'] },
    })
    key = keyOf(site, made)
  })
  afterAll(async () => {
    await fake.stop()
    await site.stage.end()
  })

  test('is taken at its word where it answers as it should', async () => {
    fake.answerWith(asLoginWould)
    expect((await account()).body).toEqual(profile(user.id))
    const made = await makeForOther()
    expect([made.status, textOf(made.body, 'ownerId')]).toEqual([201, other])
    const url = `${service.url}/api-keys/${keyOf({ ...site }, made).id}`
    expect((await call(url, { token: adminToken, method: 'DELETE' })).status).toBe(204)
  })

  const endless = (): ReadableStream =>
    new ReadableStream({ pull: controller => controller.enqueue(Buffer.alloc(1 << 20, marker)) })
  const hundredMegabytes = new Blob([Buffer.alloc(100_000_000, marker)])
  const json = { 'content-type': 'application/json' }
  const nonsense: readonly (readonly [string, (request: Request) => Response])[] = [
    ['a web page', () => new Response(`<h1>${marker}</h1>`, { headers: { 'content-type': 'text/html' } })],
    [
      'a web page with 500',
      () => new Response(`<h1>${marker}</h1>`, { status: 500, headers: { 'content-type': 'text/html' } }),
    ],
    ['half of some JSON', () => new Response(`{"id":"${marker}"`, { headers: json })],
    [
      'a form',
      () => new Response(marker, { headers: { 'content-type': 'multipart/form-data; boundary=x' } }),
    ],
    [
      'events',
      () => new Response(`data: "${marker}"\n\n`, { headers: { 'content-type': 'text/event-stream' } }),
    ],
    ['a body without end', () => new Response(endless(), { headers: json })],
    ['a hundred megabytes', () => new Response(hundredMegabytes, { headers: json })],
    ['an empty body', () => new Response(null)],
    ['null', () => Response.json(null)],
    ['a list', () => Response.json([profile(user.id)])],
    ['a user with roles of another form', () => Response.json({ ...profile(user.id), roles: marker })],
    ['a user without an id', () => Response.json({ ...profile(user.id), id: '../me' })],
    ['a redirect to itself', () => new Response(null, { status: 302, headers: { location: '/users/me' } })],
    [
      'a redirect elsewhere',
      () => new Response(null, { status: 307, headers: { location: `${fake.url}/${marker}` } }),
    ],
    [
      'a status of its own',
      () => Response.json({ code: marker, title: marker, detail: marker }, { status: 418 }),
    ],
    ['401 of a proxy', () => new Response(marker, { status: 401 })],
    ['403 of a proxy', () => Response.json({ message: marker }, { status: 403 })],
    ['404 of a proxy', () => new Response(marker, { status: 404 })],
    ['500', () => Response.json({ code: 'internal_error', detail: marker }, { status: 500 })],
    ['409 of a kind that is not known', () => Response.json({ code: marker }, { status: 409 })],
  ]
  test.each(nonsense)(
    '%s is answered with 502, nothing of it is passed on, and nothing is done (AUT-13)',
    async (_, answer) => {
      fake.answerWith(answer)
      for (const refused of await askAll()) expectProblem(refused, 502, 'login_bad_answer')
      expect(fake.paths.filter(path => !['/users/me', `/users/${other}`].includes(path))).toEqual([])
      await expectNothingDone()
      fake.answerWith(asLoginWould)
      expect((await account()).status).toBe(200)
    },
  )

  test('an answer about somebody else makes no key', async () => {
    fake.answerWith(() => Response.json(profile(user.id)))
    expectProblem(await makeForOther(), 502, 'login_bad_answer')
    await expectNothingDone()
  })

  test('what login holds against the caller reaches the caller in the words of service-a', async () => {
    const cases = [
      [401, 'token_invalid', 'Bearer error="invalid_token"'],
      [401, 'token_expired', 'Bearer error="invalid_token"'],
      [403, 'insufficient_permission', 'Bearer error="insufficient_scope"'],
    ] as const
    for (const [status, code, challenge] of cases) {
      fake.answerWith(() => Response.json({ code, detail: marker }, { status }))
      for (const refused of await askAll()) {
        expectProblem(refused, status, code)
        expect(refused.headers.get('www-authenticate')).toBe(challenge)
      }
    }
    await expectNothingDone()
  })

  test('a login that is overloaded is one that can not be reached just now: 503', async () => {
    fake.answerWith(() => Response.json({ code: 'unavailable', detail: marker }, { status: 503 }))
    for (const refused of await askAll()) expectProblem(refused, 503, 'login_unreachable')
    await expectNothingDone()
    await recover()
  })

  test('silence is answered with 504 after a few seconds, while everything else goes on', async () => {
    const slowly = new ReadableStream({
      pull: async controller => {
        await Bun.sleep(300)
        controller.enqueue(Buffer.from(' '))
      },
    })
    const never = new Promise<Response>(() => {})
    fake.answerWith(({ method }) => (method === 'PATCH' ? new Response(slowly, { headers: json }) : never))
    const asked = askAll()
    for (let count = 0; count < 20; count += 1) {
      expect((await call(`${service.url}/documents`, { key: key.key })).status).toBe(200)
    }
    for (const refused of await asked) expectProblem(refused, 504, 'login_timeout')
    await expectNothingDone()
  })

  test('nothing of the other side’s words and no token is in the log', async () => {
    await service.stop()
    expect(site.stage.leaks()).toEqual([])
    site.stage.keepSecret(token, adminToken)
    expect(site.stage.leaks()).toEqual([])
  })
})

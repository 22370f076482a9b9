import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Failure } from '../lib/failure.ts'
import { Refusal } from '../lib/problem-answer.ts'
import { createLoginGateway, type LoginGateway, type Profile, type ServiceAccount } from './login-gateway.ts'
import { userId } from './test-service.ts'

const ann = userId('a')
const authorization = 'Bearer a.b.c'
const profile: Profile = {
  id: ann,
  email: 'ann@example.com',
  displayName: 'Ann',
  roles: ['user'],
  status: 'active',
}

const machine: ServiceAccount = { id: 'cli_ci-1', scopes: ['documents:read'], status: 'active' }

type Seen = { method: string; path: string; authorization: string | null; body: string }

/** A server on this machine that stands for `login`, and what it was asked. */
const serveLogin = (answer: (request: Request) => Response | Promise<Response>) => {
  const seen: Seen[] = []
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    idleTimeout: 5,
    fetch: async request => {
      const { pathname, search } = new URL(request.url)
      const body = await request.text()
      const given = request.headers.get('authorization')
      seen.push({ method: request.method, path: pathname + search, authorization: given, body })
      return answer(request)
    },
  })
  return {
    url: `http://127.0.0.1:${server.port}`,
    seen,
    [Symbol.dispose]: () => void server.stop(true),
  }
}

const problem = (status: number, code: string, more: object = {}): Response =>
  new Response(JSON.stringify({ type: 'x', title: 'T', status, code, requestId: 'r', ...more }), {
    status,
    headers: { 'content-type': 'application/problem+json' },
  })

type Call = keyof LoginGateway
const calls = [
  'findUser',
  'findClient',
  'ownProfile',
  'changeOwnProfile',
  'closeOwnAccount',
] as const satisfies Call[]
const make = (gateway: LoginGateway, call: Call, by = authorization): Promise<unknown> =>
  ({
    findUser: () => gateway.findUser(ann, by),
    findClient: () => gateway.findClient(machine.id, by),
    ownProfile: () => gateway.ownProfile(by),
    changeOwnProfile: () => gateway.changeOwnProfile({ displayName: 'Ann' }, by),
    closeOwnAccount: () => gateway.closeOwnAccount(by),
  })[call]()

/** The Failure that a call ends with; anything else fails the test. */
const failureOf = async (promise: Promise<unknown>): Promise<Failure> => {
  try {
    throw new Error(`It came to ${JSON.stringify(await promise)}`)
  } catch (error) {
    if (error instanceof Failure) return error
    throw error
  }
}

describe('what login is asked', () => {
  test('is one request a call, with the caller’s own authorization', async () => {
    using login = serveLogin(({ method, url }) =>
      method === 'DELETE'
        ? new Response(null, { status: 204 })
        : Response.json(url.includes('/clients/') ? machine : profile),
    )
    const gateway = createLoginGateway({ url: login.url })
    for (const call of calls) await make(gateway, call, `Bearer ${call}`)
    await gateway.changeOwnProfile({ displayName: null }, authorization)
    expect(login.seen).toEqual([
      { method: 'GET', path: `/users/${ann}`, authorization: 'Bearer findUser', body: '' },
      { method: 'GET', path: '/clients/cli_ci-1', authorization: 'Bearer findClient', body: '' },
      { method: 'GET', path: '/users/me', authorization: 'Bearer ownProfile', body: '' },
      {
        method: 'PATCH',
        path: '/users/me',
        authorization: 'Bearer changeOwnProfile',
        body: '{"displayName":"Ann"}',
      },
      { method: 'DELETE', path: '/users/me', authorization: 'Bearer closeOwnAccount', body: '' },
      { method: 'PATCH', path: '/users/me', authorization, body: '{"displayName":null}' },
    ])
  })

  test('AUT-12: of callers who ask at once, each is answered by their own token', async () => {
    using login = serveLogin(async request => {
      await Bun.sleep(Math.random() * 10)
      const [, letter = ''] = (request.headers.get('authorization') ?? '').split(' ')
      return Response.json({ ...profile, id: userId(letter) })
    })
    const gateway = createLoginGateway({ url: login.url })
    const letters = [...'0123456789abcdef']
    const found = await Promise.all(letters.map(letter => gateway.ownProfile(`Bearer ${letter}`)))
    expect(found.map(({ id }) => id)).toEqual(letters.map(userId))
  })

  test('what it answers beyond a profile goes no further, and text stays the text that it is', async () => {
    const odd = { displayName: '2024-01-01T00:00:00.000Z', email: '123', roles: ['true'] }
    using login = serveLogin(() =>
      Response.json({ ...profile, ...odd, passwordHash: 'secret', createdAt: '2024-01-01T00:00:00.000Z' }),
    )
    const gateway = createLoginGateway({ url: login.url })
    for (const call of ['findUser', 'ownProfile', 'changeOwnProfile'] as const) {
      expect(await make(gateway, call)).toEqual({ id: ann, status: 'active', ...odd })
    }
  })

  test('a base path and a body in pieces make no difference', async () => {
    using login = serveLogin(
      () =>
        new Response(
          new ReadableStream({
            start: async controller => {
              for (const byte of Buffer.from(JSON.stringify(profile)))
                controller.enqueue(new Uint8Array([byte]))
              controller.close()
            },
          }),
          { headers: { 'content-type': 'application/json' } },
        ),
    )
    expect(await createLoginGateway({ url: `${login.url}/base` }).ownProfile(authorization)).toEqual(profile)
    expect(login.seen.map(({ path }) => path)).toEqual(['/base/users/me'])
  })
})

describe('TRAPS Elysia 18: an id becomes part of a path only if it is one', () => {
  const hostile = [
    '',
    '.',
    '..',
    '../clients',
    'me',
    'me/',
    '/',
    '?',
    '#',
    'a/b?x=1',
    `${ann}/disable`,
    `${ann}?x=1`,
    `${ann}#`,
    `${ann}\n`,
    ` ${ann}`,
    `${ann}%2f..`,
    `usr_${'A'.repeat(32)}`,
    `usr_${'a'.repeat(31)}`,
    `usr_${'a'.repeat(33)}`,
    `ses_${'a'.repeat(32)}`,
    'usr_',
    '%2e%2e',
    '\u0000',
    '//evil.example',
    'http://evil.example/',
    '__proto__',
    'toString',
    'get',
    'index',
    'cli_',
    'cli_.',
    'cli_a/../b',
    'cli_a/rotate',
    'cli_a?x=1',
    'cli_a#',
    'cli_a\n',
    'cli_a%2f',
    `cli_${'a'.repeat(61)}`,
  ]
  test('anything else is nobody, and login is not asked', async () => {
    using login = serveLogin(() => Response.json(profile))
    const gateway = createLoginGateway({ url: login.url })
    const text = fc.oneof(
      fc.constantFrom(...hostile),
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.tuple(fc.constantFrom(...hostile), fc.constantFrom(...hostile)).map(([one, other]) => one + other),
    )
    await fc.assert(
      fc.asyncProperty(text, async id => {
        fc.pre(!/^(usr_[0-9a-f]{32}|cli_[0-9A-Za-z_-]{1,60})$/.test(id))
        expect(await gateway.findUser(id, authorization)).toBeNull()
        expect(await gateway.findClient(id, authorization)).toBeNull()
      }),
      { numRuns: 500 },
    )
    expect(login.seen).toEqual([])
    expect(await gateway.findClient(ann, authorization)).toBeNull()
    expect(await gateway.findUser(machine.id, authorization)).toBeNull()
    expect(login.seen).toEqual([])
    await gateway.findUser(ann, authorization)
    expect(login.seen).toHaveLength(1)
  })
})

describe('AUT-13: what login says comes to', () => {
  const html = (status: number) =>
    new Response('<html>', { status, headers: { 'content-type': 'text/html' } })
  const json = (text: string, status = 200) =>
    new Response(text, { status, headers: { 'content-type': 'application/json' } })
  const redirect = (status: number) => new Response(null, { status, headers: { location: '/users/me' } })
  const field = { field: 'displayName', rule: 'must be something else' }

  type Row = [what: string, answer: () => Response, code: string]
  const rows: Row[] = [
    ['401', () => problem(401, 'token_invalid'), 'token_invalid'],
    ['401 of an old token', () => problem(401, 'token_expired'), 'token_expired'],
    ['401 of a proxy', () => html(401), 'login_bad_answer'],
    ['403 of a proxy', () => html(403), 'login_bad_answer'],
    ['403', () => problem(403, 'insufficient_permission'), 'insufficient_permission'],
    ['409 of the last admin', () => problem(409, 'last_admin'), 'last_admin'],
    ['422', () => problem(422, 'invalid_request', { errors: [field] }), 'invalid_request'],
    ['503', () => problem(503, 'overloaded'), 'login_unreachable'],
    ['another 409', () => problem(409, 'email_taken'), 'login_bad_answer'],
    ['a 409 of a proxy', () => html(409), 'login_bad_answer'],
    ['422 without fields', () => problem(422, 'invalid_request'), 'login_bad_answer'],
    ['422 with others than fields', () => problem(422, 'x', { errors: ['a secret'] }), 'login_bad_answer'],
    ['422 with 21 fields', () => problem(422, 'x', { errors: Array(21).fill(field) }), 'login_bad_answer'],
    ['400', () => problem(400, 'malformed_body'), 'login_bad_answer'],
    ['500', () => problem(500, 'internal_error'), 'login_bad_answer'],
    ['500 of a proxy', () => html(502), 'login_bad_answer'],
    ['404 of a proxy', () => html(404), 'login_bad_answer'],
    ['404 of another route', () => problem(404, 'not_found'), 'login_bad_answer'],
    ['a 404 that is no JSON', () => json('{', 404), 'login_bad_answer'],
    ['a page', () => html(200), 'login_bad_answer'],
    ['nothing', () => new Response(null), 'login_bad_answer'],
    ['JSON that breaks off', () => json('{"id":'), 'login_bad_answer'],
    ['JSON that is empty', () => json(''), 'login_bad_answer'],
    [
      'a form that is none',
      () => new Response('x', { headers: { 'content-type': 'multipart/form-data; boundary=x' } }),
      'login_bad_answer',
    ],
    ['null', () => json('null'), 'login_bad_answer'],
    ['a list', () => Response.json([profile]), 'login_bad_answer'],
    ['a profile with 202', () => Response.json(profile, { status: 202 }), 'login_bad_answer'],
    ['a profile without roles', () => Response.json({ ...profile, roles: undefined }), 'login_bad_answer'],
    [
      'a profile of another status',
      () => Response.json({ ...profile, status: 'deleted' }),
      'login_bad_answer',
    ],
    ['a profile without an id', () => Response.json({ ...profile, id: '../x' }), 'login_bad_answer'],
    ['65 roles', () => Response.json({ ...profile, roles: Array(65).fill('x') }), 'login_bad_answer'],
    ['more than 64 KiB', () => Response.json({ ...profile, more: 'x'.repeat(65_536) }), 'login_bad_answer'],
    [
      'a gzip of much more',
      () => new Response(Bun.gzipSync('x'.repeat(10_000_000)), { headers: { 'content-encoding': 'gzip' } }),
      'login_bad_answer',
    ],
    ['301', () => redirect(301), 'login_bad_answer'],
    ['307', () => redirect(307), 'login_bad_answer'],
    ['304', () => new Response(null, { status: 304 }), 'login_bad_answer'],
  ]

  describe.each(calls)('%s', call => {
    test.each(rows)('%s', async (_, answer, code) => {
      using login = serveLogin(answer)
      const failure = await failureOf(make(createLoginGateway({ url: login.url }), call))
      expect(failure.code).toBe(code)
      // Only what says that it will pass is asked again, and never a deletion.
      expect(login.seen).toHaveLength(code === 'login_unreachable' && call !== 'closeOwnAccount' ? 3 : 1)
      // Nothing that login said is told on, but the fields of a 422.
      expect(failure.detail).toBeUndefined()
      expect(failure.errors).toEqual(code === 'invalid_request' ? [field] : undefined)
      const headers = failure instanceof Refusal ? failure.headers['www-authenticate'] : undefined
      expect(headers).toBe(
        code === 'token_invalid' || code === 'token_expired'
          ? 'Bearer error="invalid_token"'
          : code === 'insufficient_permission'
            ? 'Bearer error="insufficient_scope"'
            : undefined,
      )
    })
  })

  test('404 of a user is nobody, where somebody was asked for', async () => {
    using login = serveLogin(() => problem(404, 'user_not_found'))
    const gateway = createLoginGateway({ url: login.url })
    expect(await gateway.findUser(ann, authorization)).toBeNull()
    expect((await failureOf(gateway.ownProfile(authorization))).code).toBe('login_bad_answer')
  })

  test('a profile of another user is not taken for the one that was asked for', async () => {
    using login = serveLogin(() => Response.json({ ...profile, id: userId('b') }))
    const gateway = createLoginGateway({ url: login.url })
    expect((await failureOf(gateway.findUser(ann, authorization))).code).toBe('login_bad_answer')
  })

  describe('a service account', () => {
    const answered = async (answer: () => Response) => {
      using login = serveLogin(answer)
      return await createLoginGateway({ url: login.url }).findClient(machine.id, authorization)
    }

    test('is told with its scopes, and nothing else of it', async () => {
      const secrets = [{ id: 'x', createdAt: 'now', expiresAt: null }]
      expect(await answered(() => Response.json({ ...machine, name: 'CI', secrets }))).toEqual(machine)
    })

    test.each([
      ['there is none', () => problem(404, 'client_not_found')],
      ['it is disabled', () => Response.json({ ...machine, status: 'disabled' })],
    ])('is nobody where %s', async (_, answer) => {
      expect(await answered(answer)).toBeNull()
    })

    test.each([
      ['another', () => Response.json({ ...machine, id: 'cli_other' })],
      ['a user', () => Response.json(profile)],
      ['one without scopes', () => Response.json({ ...machine, scopes: undefined })],
      ['one of 33 scopes', () => Response.json({ ...machine, scopes: Array(33).fill('a:b') })],
      ['one with another status', () => Response.json({ ...machine, status: 'deleted' })],
      ['a user that is not there', () => problem(404, 'user_not_found')],
    ])('is never %s', async (_, answer) => {
      expect((await failureOf(answered(answer))).code).toBe('login_bad_answer')
    })
  })

  test.each([200, 202, 205])('%p to a deletion is no promise that anything was deleted', async status => {
    using login = serveLogin(() => new Response(null, { status }))
    const gateway = createLoginGateway({ url: login.url })
    expect((await failureOf(gateway.closeOwnAccount(authorization))).code).toBe('login_bad_answer')
  })

  test.each([301, 302, 303, 307, 308])('AUT-12: the token is carried to nobody by a %p', async status => {
    using elsewhere = serveLogin(() => Response.json(profile))
    using login = serveLogin(
      () => new Response(null, { status, headers: { location: `${elsewhere.url}/users/me` } }),
    )
    for (const call of calls) await failureOf(make(createLoginGateway({ url: login.url }), call))
    expect(elsewhere.seen).toEqual([])
  })
})

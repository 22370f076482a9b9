import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { contractOf, expectAnswer, sent } from '../lib/test-http.ts'
import { createPeople, createTestLogin, password, type TestLogin } from './test-login.ts'

let login: TestLogin
let send: Awaited<ReturnType<typeof createPeople>>['send']

beforeEach(async () => {
  login = createTestLogin()
  send = (await createPeople(login)).send
})
afterEach(() => {
  const written = login.lines.join() + JSON.stringify(login.audit())
  expect(written).not.toMatch(/argon2|eyJ|lkr_|hash/i)
  expect(written).not.toContain(password)
  login.database.close()
})

const kept = () => [
  login.database.query('SELECT * FROM users ORDER BY id').all(),
  login.database.query('SELECT * FROM user_roles ORDER BY user_id, role').all(),
  login.audit(),
]

/** What no answer may hold: AZ-06 has no cell for it. */
const secrets = ['argon2', 'refresh', password, 'a password of a newcomer']

const newcomer = { email: 'New@Example.com', password: 'a password of a newcomer' }
const made = (changes: object) => ({ ...newcomer, ...changes })

type Done = [what: string, request: string, body: unknown, status: string, ...has: string[]]

describe('AZ-06: who may do what', () => {
  const bob = ['"email":"bob@example.com"', '"roles":["support","user"]']
  test.each<Done>([
    ['reads the own profile', 'ann GET /users/me', undefined, '200', '"email":"ann@example.com"'],
    ['reads the own profile as admin', 'root GET /users/me', undefined, '200', 'root@example.com'],
    [
      'changes the own name',
      'ann PATCH /users/me',
      { displayName: 'Ann 🙂' },
      '200',
      '"displayName":"Ann 🙂"',
    ],
    ['closes the own account', 'ann DELETE /users/me', undefined, '204'],
    ['reads a user', 'root GET /users/{bob}', undefined, '200', ...bob],
    ['makes a user', 'root POST /users', newcomer, '201', '"email":"new@example.com"', '"roles":["user"]'],
    ['makes an admin', 'root POST /users', made({ roles: ['b', 'admin'] }), '201', '"roles":["admin","b"]'],
    ['makes one with a name', 'root POST /users', made({ displayName: 'New' }), '201', '"displayName":"New"'],
    ['makes one with no name', 'root POST /users', made({ displayName: null }), '201', '"displayName":null'],
    ['makes one without roles', 'root POST /users', made({ roles: [] }), '201', '"roles":[]'],
    ['changes roles', 'root PATCH /users/{bob}', { roles: ['user'] }, '200', '"roles":["user"]'],
    ['disables', 'root POST /users/{bob}/disable', undefined, '200', '"status":"disabled"', ...bob],
    ['enables', 'root POST /users/{bob}/enable', undefined, '200', '"status":"active"', ...bob],
    ['deletes', 'root DELETE /users/{bob}', undefined, '204'],
    ['lists', 'root GET /users', undefined, '200', '"nextCursor":null', ...bob],
    ['lists an address', 'root GET /users?email=BOB@example.com', undefined, '200', ...bob],
    ['lists a status', 'root GET /users?status=disabled', undefined, '200', '"items":[]'],
  ])('%s: %s', async (_, request, body, status, ...has) => {
    expectAnswer(await send(request, sent(body)), {
      ...contractOf(status),
      has,
      lacks: [...secrets, /hash/i],
      headers: status === '201' ? { location: /^\/users\/usr_[0-9a-f]{32}$/ } : {},
    })
  })
})

type Refused = [what: string, request: string, body: unknown, outcome: string]

const forbidden: Refused[] = [
  ['AZ-01: list', 'ann GET /users', undefined, '403 insufficient_permission'],
  ['AZ-01: make', 'ann POST /users', newcomer, '403 insufficient_permission'],
  ['AZ-01: read one', 'ann GET /users/{bob}', undefined, '403 insufficient_permission'],
  ['AZ-01: read a ghost', 'ann GET /users/{ghost}', undefined, '403 insufficient_permission'],
  ['AZ-01: read themselves by id', 'ann GET /users/{ann}', undefined, '403 insufficient_permission'],
  ['AZ-01: change one', 'ann PATCH /users/{bob}', { displayName: 'Eve' }, '403 insufficient_permission'],
  ['AZ-01: delete one', 'ann DELETE /users/{bob}', undefined, '403 insufficient_permission'],
  ['AZ-01: disable one', 'ann POST /users/{bob}/disable', undefined, '403 insufficient_permission'],
  ['AZ-01: enable one', 'ann POST /users/{ann}/enable', undefined, '403 insufficient_permission'],
  ['AZ-02: be admin', 'ann PATCH /users/me', { roles: ['admin'] }, '422 invalid_request roles'],
  ['AZ-02: be admin by id', 'ann PATCH /users/{ann}', { roles: ['admin'] }, '403 insufficient_permission'],
  [
    'AZ-02: be admin by another name',
    'ann PATCH /users/me',
    { role: 1, isAdmin: true },
    '422 invalid_request role isAdmin',
  ],
  [
    'AZ-02: be active',
    'ann PATCH /users/me',
    { displayName: 'A', status: 'active' },
    '422 invalid_request status',
  ],
  [
    'HTTP-04: be admin by prototype',
    'ann PATCH /users/me',
    '{"__proto__":{"roles":["admin"]}}',
    '422 invalid_request __proto__',
  ],
  ['AZ-02: be another', 'ann PATCH /users/me', { id: 'usr_1', email: 'e@x' }, '422 invalid_request id email'],
  ['PWD-10: set a password unasked', 'ann PATCH /users/me', { password }, '422 invalid_request password'],
  ['AZ-04: close the last admin', 'root DELETE /users/me', undefined, '409 last_admin'],
  ['AZ-04: delete the last admin', 'root DELETE /users/{root}', undefined, '409 last_admin'],
  ['AZ-04: disable the last admin', 'root POST /users/{root}/disable', undefined, '409 last_admin'],
  ['AZ-04: demote the last admin', 'root PATCH /users/{root}', { roles: ['user'] }, '409 last_admin'],
]

const invalid: Refused[] = [
  ['PWD-13: an address again', 'root POST /users', made({ email: 'ＡＮＮ@example.COM' }), '409 email_taken'],
  ['no address', 'root POST /users', { password: newcomer.password }, '422 invalid_request email'],
  ['a bad address', 'root POST /users', made({ email: 'new example.com' }), '422 email_invalid email'],
  [
    'PWD-13: a hidden mark',
    'root POST /users',
    made({ email: 'n\u200bew@x.org' }),
    '422 email_invalid email',
  ],
  [
    'PWD-01: 14 characters',
    'root POST /users',
    made({ password: 'x'.repeat(14) }),
    '422 password_unacceptable password',
  ],
  [
    'PWD-02: 257 characters',
    'root POST /users',
    made({ password: 'x'.repeat(257) }),
    '422 password_unacceptable password',
  ],
  [
    'PWD-05: the address',
    'root POST /users',
    made({ password: 'x new@example.com x' }),
    '422 password_unacceptable password',
  ],
  ['a hash', 'root POST /users', made({ passwordHash: 'x' }), '422 invalid_request passwordHash'],
  ['a bad role', 'root POST /users', made({ roles: ['Admin'] }), '422 invalid_request roles/0'],
  ['a role twice', 'root PATCH /users/{bob}', { roles: ['user', 'user'] }, '422 roles_invalid roles'],
  ['null for roles', 'root PATCH /users/{bob}', { roles: null }, '422 invalid_request roles'],
  ['a new address', 'root PATCH /users/{bob}', { email: 'eve@example.com' }, '422 invalid_request email'],
  ['a status', 'root PATCH /users/{bob}', { status: 'disabled' }, '422 invalid_request status'],
  ['an empty name', 'ann PATCH /users/me', { displayName: '' }, '422 invalid_request displayName'],
  ['two lines', 'ann PATCH /users/me', { displayName: 'a\nb' }, '422 invalid_request displayName'],
  ['half a character', 'ann PATCH /users/me', { displayName: '\ud800' }, '422 invalid_request displayName'],
  ['a list for a body', 'ann PATCH /users/me', [], '422 invalid_request'],
  ['no body', 'ann PATCH /users/me', undefined, '422 invalid_request'],
  ['a ghost', 'root GET /users/{ghost}', undefined, '404 user_not_found'],
  ['a ghost', 'root PATCH /users/{ghost}', {}, '404 user_not_found'],
  ['a ghost', 'root DELETE /users/{ghost}', undefined, '404 user_not_found'],
  ['a ghost', 'root POST /users/{ghost}/disable', undefined, '404 user_not_found'],
  ['a ghost', 'root POST /users/{ghost}/enable', undefined, '404 user_not_found'],
  ['HTTP-14: SQL', "root GET /users/'%20OR%201=1--", undefined, '404 user_not_found'],
  ['HTTP-03: half an escape', 'root DELETE /users/%ff', undefined, '404 user_not_found'],
  ['AUT-10: a path in an id', 'root GET /users/..%2f..%2flivez', undefined, '404 user_not_found'],
  ['"me" where an id belongs', 'root POST /users/me/disable', undefined, '404 user_not_found'],
  ['a limit of 0', 'root GET /users?limit=0', undefined, '422 invalid_request'],
  ['a limit of 201', 'root GET /users?limit=201', undefined, '422 invalid_request'],
  ['a limit that is none', 'root GET /users?limit=many', undefined, '422 invalid_request limit'],
  ['a status that is none', 'root GET /users?status=deleted', undefined, '422 invalid_request status'],
  ['an address that is none', 'root GET /users?email=%25', undefined, '422 email_invalid email'],
  ['an unknown filter', 'root GET /users?role=admin', undefined, '422 invalid_request role'],
  ['an empty cursor', 'root GET /users?cursor=', undefined, '422 cursor_invalid cursor'],
  ['a made-up cursor', 'root GET /users?cursor=bm9uc2Vuc2U', undefined, '422 cursor_invalid cursor'],
  ['an endless cursor', `root GET /users?cursor=${'a'.repeat(300)}`, undefined, '422 invalid_request cursor'],
]

describe('what is refused changes nothing, and no value of the request is told', () => {
  const values = [
    ...secrets,
    'eve@',
    'bob@',
    'xxxx',
    '"Admin"',
    'deleted',
    'bm9u',
    'aaaa',
    '"disabled"',
    'OR 1=1',
  ]
  test.each([...forbidden, ...invalid])('%s: %s', async (_, request, body, outcome) => {
    const before = kept()
    expectAnswer(await send(request, sent(body)), { ...contractOf(outcome), lacks: values })
    expect(kept()).toEqual(before)
  })

  test('AZ-01: a user can not tell another user from a ghost, whatever they try', async () => {
    for (const request of ['GET /users/ID', 'DELETE /users/ID', 'POST /users/ID/disable']) {
      const seen = await Promise.all(
        ['{bob}', '{ghost}', 'nonsense'].map(async id => {
          const { status, text, headers } = await send(`ann ${request.replace('ID', id)}`)
          return `${status} ${text.replaceAll(headers.get('x-request-id') ?? '', '')}`
        }),
      )
      expect(new Set(seen).size).toBe(1)
    }
  })
})

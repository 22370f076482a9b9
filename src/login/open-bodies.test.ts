import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { type Ask, type Contract, expectAnswer } from '../lib/test-http.ts'
import { createTestLogin, password, type TestLogin } from './test-login.ts'

/** What no answer and no line of the log may hold. */
const secrets = [password, 'argon2', /hash"/i, /refresh_?key/i]

let login: TestLogin
beforeEach(async () => {
  login = createTestLogin()
  await login.addUser('ann@example.com')
})
afterEach(() => {
  expect(login.lines.join()).not.toContain(password)
  expect(login.lines.join()).not.toMatch(/lkr_|eyJ|argon2/)
  login.database.close()
})

const post = (path: string, body: unknown, options: Ask = {}) =>
  login.send('POST', path, { body, ...options })

// What is open to anyone gets anything.
describe('bodies of the open routes', () => {
  const good = { email: 'ann@example.com', password }
  const table: [string, string, Ask, Contract][] = [
    [
      'unknown fields, by name',
      '/auth/login',
      { body: { ...good, remember: true, admin: 1 } },
      { status: 422, code: 'invalid_request', fields: ['remember', 'admin'] },
    ],
    [
      'unknown fields, by name',
      '/auth/refresh',
      { body: { refresh_token: 'x', scope: 'local' } },
      { status: 422, code: 'invalid_request', fields: ['scope'] },
    ],
    [
      'unknown fields, by name',
      '/auth/logout',
      { body: { refresh_token: 'x', all: true } },
      { status: 422, code: 'invalid_request', fields: ['all'] },
    ],
    [
      'missing fields, by name',
      '/auth/login',
      { body: {} },
      { status: 422, code: 'invalid_request', fields: ['email', 'password'] },
    ],
    [
      'fields of another type',
      '/auth/login',
      { body: { email: ['ann@example.com'], password: { $ne: '' } } },
      { status: 422, code: 'invalid_request', fields: ['email', 'password'], lacks: ['$ne', 'ann@'] },
    ],
    [
      'an empty password',
      '/auth/login',
      { body: { ...good, password: '' } },
      { status: 422, code: 'invalid_request', fields: ['password'] },
    ],
    [
      'a megabyte of password, before hashing',
      '/auth/login',
      { body: { ...good, password: 'x'.repeat(1_025) } },
      { status: 422, code: 'invalid_request', fields: ['password'], lacks: ['xxx'] },
    ],
    [
      'a scope that is none',
      '/auth/logout',
      { body: { refresh_token: 'x', scope: 'all' } },
      { status: 422, code: 'invalid_request', fields: ['scope'], lacks: ['"all"'] },
    ],
    ['null', '/auth/login', { raw: 'null' }, { status: 422, code: 'invalid_request', fields: ['body'] }],
    ['a list', '/auth/login', { raw: '[]' }, { status: 422, code: 'invalid_request' }],
    ['text', '/auth/refresh', { raw: '"lkr_x"' }, { status: 422, code: 'invalid_request', lacks: ['lkr_'] }],
    ['nothing', '/auth/login', {}, { status: 422, code: 'invalid_request' }],
    [
      'HTTP-04: a prototype',
      '/auth/login',
      { raw: JSON.stringify(good).replace('{', '{"__proto__":{"admin":true},') },
      { status: 422, code: 'invalid_request', fields: ['__proto__'] },
    ],
    [
      'what is not JSON',
      '/auth/login',
      { raw: '{"email":"ann@example.com"' },
      { status: 400, code: 'malformed_body', lacks: ['ann@'] },
    ],
    [
      'what is not UTF-8',
      '/auth/login',
      { raw: new Uint8Array([0x22, 0xff, 0x22]) },
      { status: 400, code: 'malformed_body' },
    ],
    [
      '200,000 brackets',
      '/auth/refresh',
      { raw: '['.repeat(60_000) },
      { status: 400, code: 'malformed_body' },
    ],
    [
      'more than 64 KiB',
      '/auth/setup',
      { raw: `"${'x'.repeat(65_536)}"` },
      { status: 413, code: 'body_too_large', lacks: ['xxx'] },
    ],
    [
      'a form',
      '/auth/login',
      { raw: 'email=a&password=b', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      { status: 415, code: 'unsupported_media_type' },
    ],
    [
      'another charset',
      '/auth/logout',
      { raw: '{}', headers: { 'content-type': 'application/json; charset=utf-16' } },
      { status: 415, code: 'unsupported_media_type' },
    ],
    [
      'a compressed one',
      '/auth/setup',
      { raw: '{}', headers: { 'content-encoding': 'gzip' } },
      { status: 415, code: 'unsupported_media_type' },
    ],
  ]
  test.each(table)('HTTP-02, HTTP-05: %s at %s: refused, no value told', async (_, path, sent, contract) => {
    expectAnswer(await login.send('POST', path, sent), {
      ...contract,
      lacks: [...secrets, ...(contract.lacks ?? [])],
    })
  })

  test('AUT-06: credentials in headers or in the query change nothing here', async () => {
    const headers = { authorization: 'Bearer nonsense', 'x-api-key': 'nonsense' }
    expectAnswer(await post('/auth/login', good, { headers }), { status: 200 })
    expectAnswer(
      await login.send('POST', `/auth/login?email=ann@example.com&password=${encodeURIComponent(password)}`),
      {
        status: 422,
        code: 'invalid_request',
      },
    )
  })
})

import { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import { createSigner } from '../lib/jwt/signer.ts'
import { generateKeyPair } from '../lib/jwt/test-tokens.ts'
import { ask } from '../lib/test-http.ts'
import { internalsOf } from './internals.ts'
import { apikey } from './plugin.ts'
import { claims, common, host, roles, shared } from './test-plugin.ts'
import { testAuth } from './testing.ts'
import { formatKey, generateKey } from './token.ts'

describe('the answers of the plugin', () => {
  const { auth, as, key } = testAuth({ roles })
  const plain = host(auth)
  const full = host(auth, true)

  test.each([
    ['AUT-03: nothing', {}, 400, 'credential_missing', 'Bearer, ApiKey header="X-API-Key"'],
    ['AUT-03: Basic', { authorization: 'Basic YTpi' }, 400, 'credential_unsupported', /^Bearer, ApiKey/],
    [
      'AUT-06: two',
      { authorization: 'Bearer x', 'x-api-key': 'lk_x' },
      400,
      'credential_ambiguous',
      /^Bearer/,
    ],
    [
      'AUT-01: a bad token',
      { authorization: 'Bearer x' },
      401,
      'token_invalid',
      'Bearer error="invalid_token"',
    ],
    ['AUT-02: a bad key', { 'x-api-key': 'lk_x' }, 403, 'api_key_invalid', null],
    ['AUT-02: a bad key after Bearer', { authorization: 'Bearer lk_x' }, 403, 'api_key_invalid', null],
  ] as const)(
    '%s gets its status, code and challenge, in any app',
    async (_, headers, status, code, challenge) => {
      for (const { app, ran } of [plain, full]) {
        for (const method of ['GET', 'POST']) {
          const answer = await ask(app, method, '/notes', { headers })
          expect(answer.status).toBe(status)
          expect(answer.json()).toMatchObject({ code, status, type: `urn:latchkey:problem:${code}` })
          expect(answer.headers.get('content-type')).toBe('application/problem+json')
          const given = answer.headers.get('www-authenticate')
          if (challenge instanceof RegExp) expect(given).toMatch(challenge)
          else expect(given).toBe(challenge)
        }
        expect(ran).toEqual([])
      }
    },
  )

  test('AUT-02: malformed, unknown and wrong keys have one body', async () => {
    const good = (await key([]))['x-api-key'] ?? ''
    const bodies = new Set<string>()
    for (const text of ['lk_x', formatKey(generateKey('lk')), `${good}0`, 'anything']) {
      const headers = { 'x-api-key': text, 'x-request-id': 'same' }
      bodies.add((await ask(plain.app, 'GET', '/notes', { headers })).text)
    }
    expect(bodies.size).toBe(1)
  })

  test('AUT-03: where keys will not do the challenge does not name them', async () => {
    const answer = await ask(plain.app, 'GET', '/people')
    expect(answer.headers.get('www-authenticate')).toBe('Bearer')
    expect((await ask(plain.app, 'GET', '/people', { headers: await key([]) })).json()).toMatchObject({
      code: 'jwt_required',
    })
  })

  test('AUT-01: too little permission is a 403 that tells a token of scopes', async () => {
    const token = await ask(plain.app, 'GET', '/notes', { headers: await as('ghost') })
    expect(token.headers.get('www-authenticate')).toBe(
      'Bearer error="insufficient_scope", scope="notes:read"',
    )
    const bare = await ask(plain.app, 'GET', '/notes', { headers: await key([]) })
    expect(bare.headers.get('www-authenticate')).toBeNull()
    for (const answer of [token, bare]) {
      expect(answer.status).toBe(403)
      expect(answer.json()).toMatchObject({ code: 'insufficient_permission', detail: 'needs notes:read' })
    }
  })

  test('who may is let in', async () => {
    for (const headers of [await as('user'), await as(['ghost', 'admin']), await key(['notes:read'])]) {
      expect((await ask(plain.app, 'GET', '/notes', { headers })).text).toBe('ok')
      expect((await ask(full.app, 'POST', '/notes', { headers })).text).toBe('ok')
    }
  })
})

describe('what can not be judged', () => {
  test('TOK-19: with no key of the issuer it is a 503, with a body or without, in any app', async () => {
    const { privateKey } = await generateKeyPair()
    const token = await createSigner({ algorithm: 'ES256', kid: 'k', privateKey }).sign(claims('i'))
    const down = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch: () => new Response(null, { status: 500 }),
    })
    for (const withProblems of [false, true]) {
      const auth = apikey({
        ...common,
        login: { url: `http://127.0.0.1:${down.port}` },
        database: ':memory:',
      })
      const made = host(auth, withProblems)
      for (const [method, body] of [['GET'], ['POST'], ['POST', {}]] as const) {
        const answer = await ask(made.app, method, '/notes', {
          headers: { authorization: `Bearer ${token}` },
          body,
        })
        expect(answer.status).toBe(503)
        expect(answer.json()).toMatchObject({ code: 'unavailable' })
        expect(answer.headers.get('retry-after')).toBe('1')
      }
      expect(made.ran).toEqual([])
      expect(await internalsOf(auth).health()).toEqual({ status: 'unavailable', feedLagSeconds: null })
    }
    await down.stop(true)
  })

  test('AUT-09: with no table of keys it is a 5xx without the words of the database', async () => {
    for (const withProblems of [false, true]) {
      const database = new Database(':memory:')
      const made = host(apikey({ ...shared, database }), withProblems)
      const headers = { 'x-api-key': formatKey(generateKey('lk')) }
      expect((await ask(made.app, 'GET', '/notes', { headers })).status).toBe(403)
      database.run('DROP TABLE api_keys')
      for (const method of ['GET', 'POST']) {
        const answer = await ask(made.app, method, '/notes', { headers })
        expect(answer.status).toBe(500)
        expect(answer.json()).toMatchObject({ code: 'internal_error' })
        expect(answer.text).not.toContain('api_keys')
      }
      expect(made.ran).toEqual([])
      database.close()
    }
  })
})

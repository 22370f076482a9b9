import { afterEach, beforeEach, describe, expect, spyOn, test } from 'bun:test'
import fc from 'fast-check'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { bySystem } from '../lib/audit.ts'
import { createVerifier } from '../lib/jwt/verifier.ts'
import { createSecretKeys } from './signing-keys.ts'
import { audience, createTestLogin, issuer, secret as sharedSecret, type TestLogin } from './test-login.ts'
import {
  addService,
  basic,
  expectOAuthError,
  type Pairs,
  type Service,
  sendForm,
  tokenOf,
} from './test-oauth.ts'

let login: TestLogin
let service: Service
beforeEach(async () => {
  login = createTestLogin()
  service = await addService(login, ['changes:read', 'documents:read', 'documents:write'])
})
afterEach(() => login.database.close())

const grant = { grant_type: 'client_credentials' }
const ask = (form: Pairs | string, headers: Record<string, string> = service.headers) =>
  sendForm(login, '/oauth/token', form, headers)

describe('after all tokens of a client were ended', () => {
  const iatOf = (token: string) => decodeJwt(token).iat ?? 0
  const snapshot = async (token: string): Promise<number> =>
    (await login.send('GET', '/changes/snapshot', { headers: { authorization: `Bearer ${token}` } })).status

  test('the next is given out when it can be good, which is when the next second begins', async () => {
    login.time.now += 950
    const before = await tokenOf(login, service)
    await login.clients.disable(service.id, bySystem)
    await login.clients.enable(service.id, bySystem)
    const { now } = login.time
    // From here on the clock goes by itself.
    const start = performance.now()
    const ticking = setInterval(() => {
      login.time.now = now + Math.floor(performance.now() - start)
    }, 1)
    try {
      const token = await tokenOf(login, service)
      expect(iatOf(token)).toBe(iatOf(before) + 1)
      expect([await snapshot(before), await snapshot(token)]).toEqual([401, 200])
    } finally {
      clearInterval(ticking)
    }
  })

  test('none is given out that would be refused, where the clock was set back meanwhile', async () => {
    await login.clients.disable(service.id, bySystem)
    await login.clients.enable(service.id, bySystem)
    login.time.now -= 60_000
    expectOAuthError(await ask(grant), 503, 'temporarily_unavailable')
    // Which an administrator mends by ending them once more.
    const { secret } = await login.registry.rotate(service.id, 0, bySystem)
    login.time.now += 1_000
    expect(await snapshot(await tokenOf(login, { headers: basic(service.id, secret) }))).toBe(200)
  })

  test.each(['rotate', 'disable', 'remove'] as const)(
    'one that was being made while they were (%s) is not given out',
    async how => {
      const find = login.clients.find
      const meanwhile = spyOn(login.clients, 'find').mockImplementation(async id => {
        meanwhile.mockRestore()
        if (how === 'rotate') await login.registry.rotate(service.id, 0, bySystem)
        else await login.clients[how](service.id, bySystem)
        return find(id)
      })
      expectOAuthError(await ask(grant), 401, 'invalid_client')
    },
  )
})

describe('RFC 6749 section 4.4.3: the answer to a client that signs in', () => {
  test('has exactly these members, no refresh token, and is not kept by anyone (section 5.1)', async () => {
    const answer = await ask(grant)
    expect(answer.status).toBe(200)
    expect(answer.json()).toEqual({
      access_token: expect.any(String),
      token_type: 'Bearer',
      expires_in: 300,
      scope: 'changes:read documents:read documents:write',
    })
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(answer.headers.get('pragma')).toBe('no-cache')
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/)
  })

  test('holds an access token as of RFC 9068: the client is the subject, and there is no session', async () => {
    const token = await tokenOf(login, service)
    expect(decodeProtectedHeader(token)).toEqual({ alg: 'HS256', typ: 'at+jwt' })
    const { iat, jti, ...claims } = decodeJwt(token)
    expect(claims).toEqual({
      iss: issuer,
      sub: service.id,
      client_id: service.id,
      aud: [issuer],
      exp: Math.floor(login.time.now / 1_000) + 300,
      scope: 'changes:read documents:read documents:write',
    })
    expect(jti).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('is for this service alone unless more are asked for, and then for those and no other', async () => {
    const judge = (token: string, by: string) =>
      createVerifier({
        keys: createSecretKeys(sharedSecret).source,
        issuer,
        audience: by,
        clock: login.time.clock,
      }).verify(token)
    const plain = await tokenOf(login, service)
    const asked = await tokenOf(login, service, { ...grant, audience })
    expect(await judge(plain, audience)).toEqual({ ok: false, code: 'token_invalid' })
    expect((await judge(plain, issuer)).ok).toBe(true)
    expect((await judge(asked, audience)).ok).toBe(true)
    expect((await judge(asked, issuer)).ok).toBe(true)
    expect(await judge(asked, 'invoices')).toEqual({ ok: false, code: 'token_invalid' })
  })

  test('an audience may be this service, and come again, and makes no difference then', async () => {
    const form = [
      ...Object.entries(grant),
      ['audience', issuer],
      ['audience', audience],
      ['audience', audience],
      ['audience', ''],
    ] satisfies [string, string][]
    expect(decodeJwt(await tokenOf(login, service, form)).aud).toEqual([issuer, audience])
  })

  test('an audience that is none of this service’s is invalid_target (RFC 8693 section 2.2.2)', async () => {
    expectOAuthError(await ask({ ...grant, audience: 'invoices' }), 400, 'invalid_target', ['invoices'])
    expectOAuthError(
      await ask(`grant_type=client_credentials&audience=${audience}&audience=x`),
      400,
      'invalid_target',
    )
  })
})

describe('RFC 6749 section 3.3: scopes', () => {
  test.each([
    ['documents:read', 'documents:read'],
    ['documents:write changes:read', 'changes:read documents:write'],
    ['documents:read documents:read', 'documents:read'],
    ['', 'changes:read documents:read documents:write'],
  ])('asked for %p, a client gets %p, and is told so', async (asked, granted) => {
    const answer = await ask({ ...grant, scope: asked })
    expect(answer.json()).toMatchObject({ scope: granted })
    expect(decodeJwt(await tokenOf(login, service, { ...grant, scope: asked })).scope).toBe(granted)
  })

  test.each([
    'users:manage',
    'documents:read users:manage',
    'documents:*',
    '*:*',
    ' ',
    'documents:read  changes:read',
    'DOCUMENTS:READ',
    'documents:read\tchanges:read',
  ])('more than the client may have, or no list of scopes, is invalid_scope: %p', async scope =>
    expectOAuthError(await ask({ ...grant, scope }), 400, 'invalid_scope', ['users']),
  )

  test('a client without scopes gets a token without any', async () => {
    const bare = await addService(login, [])
    expect((await ask(grant, bare.headers)).json()).not.toHaveProperty('scope')
    expect(decodeJwt(await tokenOf(login, bare))).not.toHaveProperty('scope')
  })
})

describe('RFC 6749 section 2.3.1: how a client authenticates', () => {
  const inBody = (id = service.id, secret = service.secret): Record<string, string> => ({
    ...grant,
    client_id: id,
    client_secret: secret,
  })

  test('by Basic, or by parameters of the body', async () => {
    expect((await ask(grant)).status).toBe(200)
    expect((await ask(inBody(), {})).status).toBe(200)
    expect((await ask({ ...grant, client_id: service.id })).status).toBe(200)
  })

  test.each(['basic', 'BASIC', 'bAsIc'])('the scheme compares without case: %s', async scheme => {
    const authorization = (service.headers.authorization ?? '').replace('Basic', scheme)
    expect((await ask(grant, { authorization })).status).toBe(200)
  })

  test('a secret of any characters, form-encoded before it becomes Basic', async () => {
    const odd = 'p%41ss +:&=ü€😀"\\ of more than 32 characters'
    await login.registry.ensure('cli_odd', odd)
    expect((await ask(grant, basic('cli_odd', odd))).status).toBe(200)
    expect((await ask(inBody('cli_odd', odd), {})).status).toBe(200)
    const raw = { authorization: `Basic ${Buffer.from(`cli_odd:${odd}`).toString('base64')}` }
    expectOAuthError(await ask(grant, raw), 401, 'invalid_client')
  })

  test('by both at once is invalid_request, also where both are right', async () => {
    expectOAuthError(await ask(inBody()), 400, 'invalid_request', [service.secret])
    const other = await addService(login)
    expectOAuthError(await ask({ ...grant, client_id: other.id }), 400, 'invalid_request')
    const twice = `${service.headers.authorization}, ${service.headers.authorization}`
    expectOAuthError(await ask(grant, { authorization: twice }), 400, 'invalid_request')
  })

  test('a secret in the URL is none', async () => {
    const query = `?client_id=${service.id}&client_secret=${service.secret}&grant_type=client_credentials`
    const answer = await sendForm(login, `/oauth/token${query}`, grant)
    expectOAuthError(answer, 401, 'invalid_client', [service.secret])
    expect(login.lines.join()).not.toContain(service.secret)
  })

  test('unknown, wrong, disabled, deleted, expired: one answer, byte for byte (section 5.2)', async () => {
    const [disabled, deleted, rotated] = [
      await addService(login),
      await addService(login),
      await addService(login),
    ]
    await login.clients.disable(disabled.id, bySystem)
    await login.clients.remove(deleted.id, bySystem)
    await login.registry.rotate(rotated.id, 0, bySystem)
    const answers = await Promise.all(
      [
        basic(service.id, 'wrong'),
        basic(service.id, ''),
        basic(service.id, `${service.secret}x`),
        basic(service.id, 'x'.repeat(257)),
        basic('cli_unknown', service.secret),
        basic('', service.secret),
        basic('usr_1', service.secret),
        disabled.headers,
        deleted.headers,
        rotated.headers,
      ].map(headers => ask(grant, headers)),
    )
    for (const answer of answers) expectOAuthError(answer, 401, 'invalid_client')
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
  })

  test('unknown, wrong, disabled, too long and right cost the same reads and the same work', async () => {
    const disabled = await addService(login)
    await login.clients.disable(disabled.id, bySystem)
    const verify = spyOn(Bun.password, 'verify')
    const find = spyOn(login.clients, 'findCredential')
    try {
      const counts: number[][] = []
      for (const headers of [
        service.headers,
        disabled.headers,
        basic(service.id, 'wrong'),
        basic('cli_unknown', 'wrong'),
        basic('no id at all', 'wrong'),
        basic(service.id, 'x'.repeat(2_000)),
      ]) {
        verify.mockClear()
        find.mockClear()
        await ask(grant, headers)
        // A hash of nothing would be a shorter one.
        const texts = verify.mock.calls.filter(([text]) => String(text).length > 0)
        counts.push([find.mock.calls.length, verify.mock.calls.length, texts.length])
      }
      expect(counts).toEqual(Array.from({ length: 6 }, () => [1, 2, 2]))
    } finally {
      verify.mockRestore()
      find.mockRestore()
    }
  })

  test.each([
    ['nothing', {}],
    ['an empty header', { authorization: '' }],
    ['Bearer', { authorization: 'Bearer abc' }],
    ['no base64', { authorization: 'Basic ***' }],
    ['base64url', { authorization: 'Basic YTpi-_' }],
    ['no colon', { authorization: `Basic ${Buffer.from('cli_x').toString('base64')}` }],
    ['no UTF-8', { authorization: `Basic ${Buffer.from([0xff, 0x3a, 0xff]).toString('base64')}` }],
    ['a broken escape', { authorization: `Basic ${Buffer.from('cli_x:%zz').toString('base64')}` }],
    ['too much', { authorization: `Basic ${'A'.repeat(8_200)}` }],
  ])('%s authenticates nobody: 401, and how it is done', async (_, headers) => {
    expectOAuthError(await ask(grant, headers), 401, 'invalid_client')
  })

  test('an id without a secret is no authentication, a secret without an id no request', async () => {
    expectOAuthError(await ask({ ...grant, client_id: service.id }, {}), 401, 'invalid_client')
    expectOAuthError(await ask({ ...grant, client_secret: 'x' }, {}), 400, 'invalid_request')
  })

  test('both secrets are good while a rotation lasts, and then the new one alone', async () => {
    const { secret } = await login.registry.rotate(service.id, 60, bySystem)
    login.time.now += 59_999
    expect((await ask(grant)).status).toBe(200)
    expect((await ask(grant, basic(service.id, secret))).status).toBe(200)
    login.time.now += 1
    expectOAuthError(await ask(grant), 401, 'invalid_client')
    expect((await ask(grant, basic(service.id, secret))).status).toBe(200)
  })
})

describe('RFC 6749 section 5.2: requests that can not be answered', () => {
  test.each([
    'password',
    'authorization_code',
    'refresh_token',
    'implicit',
    'CLIENT_CREDENTIALS',
    'urn:ietf:params:oauth:grant-type:token-exchange',
  ])('SES-09: grant_type %s is unsupported_grant_type, whoever asks', async grantType => {
    const form = { grant_type: grantType, username: 'ann@example.com', password: 'a secret of hers' }
    for (const headers of [service.headers, {}]) {
      expectOAuthError(await ask(form, headers), 400, 'unsupported_grant_type', ['secret of hers'])
    }
  })

  test('no grant_type, or one without a value, is invalid_request (section 3.2)', async () => {
    for (const form of ['', 'grant_type=', 'scope=changes%3Aread', '&&']) {
      expectOAuthError(await ask(form), 400, 'invalid_request')
    }
  })

  test.each(['grant_type=client_credentials', 'scope=changes:read', 'client_id=x', 'client_secret=x'])(
    'a parameter that comes twice is invalid_request (section 3.2): %s',
    async pair => {
      const headers = pair.startsWith('client') ? {} : service.headers
      expectOAuthError(
        await ask(`grant_type=client_credentials&${pair}&${pair}`, headers),
        400,
        'invalid_request',
      )
    },
  )

  test('parameters that are not known make no difference (section 3.2)', async () => {
    const form = `grant_type=client_credentials&resource=https%3A%2F%2Fx&resource=y&__proto__=z&constructor=`
    expect((await ask(form)).status).toBe(200)
  })

  test.each<[string, Record<string, string>, string | Uint8Array<ArrayBuffer>, number]>([
    ['JSON', { 'content-type': 'application/json' }, '{"grant_type":"client_credentials"}', 415],
    ['no media type', { 'content-type': '' }, 'grant_type=client_credentials', 415],
    ['multipart', { 'content-type': 'multipart/form-data; boundary=x' }, '--x--', 415],
    ['another charset', { 'content-type': 'application/x-www-form-urlencoded; charset=latin1' }, 'a=b', 415],
    ['a compressed body', { 'content-encoding': 'gzip' }, 'a=b', 415],
    ['more than 16 KiB', {}, `grant_type=client_credentials&x=${'x'.repeat(16_384)}`, 413],
    ['more than 64 parameters', {}, 'a=b&'.repeat(64), 400],
    ['a broken escape', {}, 'grant_type=client_credentials&x=%zz', 400],
    ['bytes that are no UTF-8', {}, new Uint8Array([0x61, 0x3d, 0xff]), 400],
    ['escapes that are no UTF-8', {}, 'a=%ff', 400],
  ])('a body that is no form is invalid_request: %s', async (_, headers, raw, status) => {
    const answer = await login.send('POST', '/oauth/token', {
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...service.headers, ...headers },
      raw,
    })
    expectOAuthError(answer, status, 'invalid_request', [service.secret])
  })

  test('a form at the limits is taken, with its media type in any case', async () => {
    const start = `${'a=b&'.repeat(62)}grant_type=client_credentials&x=`
    const answer = await ask(`${start}${'x'.repeat(16_384 - start.length)}`, {
      ...service.headers,
      'content-type': 'APPLICATION/X-WWW-FORM-URLENCODED; Charset=UTF-8',
    })
    expect(answer.status).toBe(200)
  })

  test('whatever is sent, the answer is one of RFC 6749, and nobody gets a token by chance', async () => {
    const odd = fc.oneof(
      fc.string(),
      fc.string({ unit: 'binary' }),
      fc.constantFrom(
        '',
        'grant_type',
        'client_credentials',
        'client_id',
        'client_secret',
        'scope',
        'audience',
        '%',
        '%00',
        '+',
        '\u0000',
        service.id,
      ),
    )
    const body = fc.oneof(
      odd,
      fc
        .array(fc.tuple(odd, odd), { maxLength: 8 })
        .map(pairs => pairs.map(pair => pair.join('=')).join('&')),
    )
    const header = fc.option(
      fc.oneof(
        fc.base64String(),
        odd.map(text => Buffer.from(text.toWellFormed()).toString('base64')),
      ),
      { nil: undefined },
    )
    await fc.assert(
      fc.asyncProperty(body, header, async (raw, credentials) => {
        const answer = await ask(
          raw.toWellFormed(),
          credentials === undefined ? {} : { authorization: `Basic ${credentials}` },
        )
        expect(answer.status).toBeOneOf([400, 401])
        expect(answer.json()).toEqual({ error: expect.any(String), error_description: expect.any(String) })
      }),
      { numRuns: 300 },
    )
    expect(login.lines.filter(line => line.includes('unexpected'))).toEqual([])
  })

  test('a fault of ours is server_error, with nothing of it in the answer', async () => {
    login.database.run('ALTER TABLE client_secrets RENAME TO gone')
    const answer = await ask(grant)
    expectOAuthError(answer, 500, 'server_error', ['gone', 'client_secrets'])
    expect(login.lines.join()).toContain('unexpected error')
    expect(login.lines.join()).not.toContain(service.secret)
  })
})

test('neither secret nor token gets into the log or the audit', async () => {
  const token = await tokenOf(login, service)
  await ask(grant, basic(service.id, 'a wrong secret of somebody'))
  const written = login.lines.join() + JSON.stringify(login.audit())
  for (const text of [service.secret, token, 'wrong secret', service.headers.authorization ?? '!']) {
    expect(written).not.toContain(text)
  }
})

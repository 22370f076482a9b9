import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { randomBytes } from 'node:crypto'
import { exportSPKI, importJWK } from 'jose'
import { createForge, type Forge, type Forgery } from '../support/forge.ts'
import { type Answer, call } from '../support/http.ts'
import { listOf, member, parseJson, textOf } from '../support/json.ts'
import { expectProblem } from '../support/problem.ts'
import { addPerson, type Person, type Site, signIn, startSite } from '../support/site.ts'

const challenge = 'Bearer error="invalid_token"'
const claimsOf = (token: string): unknown =>
  parseJson(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())

const expectRefused = (answer: Answer, code = 'token_invalid'): void => {
  expectProblem(answer, 401, code)
  expect(answer.headers.get('www-authenticate')).toBe(challenge)
}

describe('tokens of a shared secret', () => {
  const secret = randomBytes(32).toString('base64url')
  let site: Site
  let root: Person
  let ann: Person
  let forge: Forge

  const atLogin = (token: string): Promise<Answer> => call(`${site.login.url}/users/me`, { token })
  const atService = (token: string): Promise<Answer> => call(`${site.service.url}/whoami`, { token })

  beforeAll(async () => {
    site = await startSite({ mode: 'HS256', secret })
    const tokens = await signIn(site, site.admin)
    root = { ...site.admin, ...tokens, id: textOf(claimsOf(tokens.accessToken), 'sub') }
    ann = await addPerson(site, root.accessToken, { name: 'ann' })
    const sessionId = textOf(claimsOf(ann.accessToken), 'sid')
    forge = createForge(site, secret, { id: ann.id, sessionId })
  })
  afterAll(() => site.stage.end())

  test('one that login would have signed is let in, so that what follows is refused for its own fault', async () => {
    const token = forge()
    expect([(await atLogin(token)).status, (await atService(token)).status]).toEqual([200, 200])
  })

  const now = (): number => Math.floor(Date.now() / 1_000)
  const faults: readonly (readonly [string, () => Forgery])[] = [
    ['signed with another secret', () => ({ secret: randomBytes(32).toString('base64url') })],
    ['signed by HS512 with the right secret (TOK-02)', () => ({ algorithm: 'HS512' })],
    ['signed by HS384 with the right secret (TOK-02)', () => ({ algorithm: 'HS384' })],
    ['of type JWT (TOK-06)', () => ({ header: { typ: 'JWT' } })],
    ['of no type (TOK-06)', () => ({ header: { typ: undefined } })],
    ['of a type that is not text', () => ({ header: { typ: ['at+jwt'] } })],
    ['that names a key (TOK-04)', () => ({ header: { kid: 'x' } })],
    ['that names __proto__ as key (TOK-04)', () => ({ header: { kid: '__proto__' } })],
    ['that names a number as key (TOK-04)', () => ({ header: { kid: 1 } })],
    ['that names null as key (TOK-04)', () => ({ header: { kid: null } })],
    ['that names a key of 4 kB (TOK-04)', () => ({ header: { kid: 'k'.repeat(4_096) } })],
    ['of another issuer (TOK-09)', () => ({ claims: { iss: 'https://login.example' } })],
    ['of the issuer with a slash (TOK-09)', () => ({ claims: { iss: `${site.login.url}/` } })],
    ['of a list of issuers (TOK-09)', () => ({ claims: { iss: [site.login.url] } })],
    ['without issuer (TOK-09)', () => ({ claims: { iss: undefined } })],
    ['for another service (TOK-10)', () => ({ claims: { aud: ['service-b'] } })],
    ['for a service of a longer name (TOK-10)', () => ({ claims: { aud: 'service-a-and-more' } })],
    ['for nobody (TOK-10)', () => ({ claims: { aud: [] } })],
    ['without audience (TOK-10)', () => ({ claims: { aud: undefined } })],
    ['that never expires (TOK-08)', () => ({ claims: { exp: undefined } })],
    ['that expires at a text (TOK-08)', () => ({ claims: { exp: '9999999999' } })],
    ['that is good from tomorrow on (TOK-08)', () => ({ claims: { nbf: now() + 86_400 } })],
    ['that is good from a text on (TOK-08)', () => ({ claims: { nbf: 'now' } })],
    ['issued at a text (TOK-08)', () => ({ claims: { iat: 'now' } })],
    ['without subject (TOK-11)', () => ({ claims: { sub: undefined } })],
    ['of an empty subject (TOK-11)', () => ({ claims: { sub: '' } })],
    ['of a number as subject (TOK-11)', () => ({ claims: { sub: 1 } })],
    ['without id (TOK-07)', () => ({ claims: { jti: undefined } })],
    ['without client (TOK-07)', () => ({ claims: { client_id: undefined } })],
    ['whose roles are a text', () => ({ claims: { roles: 'admin' } })],
    ['whose session is no text', () => ({ claims: { sid: {} } })],
    [
      'of more than 8 KiB (TOK-23)',
      () => ({ claims: { scope: 'x'.repeat(2_000), more: 'y'.repeat(8_000) } }),
    ],
  ]
  test.each(faults)('a token %s is refused by both services', async (_, fault) => {
    const token = forge(fault())
    expectRefused(await atService(token))
    expectRefused(await atLogin(token))
  })

  test('a token that has expired is refused as such, beyond what clocks may differ by (TOK-08, TOK-12)', async () => {
    const token = forge({ claims: { exp: now() - 60 } })
    expectRefused(await atService(token), 'token_expired')
    expectRefused(await atLogin(token), 'token_expired')
  })

  test('a token for service-a alone is refused by login, and one for login alone by service-a (TOK-10)', async () => {
    const forService = forge({ claims: { aud: 'service-a' } })
    expect((await atService(forService)).status).toBe(200)
    expectRefused(await atLogin(forService))
    const forLogin = forge({ claims: { aud: [site.login.url] } })
    expect((await atLogin(forLogin)).status).toBe(200)
    expectRefused(await atService(forLogin))
  })

  test('login takes the session and the roles from its database, and not from who can sign', async () => {
    expectRefused(await atLogin(forge({ claims: { sid: undefined } })))
    expectRefused(await atLogin(forge({ claims: { sid: `ses_${'0'.repeat(32)}` } })))
    expectRefused(await atLogin(forge({ claims: { sub: root.id } })))
    const promoted = forge({ claims: { roles: ['admin'] } })
    expectProblem(await call(`${site.login.url}/users`, { token: promoted }), 403, 'insufficient_permission')
    expectProblem(
      await call(`${site.login.url}/users/${root.id}`, { token: promoted, method: 'DELETE' }),
      403,
      'insufficient_permission',
    )
  })

  test('a token is refused by both services when one character of it differs (TOK-01, TOK-22)', async () => {
    const { accessToken } = ann
    const positions = [...accessToken].flatMap((character, position) => (character === '.' ? [] : [position]))
    const altered = positions
      .filter(position => position % 3 === 0 || position > accessToken.length - 4)
      .map(position => {
        const other = accessToken[position] === 'A' ? 'B' : 'A'
        return `${accessToken.slice(0, position)}${other}${accessToken.slice(position + 1)}`
      })
    for (const token of altered) {
      for (const answer of await Promise.all([atLogin(token), atService(token)])) {
        expectProblem(answer, 401, 'token_invalid')
      }
    }
  })

  test('a token in any other form is refused by both services, and by neither with a fault of its own (TOK-02, TOK-23)', async () => {
    const [header = '', payload = '', signature = ''] = ann.accessToken.split('.')
    const none = (alg: string) => Buffer.from(JSON.stringify({ alg, typ: 'at+jwt' })).toString('base64url')
    const encode = (text: string) => Buffer.from(text).toString('base64url')
    const tokens = [
      ...['none', 'None', 'NONE', ''].flatMap(alg => [
        `${none(alg)}.${payload}.`,
        `${none(alg)}.${payload}.${signature}`,
      ]),
      `${header}.${payload}`,
      `${header}.${payload}.${signature}.`,
      `${header}.${payload}.${signature}.${signature}.${signature}`,
      `.${payload}.${signature}`,
      `${header}..${signature}`,
      `${header}.${payload}.${signature}=`,
      `${header}.${payload}.${signature.replaceAll('-', '+').replaceAll('_', '/')}==`,
      encode(JSON.stringify({ payload, signatures: [{ protected: header, signature }] })),
      JSON.stringify({ payload, protected: header, signature }).replaceAll(',', ';'),
      `${encode('[]')}.${payload}.${signature}`,
      `${encode('null')}.${payload}.${signature}`,
      `${encode('{"alg":"HS256","alg":"none","typ":"at+jwt"}')}.${payload}.${signature}`,
      `${Buffer.from([0xff, 0xfe]).toString('base64url')}.${payload}.${signature}`,
      '..',
      '.',
      'é',
      `${'['.repeat(2_000)}`,
    ]
    for (const token of tokens) {
      for (const answer of await Promise.all([atLogin(token), atService(token)])) expectRefused(answer)
    }
  })

  test('no header of a token makes a service look elsewhere for keys (TOK-03, TOK-05)', async () => {
    const asked: string[] = []
    const elsewhere = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: ({ url }) => {
        asked.push(url)
        return Response.json({ keys: [] })
      },
    })
    const url = `http://127.0.0.1:${elsewhere.port}/keys`
    const jwk = { kty: 'oct', k: Buffer.from('x'.repeat(32)).toString('base64url') }
    const others = { secret: 'x'.repeat(32) }
    try {
      for (const header of [{ jku: url }, { x5u: url }, { jwk }, { jku: url, jwk, kid: 'x' }]) {
        const token = forge({ header, ...others })
        expectRefused(await atService(token))
        expectRefused(await atLogin(token))
      }
      const extensions = [
        { crit: ['exp'], exp: 1 },
        { crit: [] },
        { crit: 'b64' },
        { crit: ['b64'], b64: true },
      ]
      for (const header of extensions) {
        const token = forge({ header })
        expectRefused(await atService(token))
        expectRefused(await atLogin(token))
      }
      expect(asked).toEqual([])
    } finally {
      await elsewhere.stop(true)
    }
  })
})

describe('tokens of a published key', () => {
  let site: Site
  let ann: Person

  beforeAll(async () => {
    site = await startSite({ mode: 'ES256' })
    ann = await addPerson(site, (await signIn(site, site.admin)).accessToken, { name: 'ann' })
  })
  afterAll(() => site.stage.end())

  test('the public key is no secret to sign with, in whatever form it is written (TOK-02)', async () => {
    const published = await call(`${site.login.url}/.well-known/jwks.json`)
    const [jwk] = listOf(published.body, 'keys')
    const kid = textOf(jwk, 'kid')
    const coordinates = { kty: 'EC', crv: 'P-256', x: textOf(jwk, 'x'), y: textOf(jwk, 'y') }
    const imported = await importJWK({ ...coordinates, ext: true }, 'ES256')
    if (imported instanceof Uint8Array) throw new Error('not an EC key')
    const pem = await exportSPKI(imported)
    const sessionId = textOf(claimsOf(ann.accessToken), 'sid')
    for (const secret of [
      pem,
      pem.trim(),
      JSON.stringify(jwk),
      JSON.stringify(coordinates),
      published.text,
      kid,
    ]) {
      const forge = createForge(site, secret, { id: ann.id, sessionId })
      for (const header of [{}, { kid }, { kid: 'unknown' }]) {
        const token = forge({ header })
        for (const url of [`${site.login.url}/users/me`, `${site.service.url}/whoami`]) {
          expectRefused(await call(url, { token }))
        }
      }
    }
  })

  test('a token of another site is refused, though its own key is good there', async () => {
    const other = await startSite({ mode: 'ES256' })
    try {
      const { accessToken: token } = await signIn(other, other.admin)
      expect((await call(`${other.service.url}/whoami`, { token })).status).toBe(200)
      expectRefused(await call(`${site.service.url}/whoami`, { token }))
      expectRefused(await call(`${site.login.url}/users/me`, { token }))
    } finally {
      await other.stage.end()
    }
  })

  test('a token is refused by both services when one character of it differs (TOK-01, TOK-22)', async () => {
    const { accessToken } = ann
    for (const [position, character] of [...accessToken].entries()) {
      if (character === '.' || (position % 11 !== 0 && position < accessToken.length - 3)) continue
      const token = `${accessToken.slice(0, position)}${character === 'A' ? 'B' : 'A'}${accessToken.slice(position + 1)}`
      const answers = [`${site.login.url}/users/me`, `${site.service.url}/whoami`].map(url =>
        call(url, { token }),
      )
      for (const answer of await Promise.all(answers)) expectRefused(answer)
    }
    expect(member((await call(`${site.service.url}/whoami`, { token: accessToken })).body, 'ownerId')).toBe(
      ann.id,
    )
  })
})

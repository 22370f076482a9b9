import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { createTestLogin, issuer, type TestLogin } from './test-login.ts'
import { addService, sendForm, tokenOf } from './test-oauth.ts'

let login: TestLogin
beforeEach(() => {
  login = createTestLogin()
})
afterEach(() => login.database.close())

const path = '/.well-known/oauth-authorization-server'
const Document = Type.Record(Type.String(), Type.Union([Type.String(), Type.Array(Type.String())]))
const read = async () => Value.Parse(Document, (await login.send('GET', path)).json())
const pathOf = (value: unknown): string => {
  if (typeof value !== 'string' || !value.startsWith(issuer))
    throw new Error(`${value} is not below the issuer`)
  return value.slice(issuer.length)
}

describe('RFC 8414: the metadata of the authorization server', () => {
  test('SES-08: names the issuer exactly, and every endpoint below it (sections 2 and 3.3)', async () => {
    const answer = await login.send('GET', path)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/)
    expect(answer.headers.get('cache-control')).toBe('public, max-age=300')
    expect(answer.json()).toEqual({
      issuer,
      token_endpoint: `${issuer}/oauth/token`,
      jwks_uri: `${issuer}/.well-known/jwks.json`,
      introspection_endpoint: `${issuer}/oauth/introspect`,
      revocation_endpoint: `${issuer}/oauth/revoke`,
      grant_types_supported: ['client_credentials'],
      scopes_supported: ['changes:read', 'tokens:introspect'],
      token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
      introspection_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
      revocation_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'none'],
    })
  })

  test('SES-08: names endpoints that work, by each method of authentication that it names', async () => {
    const metadata = await read()
    const service = await addService(login, ['tokens:introspect'])
    const token = await tokenOf(login, service)
    const credentials = { client_id: service.id, client_secret: service.secret }
    const grant = { grant_type: String(metadata.grant_types_supported?.[0]) }
    for (const [endpoint, form] of [
      [metadata.token_endpoint, grant],
      [metadata.introspection_endpoint, { token }],
      [metadata.revocation_endpoint, { token }],
    ] as const) {
      expect((await sendForm(login, pathOf(endpoint), form, service.headers)).status).toBe(200)
      expect((await sendForm(login, pathOf(endpoint), { ...form, ...credentials })).status).toBe(200)
    }
    await login.addUser('ann@example.com')
    const { access_token: users } = await login.signIn('ann@example.com')
    expect((await sendForm(login, pathOf(metadata.revocation_endpoint), { token: users })).status).toBe(200)
    expect((await login.send('GET', pathOf(metadata.jwks_uri))).status).toBe(200)
  })

  test('SES-09: promises no password grant, and leaves out what has no elements (section 3.2)', async () => {
    const metadata = await read()
    expect(metadata.grant_types_supported).not.toContain('password')
    expect(Object.values(metadata).filter(value => value.length === 0)).toEqual([])
  })
})

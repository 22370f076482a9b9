import { afterEach, beforeEach, describe, expect, spyOn, test } from 'bun:test'
import { bySystem } from '../lib/audit.ts'
import { createVerifier } from '../lib/jwt/verifier.ts'
import { createClientSecret, createSecretChecker, hashClientSecret } from './client-secret.ts'
import { readLoginConfig } from './config.ts'
import { createTestKeys, createTestLogin, type TestLogin } from './test-login.ts'
import { createAccessTokens } from './tokens.ts'

describe('a secret of a service account', () => {
  const checker = createSecretChecker()

  test('is 256 random bits in a form that scanners can match', () => {
    const made = Array.from({ length: 100 }, createClientSecret)
    for (const secret of made) expect(secret).toMatch(/^lcs_[A-Za-z0-9_-]{43}$/)
    expect(new Set(made).size).toBe(100)
  })

  test('is kept as argon2id, with a salt of its own', async () => {
    const [one, two] = [await hashClientSecret('secret'), await hashClientSecret('secret')]
    expect(one).toStartWith('$argon2id$v=19$m=8,t=1,p=1$')
    expect(one).not.toBe(two)
  })

  test('matches by either of two hashes, and by no third', async () => {
    const hashes = await Promise.all(['one', 'two', 'three'].map(hashClientSecret))
    expect(await checker.matches('one', hashes)).toBe(true)
    expect(await checker.matches('two', hashes)).toBe(true)
    expect(await checker.matches('three', hashes)).toBe(false)
    expect(await checker.matches('one', [])).toBe(false)
    expect(await checker.matches('', hashes)).toBe(false)
  })

  test('costs as many verifications whether it is right, wrong, too long or nobody’s', async () => {
    const [hash = ''] = [await hashClientSecret('right')]
    const verify = spyOn(Bun.password, 'verify')
    try {
      const counts: number[] = []
      for (const [secret, hashes] of [
        ['right', [hash]],
        ['right', [hash, hash]],
        ['wrong', [hash]],
        ['wrong', []],
        ['x'.repeat(257), [hash]],
      ] as const) {
        verify.mockClear()
        await checker.matches(secret, hashes)
        counts.push(verify.mock.calls.length)
      }
      expect(counts).toEqual([2, 2, 2, 2, 2])
    } finally {
      verify.mockRestore()
    }
  })

  test('is not held against a hash of another cost, which a row that somebody wrote could name', async () => {
    const costly = await Bun.password.hash('secret', { algorithm: 'argon2id', memoryCost: 16, timeCost: 1 })
    expect(await checker.matches('secret', [costly])).toBe(false)
    for (const odd of ['', 'nonsense', '$argon2id$v=19$m=8,t=1,p=1$', '$2b$10$abc']) {
      expect(await checker.matches('secret', [odd])).toBe(false)
    }
  })
})

describe('service accounts', () => {
  let login: TestLogin
  beforeEach(() => {
    login = createTestLogin()
  })
  afterEach(() => login.database.close())

  test('have each scope once, in alphabetical order', async () => {
    const { client } = await login.registry.create({ name: 'x', scopes: ['b:b', 'a:a', 'b:b'] }, bySystem)
    expect(client.scopes).toEqual(['a:a', 'b:b'])
    expect(client.id).toMatch(/^cli_[0-9a-f]{32}$/)
    const changed = await login.registry.update(client.id, { scopes: ['d:d', 'c:c', 'd:d'] }, bySystem)
    expect(changed.scopes).toEqual(['c:c', 'd:d'])
  })

  const long = (count: number) =>
    Array.from(
      { length: count },
      (_, index) => `${String.fromCharCode(97 + index)}${'x'.repeat(39)}:${'y'.repeat(40)}`,
    )

  test('have no more scopes than a token can hold', async () => {
    const work = login.registry.create({ name: 'x', scopes: long(13) }, bySystem)
    await expect(work).rejects.toMatchObject({ code: 'invalid_request', errors: [{ field: 'scopes' }] })
    const { client } = await login.registry.create({ name: 'x', scopes: long(12) }, bySystem)
    const change = login.registry.update(client.id, { scopes: long(13) }, bySystem)
    await expect(change).rejects.toMatchObject({ code: 'invalid_request' })
  })

  test('TOK-10: get tokens that are taken with as many scopes and audiences as there can be', async () => {
    const many = Array.from({ length: 31 }, (_, index) => `${'s'.repeat(128)}${index}`)
    const { AUDIENCES, ISSUER } = readLoginConfig({ AUDIENCES: many.join() }, 4)
    const clock = () => 0
    const { signer, source } = createTestKeys(clock, 'x'.repeat(32))
    const tokens = createAccessTokens({
      signer,
      issuer: ISSUER,
      audiences: AUDIENCES,
      lifetimeSeconds: 60,
      clock,
    })
    const token = await tokens.issueToClient(`cli_${'0'.repeat(60)}`, long(12), AUDIENCES)
    const verifier = createVerifier({ keys: source, issuer: ISSUER, audience: many[30] ?? '', clock })
    expect((await verifier.verify(token)).ok).toBe(true)
  })

  describe('that CLIENT_ID and CLIENT_SECRET name', () => {
    const secret = 'a secret of the settings, 32 characters'

    test('are registered at a start that never saw them, to follow the feed and to introspect', async () => {
      expect(await login.registry.ensure('cli_service-a', secret)).toBe('created')
      expect(await login.clients.find('cli_service-a')).toMatchObject({
        scopes: ['changes:read', 'tokens:introspect'],
        status: 'active',
        createdBy: null,
      })
      expect(login.audit()).toMatchObject([{ action: 'client.created', actor_id: null }])
      expect(JSON.stringify(login.audit())).not.toContain(secret)
    })

    test('stay as they are at the next start, whatever became of them', async () => {
      await login.registry.ensure('cli_service-a', secret)
      await login.registry.update('cli_service-a', { name: 'Mine', scopes: [] }, bySystem)
      await login.clients.disable('cli_service-a', bySystem)
      const before = await login.clients.findCredential('cli_service-a')
      expect(await login.registry.ensure('cli_service-a', secret)).toBe('known')
      expect(await login.registry.ensure('cli_service-a', `${secret}!`)).toBe('secret_differs')
      expect(await login.clients.findCredential('cli_service-a')).toEqual(before)
      await login.clients.remove('cli_service-a', bySystem)
      expect(await login.registry.ensure('cli_service-a', secret)).toBe('deleted')
      expect(await login.clients.find('cli_service-a')).toBeNull()
    })

    test('are known by the secret before a rotation while that is good', async () => {
      await login.registry.ensure('cli_service-a', secret)
      await login.registry.rotate('cli_service-a', 60, bySystem)
      expect(await login.registry.ensure('cli_service-a', secret)).toBe('known')
      login.time.now += 60_000
      expect(await login.registry.ensure('cli_service-a', secret)).toBe('secret_differs')
    })
  })
})

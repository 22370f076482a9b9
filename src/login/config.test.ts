import { afterAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConfigError, type Env } from '../lib/config.ts'
import { createVerifier } from '../lib/jwt/verifier.ts'
import { readLoginConfig } from './config.ts'
import { createTestKeys } from './test-login.ts'
import { createAccessTokens } from './tokens.ts'

const folder = mkdtempSync(join(tmpdir(), 'login-config-'))
afterAll(() => rmSync(folder, { recursive: true }))

const faultsOf = (env: Env): readonly string[] | null => {
  try {
    readLoginConfig(env, 4)
    return null
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
}
const names = (faults: readonly string[] | null) => faults?.map(fault => fault.split(' ')[0])

describe('the settings of login', () => {
  test('are complete and safe when nobody sets any', () => {
    expect(readLoginConfig({}, 4)).toEqual({
      HOST: '127.0.0.1',
      PORT: 3_000,
      DATABASE_PATH: './data/login.sqlite',
      TRUSTED_PROXIES: [],
      LOG_LEVEL: 'info',
      CHANGE_RETENTION_HOURS: 168,
      DRAIN_SECONDS: 30,
      OPENAPI: true,
      ISSUER: 'http://127.0.0.1:3000',
      AUDIENCES: ['service-a'],
      ACCESS_TOKEN_SECONDS: 300,
      PASSWORD_MIN_LENGTH: 15,
      PASSWORD_MEMORY_KIB: 19_456,
      HASH_CONCURRENCY: 3,
    })
  })

  test('CFG-01: have no secret and no administrator that nobody set', () => {
    const config = readLoginConfig({}, 4)
    for (const name of ['JWT_SECRET', 'ADMIN_EMAIL', 'ADMIN_PASSWORD', 'CLIENT_ID', 'CLIENT_SECRET'])
      expect(config).not.toHaveProperty(name)
  })

  test('CFG-01: are told wrong all at once, with no value quoted', () => {
    const wrong = {
      PORT: 'wrong-value',
      TRUSTED_PROXIES: 'wrong-value',
      ISSUER: 'wrong-value',
      ACCESS_TOKEN_SECONDS: '29',
      PASSWORD_MIN_LENGTH: '7',
      PASSWORD_MEMORY_KIB: '19455',
      HASH_CONCURRENCY: '0',
      JWT_SECRET: 'wrong-value',
      ADMIN_EMAIL: 'ann@example.com',
      CLIENT_ID: 'wrong-value',
      CLIENT_SECRET: 'wrong-value',
    }
    const faults = faultsOf(wrong)
    expect(new Set(names(faults))).toEqual(new Set(Object.keys(wrong)))
    expect(faults?.join()).not.toContain('wrong-value')
    expect(faults?.join()).not.toContain('ann@')
  })

  test.each([
    ['PASSWORD_MIN_LENGTH', 8, 64],
    ['PASSWORD_MEMORY_KIB', 19_456, 262_144],
    ['ACCESS_TOKEN_SECONDS', 30, 3_600],
    ['HASH_CONCURRENCY', 1, 64],
  ] as const)('PWD-01, PWD-06, TOK-12: %s goes from %p to %p and no further', (name, least, most) => {
    for (const value of [least, most]) expect(readLoginConfig({ [name]: String(value) }, 4)[name]).toBe(value)
    for (const value of [least - 1, most + 1])
      expect(names(faultsOf({ [name]: String(value) }))).toEqual([name])
  })

  test('PWD-07: leave one core to everything that is not hashing', () => {
    expect([1, 2, 8].map(cores => readLoginConfig({}, cores).HASH_CONCURRENCY)).toEqual([1, 1, 7])
    expect(readLoginConfig({ HASH_CONCURRENCY: '5' }, 2).HASH_CONCURRENCY).toBe(5)
  })
})

describe('what settings say together', () => {
  test('the issuer is the loopback address, where there is no other', () => {
    expect(readLoginConfig({ PORT: '4000' }, 4).ISSUER).toBe('http://127.0.0.1:4000')
    expect(readLoginConfig({ PORT: '4000', ISSUER: 'https://login.example' }, 4).ISSUER).toBe(
      'https://login.example',
    )
  })

  test.each<[string, Env]>([
    ['on every interface', { HOST: '0.0.0.0' }],
    ['on every interface of IPv6', { HOST: '::' }],
    ['on an address of the network', { HOST: '10.0.0.5' }],
    ['on a port that nobody knows yet', { PORT: '0' }],
  ])('a service %s needs to be told by which address it is reached', (_, env) => {
    expect(names(faultsOf(env))).toEqual(['ISSUER'])
    expect(faultsOf({ ...env, ISSUER: 'https://login.example' })).toBeNull()
  })

  test('PWD-12: the address and the password of the first administrator belong together', () => {
    const [email, password] = [
      { ADMIN_EMAIL: 'root@example.com' },
      { ADMIN_PASSWORD: 'correct horse battery' },
    ]
    expect(faultsOf({ ...email, ...password })).toBeNull()
    for (const one of [email, password]) {
      expect(faultsOf(one)).toEqual(['ADMIN_EMAIL and ADMIN_PASSWORD belong together: set both or neither.'])
    }
  })

  test('the id and the secret of a service account belong together', () => {
    const [id, secret] = [{ CLIENT_ID: 'cli_service-a' }, { CLIENT_SECRET: 's'.repeat(32) }]
    expect(readLoginConfig({ ...id, ...secret }, 4)).toMatchObject({ ...id, ...secret })
    for (const one of [id, secret]) {
      expect(faultsOf(one)).toEqual(['CLIENT_ID and CLIENT_SECRET belong together: set both or neither.'])
    }
  })

  test.each([
    ['CLIENT_ID', ['cli_', `cli_${'x'.repeat(61)}`, 'usr_x', 'cli_x y', 'cli_é']],
    ['CLIENT_SECRET', ['s'.repeat(31), 's'.repeat(257)]],
  ])('CFG-01: %s of another form stops the start', (name, values) => {
    const good = { CLIENT_ID: `cli_${'x'.repeat(60)}`, CLIENT_SECRET: 's'.repeat(256) }
    expect(faultsOf(good)).toBeNull()
    for (const value of values) {
      const faults = faultsOf({ ...good, [name]: value })
      expect(names(faults)).toContain(name)
      if (value.length > 32) expect(faults?.join()).not.toContain(value)
    }
  })

  test.each(['ADMIN_PASSWORD', 'JWT_SECRET', 'CLIENT_SECRET'] as const)(
    'CFG-01: %s can come from a file',
    name => {
      const path = join(folder, name)
      writeFileSync(path, 'a secret of more than 32 characters\n')
      const others = {
        ...(name === 'ADMIN_PASSWORD' ? { ADMIN_EMAIL: 'root@example.com' } : {}),
        ...(name === 'CLIENT_SECRET' ? { CLIENT_ID: 'cli_service-a' } : {}),
      }
      const config = readLoginConfig({ ...others, [`${name}_FILE`]: path }, 4)
      expect(config[name]).toBe('a secret of more than 32 characters')
    },
  )

  test('TOK-10: as many audiences as are allowed still make tokens that are taken', async () => {
    const many = Array.from({ length: 31 }, (_, index) => `${'s'.repeat(100)}${index}`)
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
    const roles = Array.from({ length: 16 }, (_, index) => `${'r'.repeat(38)}${index % 10}`)
    const token = await tokens.issue({ id: `usr_${'0'.repeat(32)}`, roles }, `ses_${'0'.repeat(32)}`)
    const verifier = createVerifier({ keys: source, issuer: ISSUER, audience: many[30] ?? '', clock })
    expect((await verifier.verify(token)).ok).toBe(true)
  })

  test.each([
    ['names', Array.from({ length: 32 }, (_, index) => `s${index}`)],
    ['text', Array.from({ length: 20 }, (_, index) => `${'s'.repeat(250)}${index}`)],
  ])('TOK-10: more %s than a token can hold stop the start, instead of everybody', (_, audiences) => {
    expect(names(faultsOf({ AUDIENCES: audiences.join() }))).toEqual(['AUDIENCES'])
  })
})

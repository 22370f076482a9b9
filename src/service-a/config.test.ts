import { describe, expect, test } from 'bun:test'
import { ConfigError, type Env } from '../lib/config.ts'
import { readServiceConfig } from './config.ts'

/** What nobody can choose for a service. */
const client = { CLIENT_ID: 'cli_service-a', CLIENT_SECRET: 'a secret of the service, in 32 characters' }

const faultsOf = (env: Env): readonly string[] | null => {
  try {
    readServiceConfig({ ...client, ...env })
    return null
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
}
const names = (env: Env) => faultsOf(env)?.map(fault => fault.split(' ')[0])

describe('the settings of service-a', () => {
  test('are complete and safe when nobody sets any', () => {
    expect(readServiceConfig({})).toEqual({
      HOST: '127.0.0.1',
      PORT: 3_001,
      DATABASE_PATH: './data/service-a.sqlite',
      TRUSTED_PROXIES: [],
      LOG_LEVEL: 'info',
      DRAIN_SECONDS: 30,
      OPENAPI: true,
      LOGIN_URL: 'http://127.0.0.1:3000',
      ISSUER: 'http://127.0.0.1:3000',
      AUDIENCE: 'service-a',
      API_KEY_PREFIX: 'lk',
      ALLOW_INSECURE_LOGIN: false,
      MAX_STALENESS_SECONDS: 300,
      STALE_MODE: 'allow',
      CREDENTIAL_CACHE_ENTRIES: 100_000,
      FAILURES_PER_ADDRESS_PER_MINUTE: 300,
      FAILURES_PER_KEY_PER_MINUTE: 60,
      KEY_LIMIT_PER_MINUTE: 6_000,
      KEYS_PER_OWNER: 100,
      AUDIT_DAYS: 400,
    })
  })

  test('CFG-01: are told wrong all at once, with no value quoted', () => {
    const wrong = {
      PORT: 'wrong-value',
      TRUSTED_PROXIES: 'wrong-value',
      LOGIN_URL: 'wrong-value/',
      ISSUER: 'wrong-value',
      API_KEY_PREFIX: 'wrong-value',
      ALLOW_INSECURE_LOGIN: 'wrong-value',
      JWT_SECRET: 'wrong-value',
      CLIENT_ID: 'wrong-value',
      CLIENT_SECRET: 'wrong-value',
      MAX_STALENESS_SECONDS: 'wrong-value',
      STALE_MODE: 'wrong-value',
      FAILURES_PER_ADDRESS_PER_MINUTE: 'wrong-value',
      FAILURES_PER_KEY_PER_MINUTE: 'wrong-value',
      KEY_LIMIT_PER_MINUTE: 'wrong-value',
      KEYS_PER_OWNER: 'wrong-value',
      KEY_LIFE_DAYS: 'wrong-value',
      KEY_MAX_LIFE_DAYS: 'wrong-value',
    }
    expect(new Set(names(wrong))).toEqual(new Set(Object.keys(wrong)))
    expect(faultsOf(wrong)?.join()).not.toContain('wrong-value')
  })

  test('a key lives no longer by default than it may', () => {
    expect(names({ KEY_LIFE_DAYS: '31', KEY_MAX_LIFE_DAYS: '30' })).toEqual(['KEY_LIFE_DAYS'])
    expect(faultsOf({ KEY_LIFE_DAYS: '30', KEY_MAX_LIFE_DAYS: '30' })).toBeNull()
  })

  test('a service that follows nobody starts on a developer’s machine, and nowhere else', () => {
    const nobody = { CLIENT_ID: '', CLIENT_SECRET: '' }
    expect(faultsOf(nobody)).toBeNull()
    expect(faultsOf({ ...nobody, LOGIN_URL: 'http://[::1]:3000' })).toBeNull()
    expect(names({ ...nobody, LOGIN_URL: 'https://login.example' })).toEqual(['CLIENT_ID'])
    expect(names({ ...nobody, LOGIN_URL: 'http://10.0.0.1', ALLOW_INSECURE_LOGIN: 'true' })).toEqual([
      'CLIENT_ID',
    ])
  })

  test('half a client is none', () => {
    expect(names({ CLIENT_ID: '' })).toEqual(['CLIENT_ID'])
    expect(names({ CLIENT_SECRET: '' })).toEqual(['CLIENT_ID'])
    expect(faultsOf({ CLIENT_SECRET: '' })?.join()).toContain('CLIENT_SECRET belong together')
  })

  test('the issuer is where login is, unless it is called otherwise', () => {
    const LOGIN_URL = 'https://login.example'
    expect(readServiceConfig({ ...client, LOGIN_URL }).ISSUER).toBe(LOGIN_URL)
    expect(readServiceConfig({ ...client, LOGIN_URL, ISSUER: 'https://id.example' }).ISSUER).toBe(
      'https://id.example',
    )
  })

  test.each(['lk', 'lk_test', 'a', 'a23456789_123456'])('KEY-03: %s can begin a key', API_KEY_PREFIX => {
    expect(readServiceConfig({ ...client, API_KEY_PREFIX }).API_KEY_PREFIX).toBe(API_KEY_PREFIX)
  })

  test.each(['Lk', '1k', '_lk', 'lk-test', 'lk ', 'l'.repeat(17), 'lk.', 'lké', 'lk\n'])(
    'KEY-03: %j can not begin a key',
    API_KEY_PREFIX => expect(names({ API_KEY_PREFIX })).toEqual(['API_KEY_PREFIX']),
  )
})

describe('CFG-03: where login is', () => {
  test.each([
    'https://login.example',
    'https://login.example:8443/base',
    'http://127.0.0.1:3000',
    'http://localhost:3000',
    'http://[::1]:3000',
  ])('%s will do', LOGIN_URL => expect(readServiceConfig({ ...client, LOGIN_URL }).LOGIN_URL).toBe(LOGIN_URL))

  test.each([
    'http://login.example',
    'http://10.0.0.1:3000',
    'http://127.0.0.1.example',
    'http://localhost.example',
    'http://0.0.0.0:3000',
  ])('%s stops the start, unless somebody says that the network is theirs', LOGIN_URL => {
    expect(names({ LOGIN_URL })).toEqual(['LOGIN_URL'])
    expect(faultsOf({ LOGIN_URL, ALLOW_INSECURE_LOGIN: 'false' })?.[0]).toContain('ALLOW_INSECURE_LOGIN=true')
    expect(faultsOf({ LOGIN_URL, ALLOW_INSECURE_LOGIN: 'true' })).toBeNull()
  })

  test.each(['http://login:99999', 'https://login.example:port', 'https://[::1', 'https://%'])(
    '%s looks like an address and is none: a fault by name, and no crash',
    LOGIN_URL => expect(names({ LOGIN_URL })).toEqual(['LOGIN_URL']),
  )
})

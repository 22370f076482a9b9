import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { call } from '../support/http.ts'
import { member } from '../support/json.ts'
import { freePort } from '../support/ports.ts'
import { expectProblem } from '../support/problem.ts'
import { type Settings, startRole } from '../support/role.ts'
import { makeKey, type Site, signIn, startSite } from '../support/site.ts'
import { createStage, type Stage } from '../support/stage.ts'

/** A start with a bad configuration tells all of its faults and no value, and does nothing else (CFG-01). */

let stage: Stage
beforeAll(() => {
  stage = createStage()
})
afterAll(() => stage.end())

const marker = 'Mark3rOfAValue'

/** What a start that must fail writes to stderr. */
const faultsOf = async (settings: Settings): Promise<string> => {
  const folder = stage.makeFolder('config')
  const program = stage.run({ folder, env: { PORT: String(await freePort()), ...settings } })
  expect(await program.ended).toEqual({ code: 1, signal: null })
  expect(program.lines).toEqual([])
  expect(existsSync(join(folder, 'data'))).toBe(false)
  const faults = program.stderr()
  expect(faults).not.toContain(marker)
  expect(faults).not.toMatch(/^\s+at /m)
  return faults
}
const namesIn = (faults: string): string[] => [...new Set(faults.match(/\b[A-Z][A-Z_]{3,}\b/g))].sort()

test('login names every variable that is wrong at once, and how to mend it', async () => {
  const faults = await faultsOf({
    ROLE: 'login',
    PORT: marker,
    LOG_LEVEL: marker,
    JWT_SECRET: marker,
    ISSUER: `ftp://${marker}`,
    ACCESS_TOKEN_SECONDS: '5',
    PASSWORD_MIN_LENGTH: '7',
    PASSWORD_MEMORY_KIB: '1024',
    HASH_CONCURRENCY: '0',
    DRAIN_SECONDS: '-1',
    OPENAPI: marker,
  })
  const names = ['PORT', 'LOG_LEVEL', 'JWT_SECRET', 'ISSUER', 'ACCESS_TOKEN_SECONDS', 'PASSWORD_MIN_LENGTH']
  for (const name of [...names, 'PASSWORD_MEMORY_KIB', 'HASH_CONCURRENCY', 'DRAIN_SECONDS', 'OPENAPI']) {
    expect(faults).toMatch(new RegExp(`^ *${name} .+: .{10,}\\.$`, 'm'))
  }
})

test('service-a does so too', async () => {
  const faults = await faultsOf({
    ROLE: 'service-a',
    PORT: '65536',
    JWT_SECRET: marker,
    LOGIN_URL: `${marker}.example`,
    API_KEY_PREFIX: `9${marker}`,
    ALLOW_INSECURE_LOGIN: marker,
  })
  for (const name of ['PORT', 'JWT_SECRET', 'LOGIN_URL', 'API_KEY_PREFIX', 'ALLOW_INSECURE_LOGIN']) {
    expect(faults).toMatch(new RegExp(`^ *${name} .+: .{4,}\\.$`, 'm'))
  }
})

test('a role that does not exist is refused with those that do', async () => {
  for (const ROLE of [marker, 'LOGIN', '__proto__', 'constructor', 'login ']) {
    const faults = await faultsOf({ ROLE })
    expect(faults).toContain('ROLE')
    expect(faults).toContain('login, service-a')
  }
})

const refused: readonly (readonly [string, Settings, string])[] = [
  ['a secret of 31 characters (TOK-13)', { ROLE: 'login', JWT_SECRET: 'x'.repeat(31) }, 'JWT_SECRET'],
  [
    'a secret of 31 characters on service-a (TOK-13)',
    { ROLE: 'service-a', JWT_SECRET: 'x'.repeat(31) },
    'JWT_SECRET',
  ],
  [
    'plain http to a login elsewhere (CFG-03)',
    { ROLE: 'service-a', LOGIN_URL: 'http://login.example' },
    'LOGIN_URL',
  ],
  [
    'plain http to a host that only looks like loopback',
    { ROLE: 'service-a', LOGIN_URL: 'http://127.0.0.1.example' },
    'LOGIN_URL',
  ],
  [
    'plain http to a host named after loopback',
    { ROLE: 'service-a', LOGIN_URL: 'http://localhost.example' },
    'LOGIN_URL',
  ],
  [
    'a login URL with a password',
    { ROLE: 'service-a', LOGIN_URL: `https://a:${marker}@login.example` },
    'LOGIN_URL',
  ],
  [
    'a login URL that ends with a slash',
    { ROLE: 'service-a', LOGIN_URL: 'https://login.example/' },
    'LOGIN_URL',
  ],
  ['an open address without an issuer', { ROLE: 'login', HOST: '0.0.0.0' }, 'ISSUER'],
  ['an administrator without a password', { ROLE: 'login', ADMIN_EMAIL: 'a@example.com' }, 'ADMIN_PASSWORD'],
  ['a password without an administrator', { ROLE: 'login', ADMIN_PASSWORD: marker }, 'ADMIN_EMAIL'],
  ['a file that is not there', { ROLE: 'login', JWT_SECRET_FILE: `/nowhere/${marker}` }, 'JWT_SECRET_FILE'],
  ['a folder for a file', { ROLE: 'service-a', JWT_SECRET_FILE: '/' }, 'JWT_SECRET_FILE'],
]
test.each(refused)('%s stops the start', async (_, settings, name) => {
  expect(namesIn(await faultsOf(settings))).toContain(name)
})

test('a secret is given by value or by file, and not both', async () => {
  const file = join(stage.folder, 'secret')
  writeFileSync(file, marker.repeat(4))
  for (const ROLE of ['login', 'service-a']) {
    const faults = await faultsOf({ ROLE, JWT_SECRET: marker.repeat(4), JWT_SECRET_FILE: file })
    expect(faults).toContain('JWT_SECRET and JWT_SECRET_FILE')
  }
  const both = {
    ROLE: 'login',
    ADMIN_EMAIL: 'a@example.com',
    ADMIN_PASSWORD: marker,
    ADMIN_PASSWORD_FILE: file,
  }
  expect(await faultsOf(both)).toContain('ADMIN_PASSWORD and ADMIN_PASSWORD_FILE')
})

test('a short secret in a file is as short as one in a variable, its newline not counted (TOK-13)', async () => {
  const file = join(stage.folder, 'short')
  writeFileSync(file, `${'x'.repeat(31)}\n`)
  expect(await faultsOf({ ROLE: 'login', JWT_SECRET_FILE: file })).toContain('JWT_SECRET')
})

test('a first administrator that can not be made stops the start, and the password is not repeated', async () => {
  for (const settings of [
    { ADMIN_EMAIL: 'root@example.com', ADMIN_PASSWORD: 'Mark3rShort' },
    { ADMIN_EMAIL: 'Mark3r without at', ADMIN_PASSWORD: 'a long enough password' },
  ]) {
    const folder = stage.makeFolder('admin')
    const program = stage.run({ folder, env: { ROLE: 'login', PORT: String(await freePort()), ...settings } })
    expect(await program.ended).toEqual({ code: 1, signal: null })
    expect(program.stderr()).not.toContain('Mark3r')
    expect(program.lines).toEqual([])
  }
})

test('plain http to a login elsewhere is taken where that is said on purpose', async () => {
  const settings = { LOGIN_URL: 'http://login.example', ALLOW_INSECURE_LOGIN: 'true' }
  const service = await startRole(stage, { role: 'service-a', settings })
  expect((await call(`${service.url}/livez`)).status).toBe(200)
})

test('an .env file in the folder of a start is not what decides, where it is not Bun that reads it', async () => {
  if ((process.env.LATCHKEY_BINARY ?? '') === '') return
  const folder = stage.makeFolder('dotenv')
  writeFileSync(join(folder, '.env'), `LOG_LEVEL=${marker}\nJWT_SECRET=short\n`)
  writeFileSync(join(folder, 'bunfig.toml'), 'preload = ["./preload.ts"]\n')
  writeFileSync(join(folder, 'preload.ts'), 'process.exit(9)\n')
  const role = await startRole(stage, { role: 'service-a', folder })
  expect((await call(`${role.url}/livez`)).status).toBe(200)
})

describe('each role is its own service (CFG-02)', () => {
  let site: Site
  let token: string
  let key: string
  beforeAll(async () => {
    site = await startSite({ login: { OPENAPI: 'false' } })
    token = (await signIn(site, site.admin)).accessToken
    key = (await makeKey(site, token)).key
  })
  afterAll(() => site.stage.end())

  test('login has no route of service-a, and service-a none of login, whatever is brought along', async () => {
    const ofService = [
      '/api-keys',
      '/api-keys/x',
      '/documents',
      '/documents/x',
      '/account',
      '/whoami',
      '/auth/check',
    ]
    const ofLogin = [
      '/auth/login',
      '/auth/refresh',
      '/auth/setup',
      '/users',
      '/users/me',
      '/.well-known/jwks.json',
    ]
    for (const [url, paths] of [
      [site.login.url, ofService],
      [site.service.url, ofLogin],
    ] as const) {
      for (const path of paths) {
        for (const credential of [{}, { token }, { key }]) {
          for (const method of ['GET', 'POST', 'DELETE']) {
            const answer = await call(`${url}${path}`, { ...credential, method })
            // A route that service-a has by design where login has another.
            if (path !== '/auth/check') expectProblem(answer, 404, 'not_found')
            else expect(answer.status).toBe(404)
          }
        }
      }
    }
  })

  test('a description is given of what is there, and none where that is switched off (HTTP-13)', async () => {
    const { status, body } = await call(`${site.service.url}/openapi.json`)
    expect([status, member(body, 'openapi')]).toEqual([200, '3.1.0'])
    expectProblem(await call(`${site.login.url}/openapi.json`), 404, 'not_found')
  })
})

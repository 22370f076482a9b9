import { Database } from 'bun:sqlite'
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { call } from '../support/http.ts'
import { listOf, textOf } from '../support/json.ts'
import { freePort } from '../support/ports.ts'
import type { Program } from '../support/program.ts'
import { type Role, startRole } from '../support/role.ts'
import { createPassword, type Site, signIn, startSite } from '../support/site.ts'
import { createStage, type Stage } from '../support/stage.ts'

const roles = ['login', 'service-a'] as const

describe('where the data is', () => {
  let site: Site
  beforeAll(async () => {
    site = await startSite()
    await signIn(site, site.admin)
  })
  afterAll(() => site.stage.end())

  const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8)

  test('each service has a file of its own, which nobody else on the machine may read (CFG-02)', () => {
    for (const [{ folder }, name] of [
      [site.login, 'login'],
      [site.service, 'service-a'],
    ] as const) {
      expect(mode(join(folder, 'data'))).toBe('700')
      const files = readdirSync(join(folder, 'data'))
      expect(files).toContain(`${name}.sqlite`)
      for (const file of files) {
        expect(file).toStartWith(`${name}.sqlite`)
        expect(mode(join(folder, 'data', file))).toBe('600')
      }
    }
  })

  test('no password, refresh token or access token stands in it (SES-01)', async () => {
    const tokens = await signIn(site, site.admin)
    const data = join(site.login.folder, 'data')
    for (const file of readdirSync(data)) {
      const bytes = readFileSync(join(data, file))
      for (const secret of [site.admin.password, tokens.refreshToken, tokens.accessToken]) {
        expect(bytes.includes(secret)).toBe(false)
      }
    }
  })

  test('a second process on the same port fails and says which port, and the first goes on', async () => {
    for (const ROLE of roles) {
      const { port } = ROLE === 'login' ? site.login : site.service
      const second = site.stage.run({
        folder: site.stage.makeFolder('second'),
        env: { ROLE, PORT: String(port) },
      })
      expect((await second.ended).code).toBe(1)
      expect(second.stderr()).toMatch(new RegExp(`port ${port}\\b`, 'i'))
      expect(second.stderr()).not.toMatch(/^\s+at /m)
      expect(second.lines.filter(line => line.includes('listening'))).toEqual([])
      expect((await call(`http://127.0.0.1:${port}/readyz`)).status).toBe(200)
    }
  })
})

describe('a start on a file', () => {
  let stage: Stage
  beforeAll(() => {
    stage = createStage()
  })
  afterAll(() => stage.end())

  const start = async (role: (typeof roles)[number], folder: string): Promise<Program> => {
    const env = { ROLE: role, PORT: String(await freePort()), DATABASE_PATH: 'some.sqlite' }
    return stage.run({ folder, env })
  }

  test.each(roles)(
    'that is empty is refused by %s: what was in it would be gone without a word',
    async role => {
      const folder = stage.makeFolder('empty')
      writeFileSync(join(folder, 'some.sqlite'), '')
      const program = await start(role, folder)
      expect((await program.ended).code).toBe(1)
      expect(program.stderr()).toContain('some.sqlite is empty')
      expect(program.stderr()).not.toMatch(/^\s+at /m)
      expect(statSync(join(folder, 'some.sqlite')).size).toBe(0)
    },
  )

  test.each(roles)('that is no database is refused by %s, and left as it is (OPS-03)', async role => {
    const folder = stage.makeFolder('other')
    const text = 'this is somebody’s text and no database\n'.repeat(200)
    writeFileSync(join(folder, 'some.sqlite'), text)
    const program = await start(role, folder)
    expect((await program.ended).code).toBe(1)
    expect(program.stderr()).not.toBe('')
    expect(readFileSync(join(folder, 'some.sqlite'), 'utf8')).toBe(text)
  })

  test.each(roles)('of a newer release is refused by %s, which says so (OPS-06)', async role => {
    const folder = stage.makeFolder('newer')
    const settings = { DATABASE_PATH: 'some.sqlite' }
    const first = await startRole(stage, { role, folder, settings })
    await first.stop()
    const database = new Database(join(folder, 'some.sqlite'))
    const table = `migrations_${role.replace('-', '_')}`
    database.run(`INSERT INTO ${table} (position, tag, hash, applied_at) VALUES (9999, 'x', 'x', 0)`)
    database.close()
    const program = await start(role, folder)
    expect((await program.ended).code).toBe(1)
    expect(program.stderr()).toContain('newer release')
  })

  test('that is damaged is refused and not replaced (OPS-03)', async () => {
    const folder = stage.makeFolder('damaged')
    const path = join(folder, 'some.sqlite')
    const first = await startRole(stage, {
      role: 'service-a',
      folder,
      settings: { DATABASE_PATH: 'some.sqlite' },
    })
    await first.stop()
    const bytes = readFileSync(path)
    writeFileSync(path, bytes.fill(0x7f, 100, 4_096))
    const program = await start('service-a', folder)
    expect((await program.ended).code).toBe(1)
    expect(readFileSync(path).equals(bytes)).toBe(true)
  })

  test('that is a folder, or lies in what is none, is refused', async () => {
    const folder = stage.makeFolder('folders')
    writeFileSync(join(folder, 'file'), 'x')
    for (const DATABASE_PATH of ['.', 'file/some.sqlite']) {
      const program = stage.run({
        folder,
        env: { ROLE: 'login', PORT: String(await freePort()), DATABASE_PATH },
      })
      expect((await program.ended).code).toBe(1)
    }
    expect(readdirSync(folder)).toEqual(['file'])
  })

  test.each([1, 2, 3])(
    'that two processes make at the same time ends in one database that both serve (OPS-06, %p)',
    async () => {
      const folder = stage.makeFolder('shared')
      const admin = { email: 'root@example.com', password: createPassword() }
      stage.keepSecret(admin.password)
      const settings = {
        DATABASE_PATH: 'some.sqlite',
        ADMIN_EMAIL: admin.email,
        ADMIN_PASSWORD: admin.password,
        ISSUER: 'http://127.0.0.1:1',
      }
      const logins: Role[] = await Promise.all(
        [1, 2].map(() => startRole(stage, { role: 'login', folder, settings })),
      )
      const told = await Promise.all(
        logins.map(async ({ url }) => {
          const keys = await call(`${url}/.well-known/jwks.json`)
          const { body } = await call(`${url}/auth/login`, { json: admin })
          const users = await call(`${url}/users`, { token: textOf(body, 'access_token') })
          return [listOf(keys.body, 'keys'), listOf(users.body, 'items')]
        }),
      )
      expect(told[0]).toEqual(told[1] ?? [])
      expect(told[0]?.map(list => list.length)).toEqual([1, 1])
      await Promise.all(logins.map(login => login.stop()))
    },
  )
})

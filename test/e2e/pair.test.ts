import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { childrenOf, isAlive } from '../support/children.ts'
import { call } from '../support/http.ts'
import { textOf } from '../support/json.ts'
import { freePort } from '../support/ports.ts'
import type { Program } from '../support/program.ts'
import { createStage, type Stage } from '../support/stage.ts'

/** Without ROLE: both services side by side, for whoever tries the project for the first time. */

let stage: Stage
let folder: string
let ports: readonly [number, number]
let pair: Program

const login = (): string => `http://127.0.0.1:${ports[0]}`
const service = (): string => `http://127.0.0.1:${ports[1]}`
const passwordFile = (): string => join(folder, 'data', 'admin-password')

const start = async (settings: Record<string, string> = {}, where = folder): Promise<Program> => {
  const [LOGIN_PORT, SERVICE_A_PORT] = ports.map(String)
  const program = stage.run({
    folder: where,
    env: { LOGIN_PORT: LOGIN_PORT ?? '', SERVICE_A_PORT: SERVICE_A_PORT ?? '', ...settings },
  })
  await program.waitForLine(line => line.startsWith('Latchkey is up'))
  return program
}

beforeAll(async () => {
  stage = createStage()
  folder = stage.makeFolder('pair')
  ports = [await freePort(), await freePort()]
  pair = await start()
})
afterAll(() => stage.end())

describe('the pair', () => {
  let keyText = ''

  test('comes up on the ports that were asked for, tells what to do next, and does not tell the password', () => {
    const told = pair.lines.join('\n')
    for (const text of [login(), service(), 'admin@example.com', 'data/admin-password', 'curl'])
      expect(told).toContain(text)
    expect(told).not.toContain(readFileSync(passwordFile(), 'utf8').trim())
    expect(pair.stderr()).toBe('')
  })

  test('keeps the password where only its user can read it (CFG-02)', () => {
    expect(statSync(passwordFile()).mode & 0o777).toBe(0o600)
    expect(statSync(join(folder, 'data')).mode & 0o777).toBe(0o700)
    expect(readFileSync(passwordFile(), 'utf8').trim().length).toBeGreaterThanOrEqual(20)
  })

  const signIn = async (): Promise<string> => {
    const password = readFileSync(passwordFile(), 'utf8').trim()
    const answer = await call(`${login()}/auth/login`, { json: { email: 'admin@example.com', password } })
    return textOf(answer.body, 'access_token')
  }

  test('lets its administrator sign in, make a key and use it', async () => {
    const json = { name: 'first', permissions: ['documents:read', 'documents:write'] }
    const made = await call(`${service()}/api-keys`, { token: await signIn(), json })
    keyText = textOf(made.body, 'key')
    const written = await call(`${service()}/documents/first`, { key: keyText, method: 'PUT', json: [1] })
    expect([made.status, written.status]).toEqual([201, 201])
  })

  test('does not take for its own what answers on its ports already, another pair say', async () => {
    const [LOGIN_PORT = '', SERVICE_A_PORT = ''] = ports.map(String)
    const second = stage.run({ folder, env: { LOGIN_PORT, SERVICE_A_PORT } })
    expect((await second.ended).code).toBe(1)
    expect(second.stderr()).toContain(LOGIN_PORT)
    expect(second.lines.some(line => line.startsWith('Latchkey is up'))).toBe(false)
    expect((await call(`${service()}/documents/first`, { key: keyText })).body).toEqual([1])
  })

  test('is ended by one SIGTERM, both services in order, with 0', async () => {
    pair.signal('SIGTERM')
    expect(await pair.ended).toEqual({ code: 0, signal: null })
    for (const url of [login(), service()]) expect(call(`${url}/livez`)).rejects.toThrow()
  })

  test('finds password, users, keys and documents again at its next start', async () => {
    const before = readFileSync(passwordFile(), 'utf8')
    pair = await start()
    expect(readFileSync(passwordFile(), 'utf8')).toBe(before)
    expect(await signIn()).toMatch(/^ey/)
    expect((await call(`${service()}/documents/first`, { key: keyText })).body).toEqual([1])
  })

  test('ends when one of the two has died, with another code than 0: one alone is of no use', async () => {
    const [first, second] = childrenOf(pair.pid)
    if (first === undefined || second === undefined) throw new Error('There are not two processes')
    process.kill(first, 'SIGKILL')
    const ending = await pair.ended
    expect(ending.signal).toBeNull()
    expect(ending.code).toBeGreaterThan(0)
    expect([isAlive(first), isAlive(second)]).toEqual([false, false])
  })

  test('ends too when one can not start, and leaves no process behind', async () => {
    const taken = Bun.serve({ hostname: '127.0.0.1', port: ports[1], fetch: () => new Response('mine') })
    const [LOGIN_PORT = '', SERVICE_A_PORT = ''] = ports.map(String)
    try {
      const program = stage.run({ folder, env: { LOGIN_PORT, SERVICE_A_PORT } })
      expect((await program.ended).code).toBe(1)
      expect(program.stderr()).toContain(SERVICE_A_PORT)
      expect(program.lines.some(line => line.startsWith('Latchkey is up'))).toBe(false)
      expect(call(`${login()}/livez`)).rejects.toThrow()
    } finally {
      await taken.stop(true)
    }
  })

  test('takes an administrator of one’s own instead of making one up', async () => {
    const own = stage.makeFolder('own')
    const admin = { email: 'me@example.com', password: 'a long password of mine' }
    const program = await start({ ADMIN_EMAIL: admin.email, ADMIN_PASSWORD: admin.password }, own)
    expect((await call(`${login()}/auth/login`, { json: admin })).status).toBe(200)
    expect(program.lines.join('\n')).not.toContain(admin.password)
    expect(readdirSync(join(own, 'data'))).not.toContain('admin-password')
    program.signal('SIGINT')
    expect(await program.ended).toEqual({ code: 0, signal: null })
  })

  test('refuses ports that are none', async () => {
    const nowhere = stage.makeFolder('nowhere')
    for (const name of ['LOGIN_PORT', 'SERVICE_A_PORT']) {
      const program = stage.run({ folder: nowhere, env: { [name]: '65536' } })
      expect((await program.ended).code).toBe(1)
      expect(program.stderr()).toContain(name)
    }
  })
})

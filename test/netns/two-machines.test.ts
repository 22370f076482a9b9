/**
 * The commands of docs/two-machines.md, in two network namespaces with the addresses that the page names.
 * Needs root and iproute2; `bun run test netns` runs it.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import {
  type Answer,
  ask,
  commands,
  dropNetwork,
  inside,
  linkDown,
  linkUp,
  type Machine,
  makeNetwork,
  names,
  startMachine,
  until,
  waitUntilReady,
} from './machines.ts'

beforeAll(makeNetwork)
afterAll(dropNetwork)

const password = 'a password for two machines'
const randomText = (): string =>
  `${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64')}\n`

const modes = [
  { title: 'with keys', setting: '', files: {}, algorithm: 'ES256' },
  {
    title: 'with a shared secret',
    setting: 'JWT_SECRET_FILE=./jwt-secret ',
    files: { 'jwt-secret': randomText() },
    algorithm: 'HS256',
  },
]

describe.each(modes)('two machines $title', ({ setting, files, algorithm }) => {
  let login: Machine
  let service: Machine

  beforeAll(async () => {
    const withSetting = (command: string): string => command.replace('./latchkey', `${setting}./latchkey`)
    const shared = { ...files, 'client-secret': randomText() }
    login = startMachine(names.login, withSetting(commands.onLogin), {
      ...shared,
      'admin-password': `${password}\n`,
    })
    service = startMachine(names.service, withSetting(commands.onService), shared)
    await waitUntilReady(names.login, 'http://10.77.0.1:3000')
    await waitUntilReady(names.service, 'http://10.77.0.2:3001')
  })

  afterAll(async () => {
    await login.stop()
    await service.stop()
  })

  test('the page’s commands sign in on one and are known on the other', () => {
    const [whoami, account] = inside(names.login, `${commands.walk}; echo; echo "$TOKEN"`, login.folder)
      .replaceAll('}{', '}\n{')
      .split('\n')
    expect(JSON.parse(whoami ?? '')).toMatchObject({ kind: 'user', roles: ['admin', 'user'] })
    expect(JSON.parse(account ?? '')).toMatchObject({ email: 'admin@example.com', status: 'active' })
  })

  test('with the link down, tokens and keys are still judged, and what needs login says that it can not be done', async () => {
    const token =
      inside(names.login, `${commands.walk}; echo; echo "$TOKEN"`, login.folder).trim().split('\n').at(-1) ??
      ''
    const [header = ''] = token.split('.')
    expect(JSON.parse(Buffer.from(header, 'base64url').toString())).toMatchObject({ alg: algorithm })
    const use = (path: string, options: Parameters<typeof ask>[2]): Answer =>
      ask(names.service, `http://10.77.0.2:3001${path}`, options)
    const bearer = { header: `authorization: Bearer ${token}` }
    const made: { key: string } = JSON.parse(
      use('/api-keys', {
        method: 'POST',
        ...bearer,
        json: { name: 'link', permissions: ['documents:read'] },
      }).body,
    )

    linkDown()
    expect(use('/whoami', bearer).status).toBe(200)
    expect(use('/documents', { header: `x-api-key: ${made.key}` }).status).toBe(200)
    expect([503, 504]).toContain(use('/account', bearer).status)
    linkUp()
    await until('the account again', () => use('/account', bearer).status === 200)
  })
})

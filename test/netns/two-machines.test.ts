/**
 * The commands of docs/two-machines.md, in two network namespaces with the addresses that the page names.
 * Needs root and iproute2; `bun run test netns` runs it.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const page = await Bun.file('docs/two-machines.md').text()
/** The shell blocks of the page, in order. */
const blocks = [...page.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block = '']) => block.trim())
const [, onLogin = '', onService = '', walk = ''] = blocks

const binary = process.env.LATCHKEY_BINARY ?? `${process.cwd()}/dist/latchkey`
const names = { login: 'latchkey-login', service: 'latchkey-service' }

const run = (command: readonly string[], cwd: string): string => {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { cwd })
  if (exitCode !== 0) throw new Error(`${command.join(' ')}\n${stderr.toString()}`)
  return stdout.toString()
}

const shell = ['bash', '-euo', 'pipefail', '-c'] as const
const sh = (command: string): string => run([...shell, command], '.')
const inside = (namespace: string, command: string, cwd: string): string =>
  run(['ip', 'netns', 'exec', namespace, ...shell, command], cwd)

const dropNetwork = (): void => {
  for (const name of Object.values(names)) sh(`ip netns del ${name} 2>/dev/null || true`)
}

beforeAll(() => {
  if (!existsSync(binary)) sh('bun run build')
  dropNetwork()
  for (const name of Object.values(names)) sh(`ip netns add ${name} && ip -n ${name} link set lo up`)
  sh(`ip link add lk-a netns ${names.login} type veth peer name lk-b netns ${names.service}`)
  sh(`ip -n ${names.login} addr add 10.77.0.1/24 dev lk-a && ip -n ${names.login} link set lk-a up`)
  sh(`ip -n ${names.service} addr add 10.77.0.2/24 dev lk-b && ip -n ${names.service} link set lk-b up`)
})

afterAll(dropNetwork)

type Machine = { readonly folder: string; readonly stop: () => Promise<void> }

const startMachine = (namespace: string, command: string, files: Record<string, string>): Machine => {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-'))
  copyFileSync(binary, join(folder, 'latchkey'))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o600 })
  const child = Bun.spawn(['ip', 'netns', 'exec', namespace, 'bash', '-c', `exec env ${command}`], {
    cwd: folder,
    stdout: 'ignore',
    stderr: 'inherit',
  })
  return {
    folder,
    stop: async () => {
      child.kill('SIGTERM')
      await child.exited
      rmSync(folder, { recursive: true })
    },
  }
}

const waitUntilReady = async (namespace: string, url: string): Promise<void> => {
  for (let tries = 0; tries < 100; tries += 1) {
    const { exitCode } = Bun.spawnSync(['ip', 'netns', 'exec', namespace, 'curl', '-sfm1', `${url}/readyz`])
    if (exitCode === 0) return
    await Bun.sleep(100)
  }
  throw new Error(`${url} did not get ready`)
}

const password = 'a password for two machines'
const secret = `${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64')}\n`

const modes = [
  { title: 'with keys', setting: '', files: {}, algorithm: 'ES256' },
  {
    title: 'with a shared secret',
    setting: 'JWT_SECRET_FILE=./jwt-secret ',
    files: { 'jwt-secret': secret },
    algorithm: 'HS256',
  },
]

describe.each(modes)('two machines $title', ({ setting, files, algorithm }) => {
  let login: Machine
  let service: Machine

  beforeAll(async () => {
    const withSetting = (command: string): string => command.replace('./latchkey', `${setting}./latchkey`)
    login = startMachine(names.login, withSetting(onLogin), { ...files, 'admin-password': `${password}\n` })
    service = startMachine(names.service, withSetting(onService), files)
    await waitUntilReady(names.login, 'http://10.77.0.1:3000')
    await waitUntilReady(names.service, 'http://10.77.0.2:3001')
  })

  afterAll(async () => {
    await login.stop()
    await service.stop()
  })

  test('the page’s commands sign in on one and are known on the other', () => {
    const [whoami, account] = inside(names.login, `${walk}; echo; echo "$TOKEN"`, login.folder)
      .replaceAll('}{', '}\n{')
      .split('\n')
    expect(JSON.parse(whoami ?? '')).toMatchObject({ kind: 'user', roles: ['admin', 'user'] })
    expect(JSON.parse(account ?? '')).toMatchObject({ email: 'admin@example.com', status: 'active' })
  })

  test('with the link down, tokens and keys are still judged, and what needs login says that it can not be done', () => {
    const token =
      inside(names.login, `${walk}; echo; echo "$TOKEN"`, login.folder).trim().split('\n').at(-1) ?? ''
    const [header = ''] = token.split('.')
    expect(JSON.parse(Buffer.from(header, 'base64url').toString())).toMatchObject({ alg: algorithm })
    const ask = (
      method: string,
      path: string,
      headers: string,
      body = '',
    ): { status: number; body: string } => {
      const data = body === '' ? '' : `-H 'content-type: application/json' -d '${body}'`
      const answer = inside(
        names.service,
        `curl -s -m 10 -X ${method} -w '\\n%{http_code}' ${data} -H '${headers}' http://10.77.0.2:3001${path}`,
        service.folder,
      ).split('\n')
      return { status: Number(answer.at(-1)), body: answer.slice(0, -1).join('\n') }
    }
    const bearer = `authorization: Bearer ${token}`
    const made: { key: string } = JSON.parse(
      ask('POST', '/api-keys', bearer, '{"name":"link","permissions":["documents:read"]}').body,
    )

    sh(`ip -n ${names.login} link set lk-a down`)
    expect(ask('GET', '/whoami', bearer).status).toBe(200)
    expect(ask('GET', '/documents', `x-api-key: ${made.key}`).status).toBe(200)
    expect([503, 504]).toContain(ask('GET', '/account', bearer).status)
    sh(`ip -n ${names.login} link set lk-a up`)
    Bun.sleepSync(2_500)
    expect(ask('GET', '/account', bearer).status).toBe(200)
  })
})

import { copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const page = await Bun.file('docs/two-machines.md').text()
/** The shell blocks of the page, in order. */
const blocks = [...page.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block = '']) => block.trim())
const [, , onLogin = '', onService = '', walk = ''] = blocks

/** What docs/two-machines.md has people type on each machine, and from anywhere. */
export const commands = { onLogin, onService, walk }

const binary = process.env.LATCHKEY_BINARY ?? `${process.cwd()}/dist/latchkey`
export const names = { login: 'latchkey-login', service: 'latchkey-service' }

const run = (command: readonly string[], cwd: string): string => {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { cwd })
  if (exitCode !== 0) throw new Error(`${command.join(' ')}\n${stderr.toString()}`)
  return stdout.toString()
}

const shell = ['bash', '-euo', 'pipefail', '-c'] as const
export const sh = (command: string): string => run([...shell, command], '.')
export const inside = (namespace: string, command: string, cwd: string): string =>
  run(['ip', 'netns', 'exec', namespace, ...shell, command], cwd)

export const dropNetwork = (): void => {
  for (const name of Object.values(names)) sh(`ip netns del ${name} 2>/dev/null || true`)
}

/** Two namespaces with the addresses that the page names, and a wire between them. */
export const makeNetwork = (): void => {
  if (!existsSync(binary)) sh('bun run build')
  dropNetwork()
  for (const name of Object.values(names)) sh(`ip netns add ${name} && ip -n ${name} link set lo up`)
  sh(`ip link add lk-a netns ${names.login} type veth peer name lk-b netns ${names.service}`)
  sh(`ip -n ${names.login} addr add 10.77.0.1/24 dev lk-a && ip -n ${names.login} link set lk-a up`)
  sh(`ip -n ${names.service} addr add 10.77.0.2/24 dev lk-b && ip -n ${names.service} link set lk-b up`)
}

export const linkDown = (): string => sh(`ip -n ${names.login} link set lk-a down`)
export const linkUp = (): string => sh(`ip -n ${names.login} link set lk-a up`)

export type Machine = { readonly folder: string; readonly stop: () => Promise<void> }

/** Runs a command line of the page in a folder of its own that holds the binary and some files. */
export const startMachine = (namespace: string, command: string, files: Record<string, string>): Machine => {
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

export type Answer = { readonly status: number; readonly body: string }

/** One request from inside of a namespace; status 0 where no answer came. */
export const ask = (
  namespace: string,
  url: string,
  { method = 'GET', header = 'accept: */*', json }: { method?: string; header?: string; json?: unknown } = {},
): Answer => {
  const data = json === undefined ? [] : ['-H', 'content-type: application/json', '-d', JSON.stringify(json)]
  const { stdout } = Bun.spawnSync(
    ['ip', 'netns', 'exec', namespace, 'curl', '-s', '-m', '10', '-X', method, '-w', '\n%{http_code}'].concat(
      ['-H', header],
      data,
      [url],
    ),
  )
  const lines = stdout.toString().split('\n')
  return { status: Number(lines.at(-1)), body: lines.slice(0, -1).join('\n') }
}

/** Waits until something is so. @throws Error that says for what, after `seconds`. */
export const until = async (what: string, isSo: () => boolean, seconds = 10): Promise<void> => {
  const end = Date.now() + seconds * 1_000
  while (!isSo()) {
    if (Date.now() > end) throw new Error(`In ${seconds} s it was not seen: ${what}`)
    await Bun.sleep(20)
  }
}

export const waitUntilReady = (namespace: string, url: string): Promise<void> =>
  until(`${url} ready`, () => ask(namespace, `${url}/readyz`).status === 200, 15)

import { mkdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { freePort } from '../support/ports.ts'
import type { Stage } from '../support/stage.ts'

/** A proxy as its example has it, but for the ports. */
export type ReverseProxy = {
  readonly port: number
  readonly url: string
  /** What it wrote to its log. */
  readonly log: () => string
  stop(): Promise<void>
  /** The same, also where what uses it fails. */
  [Symbol.asyncDispose](): Promise<void>
}

export const proxyNames = ['nginx', 'caddy'] as const
export type ProxyName = (typeof proxyNames)[number]

const examples: Readonly<
  Record<ProxyName, { readonly file: string; readonly command: (file: string, folder: string) => string[] }>
> = {
  nginx: {
    file: 'examples/nginx/nginx.conf',
    command: (file, folder) => ['nginx', '-p', folder, '-c', file],
  },
  caddy: {
    file: 'examples/caddy/Caddyfile',
    command: file => ['caddy', 'run', '--adapter', 'caddyfile', '--config', file],
  },
}

const root = join(import.meta.dir, '..', '..')

/** Debian has nginx in a folder that is on the path of root alone. */
const path = `${process.env.PATH}:/usr/sbin`

/** Those of the proxies that are not installed. */
export const missingProxies = (): ProxyName[] =>
  proxyNames.filter(name => Bun.which(name, { PATH: path }) === null)

const isListening = (port: number): Promise<boolean> =>
  new Promise(resolve => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })

/** Starts a proxy by the file of its example, and waits until it listens. @throws Error with its log after 10 s. */
export const startProxy = async (
  stage: Stage,
  name: ProxyName,
  { check, backend }: { readonly check: number; readonly backend: number },
): Promise<ReverseProxy> => {
  const folder = stage.makeFolder(name)
  const port = await freePort()
  const example = await Bun.file(join(root, examples[name].file)).text()
  const ports: [from: string, to: number][] = [
    ['127.0.0.1:3001', check],
    ['127.0.0.1:9000', backend],
    [':8080', port],
  ]
  const file = join(folder, 'config')
  let text = example
  for (const [from, to] of ports) {
    if (!text.includes(from)) throw new Error(`The example of ${name} does not have ${from}`)
    text = text.replaceAll(from, `${from.slice(0, from.lastIndexOf(':') + 1)}${to}`)
  }
  writeFileSync(file, text)
  mkdirSync(join(folder, 'home'))

  const child = Bun.spawn(examples[name].command(file, folder), {
    cwd: folder,
    // Caddy keeps what it has under these.
    env: { PATH: path, HOME: join(folder, 'home'), XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder },
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'pipe',
  })
  let log = ''
  const reading = (async () => {
    const decoder = new TextDecoder()
    for await (const chunk of child.stderr) log += decoder.decode(chunk, { stream: true })
  })()
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM')
    await child.exited
    await reading
  }
  for (const start = Date.now(); !(await isListening(port)); await Bun.sleep(20)) {
    if (child.exitCode === null && Date.now() - start < 10_000) continue
    await stop()
    throw new Error(`${name} does not listen: ${log}`)
  }
  return { port, url: `http://127.0.0.1:${port}`, log: () => log, stop, [Symbol.asyncDispose]: stop }
}

/** What a newcomer does: goes through docs/first-service.md with three terminals, by copy and paste. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { copyFile, mkdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { freePort } from '../support/ports.ts'
import { createStage, type Stage } from '../support/stage.ts'
import { until } from '../support/wait.ts'
import { root, tarball } from './install.ts'

const page = await Bun.file(join(root, 'docs/first-service.md')).text()

/** The blocks in order: commands, a file, and what the commands above are answered. */
const blocks = [...page.matchAll(/```(\w+)\n([\s\S]*?)```/g)].map(([, kind = '', text = '']) => ({
  kind,
  text: text.trim(),
}))
const commands = blocks.filter(({ kind }) => kind === 'sh').map(({ text }) => text)
const [startLogin = '', build = '', setUp = '', startService = '', ...walk] = commands
const [file = ''] = blocks.filter(({ kind }) => kind === 'ts').map(({ text }) => text)

let stage: Stage
/** Stands in for the folder of the repository, so that nothing is left in it. */
let repository: string
let ports: { login: number; example: number; service: number }
let service: Bun.Subprocess | null = null

const toLocal = (text: string): string =>
  text
    .replaceAll('127.0.0.1:3000', `127.0.0.1:${ports.login}`)
    .replaceAll('127.0.0.1:3002', `127.0.0.1:${ports.service}`)
    .replaceAll('port: 3002', `port: ${ports.service}`)

/** Blocks in one shell: with a line between the answers, and a mark after the output of each block. */
const mark = '\u001e'
const shell = (texts: readonly string[], cwd: string): { exitCode: number; outputs: string[] } => {
  const script = texts
    .map(text => `${toLocal(text).replaceAll(/^curl /gm, "curl -w '\\n' ")}\nprintf '${mark}'\n`)
    .join('')
  const { exitCode, stdout, stderr } = Bun.spawnSync(['bash', '-euo', 'pipefail', '-c', script], {
    cwd,
    env: process.env,
  })
  const outputs = stdout.toString().split(mark)
  return { exitCode, outputs: exitCode === 0 ? outputs.slice(0, -1) : [...outputs, stderr.toString()] }
}

const isUp = async (): Promise<boolean> => {
  try {
    return (await fetch(`http://127.0.0.1:${ports.service}/livez`)).ok
  } catch {
    return false
  }
}

/** Whether a line is as the page shows it: names of headers in any case, and anything for an ellipsis. */
const isShown = (line: string, shown: string): boolean =>
  new RegExp(`^${shown.split('…').map(RegExp.escape).join('.*')}$`, 'i').test(line)

beforeAll(async () => {
  stage = createStage()
  ports = { login: await freePort(), example: await freePort(), service: await freePort() }
  repository = join(stage.folder, 'latchkey')
  const packed = await tarball()
  await mkdir(join(repository, 'dist'), { recursive: true })
  await copyFile(packed, join(repository, 'dist', basename(packed)))
}, 60_000)
afterAll(async () => {
  service?.kill()
  await service?.exited
  await stage.end()
})

test('login starts with the settings of the page, and the package is made by a script that there is', async () => {
  const [, settings = ''] = /^((?:[A-Z_]+=\S+ )*)npm start$/.exec(startLogin) ?? []
  const pair = stage.run({
    folder: repository,
    env: {
      ...Object.fromEntries(
        settings.split(' ').flatMap(setting => (setting === '' ? [] : [setting.split('=')])),
      ),
      LOGIN_PORT: String(ports.login),
      SERVICE_A_PORT: String(ports.example),
    },
  })
  await pair.waitForLine(line => line.startsWith('Latchkey is up'))

  const { scripts } = await Bun.file(join(root, 'package.json')).json()
  const [, script = ''] = /^bun run (\S+)$/.exec(build) ?? []
  expect(scripts[script]).toContain('scripts/build-package.ts')
})

test('the package is installed, and the file of the page starts as a service', async () => {
  expect(shell([setUp], repository)).toMatchObject({ exitCode: 0 })
  const folder = join(stage.folder, 'notes')
  await Bun.write(join(folder, /^\/\/ (\S+)\n/.exec(file)?.[1] ?? ''), toLocal(file))
  service = Bun.spawn(['bash', '-c', `exec ${startService}`], {
    cwd: folder,
    env: process.env,
    stdout: 'ignore',
    stderr: 'ignore',
  })
  await until('the service of the page answers', isUp, 20_000)
}, 60_000)

test('each command of the walk is answered as the page says', () => {
  const { exitCode, outputs } = shell(walk, repository)
  expect({ exitCode, said: exitCode === 0 ? '' : outputs.at(-1) }).toEqual({ exitCode: 0, said: '' })
  const shown = blocks.slice(blocks.findIndex(({ text }) => text === walk[0]))
  // Commands and answers take turns.
  expect(shown.map(({ kind }) => kind)).toEqual(walk.flatMap(() => ['sh', 'http']))
  for (const [index, output] of outputs.entries()) {
    const lines = output.split(/\r?\n/)
    const answer = shown[index * 2 + 1]?.text ?? ''
    for (const line of answer.split('\n')) {
      const found = lines.some(candidate => isShown(candidate, line))
      expect({ command: walk[index], line, found, output: found ? '' : output }).toEqual({
        command: walk[index],
        line,
        found: true,
        output: '',
      })
    }
  }
})

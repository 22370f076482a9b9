/** What a newcomer does: starts the pair, and copies the README's walk into a shell. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { member, parseJson } from '../support/json.ts'
import { freePort } from '../support/ports.ts'
import { createStage, type Stage } from '../support/stage.ts'

const root = `${import.meta.dir}/../..`
const readme = await Bun.file(`${root}/README.md`).text()
const section = readme.slice(readme.indexOf('## Five minutes'), readme.indexOf('## What a request gets'))
/** The shell blocks of the walk, in order; all of them in one shell, as one would. */
const blocks = [...section.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block = '']) => block.trim())

let stage: Stage
let folder: string
let toLocal: (text: string) => string
let localPorts: Record<string, string>

beforeAll(async () => {
  stage = createStage()
  folder = stage.makeFolder('pair')
  const [login, service] = [await freePort(), await freePort()]
  localPorts = { LOGIN_URL: `http://127.0.0.1:${login}`, SERVICE_A_URL: `http://127.0.0.1:${service}` }
  toLocal = text =>
    text
      .replaceAll('127.0.0.1:3000', `127.0.0.1:${login}`)
      .replaceAll('127.0.0.1:3001', `127.0.0.1:${service}`)
      .replaceAll(/(examples|scripts)\//g, `${root}/$1/`)
  const pair = stage.run({ folder, env: { LOGIN_PORT: String(login), SERVICE_A_PORT: String(service) } })
  await pair.waitForLine(line => line.startsWith('Latchkey is up'))
})

afterAll(() => stage.end())

/** What the blocks print, with a line between their answers. */
const shell = (script: string): { exitCode: number; output: string } => {
  const { exitCode, stdout, stderr } = Bun.spawnSync(
    ['bash', '-euo', 'pipefail', '-c', toLocal(script).replaceAll(/^curl /gm, "curl -w '\\n' ")],
    { cwd: folder, env: { ...process.env, ...localPorts } },
  )
  return { exitCode, output: `${stdout.toString()}${stderr.toString()}` }
}

test('the README’s walk works by copy and paste: sign in, make a key, use it, make one for somebody else', () => {
  expect(blocks).toHaveLength(6)
  const { exitCode, output } = shell(blocks.slice(0, 5).join('\n'))
  expect(exitCode).toBe(0)
  const lines = output.split('\n').filter(line => line.startsWith('{'))
  const answers = lines.map(parseJson)

  expect(member(answers[0], 'name')).toBe('settings')
  expect(answers[1]).toEqual({ colour: 'blue' })
  expect(member(answers[2], 'kind')).toBe('key')
  expect(JSON.stringify(answers[3])).toContain('"name":"first"')
  expect(member(answers[4], 'code')).toBe('credential_missing')
  expect(member(answers[5], 'code')).toBe('api_key_invalid')
  expect(member(answers[6], 'name')).toBe('for ada')
  expect(member(answers[6], 'ownerId')).toMatch(/^usr_/)
  expect(member(answers[6], 'key')).toMatch(/^lk_/)
})

test('the caller in examples/service-b signs in, makes a key, uses it, and is refused once it is revoked', () => {
  const { exitCode, output } = shell(blocks[5] ?? '')
  expect(output.trim().split('\n')).toEqual([
    'signed in as admin@example.com',
    expect.stringMatching(/^made key_/),
    'wrote and read: {"colour":"blue"}',
    'after the key was revoked: 403 api_key_revoked',
  ])
  expect(exitCode).toBe(0)
})

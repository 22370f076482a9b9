import { afterAll, beforeAll, expect, test } from 'bun:test'
import manifest from '../../package.json' with { type: 'json' }
import { freePort } from '../support/ports.ts'
import { type Role, startRole } from '../support/role.ts'
import { createStage, type Stage } from '../support/stage.ts'

let stage: Stage
let login: Role

beforeAll(async () => {
  stage = createStage()
  login = await startRole(stage, { role: 'login' })
})
afterAll(() => stage.end())

/** Runs a command to its end. */
const run = async (args: readonly string[], env: Record<string, string> = {}) => {
  const program = stage.run({ args, env, folder: stage.makeFolder('command') })
  const { code } = await program.ended
  return { code, stdout: program.lines.join('\n'), stderr: program.stderr() }
}

test('health ends with 0 when the service answers, and with 1 when nobody does', async () => {
  const silent = { code: 0, stdout: '', stderr: '' }
  expect(await run(['health'], { PORT: String(login.port) })).toEqual(silent)
  expect(await run(['health'], { PORT: String(login.port), HOST: '0.0.0.0', ROLE: 'login' })).toEqual(silent)
  expect((await run(['health'], { PORT: String(await freePort()) })).code).toBe(1)
})

test('health ends with 1 when something answers that is not well, or does not come to an end', async () => {
  const other = Bun.serve({
    hostname: '127.0.0.1',
    port: await freePort(),
    fetch: () => new Response('', { status: 503 }),
  })
  const hanging = Bun.serve({
    hostname: '127.0.0.1',
    port: await freePort(),
    fetch: () => new Promise<Response>(() => {}),
  })
  try {
    const [unwell, silent] = await Promise.all([
      run(['health'], { PORT: String(other.port) }),
      run(['health'], { PORT: String(hanging.port) }),
    ])
    expect([unwell.code, silent.code]).toEqual([1, 1])
  } finally {
    await Promise.all([other.stop(true), hanging.stop(true)])
  }
})

test('version prints the version of the package', async () => {
  for (const command of ['version', '--version']) {
    expect(await run([command])).toEqual({ code: 0, stdout: manifest.version, stderr: '' })
  }
})

test('help says what there is, to standard output', async () => {
  for (const command of ['help', '--help']) {
    const { code, stdout, stderr } = await run([command])
    expect([code, stderr]).toEqual([0, ''])
    for (const word of ['health', 'version', 'help', 'ROLE', 'login', 'service-a'])
      expect(stdout).toContain(word)
  }
})

test('anything else ends with 2 and the same help, to standard error', async () => {
  for (const args of [['nonsense'], ['version', 'more'], ['__proto__'], ['--help', 'health'], ['']]) {
    const { code, stdout, stderr } = await run(args, { ROLE: 'login' })
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toContain('Usage: latchkey')
  }
})

/**
 * Runs the tests and counts them: `npm test [-- --ci | suite…]`.
 *
 * Without arguments: the tests beside the code, then test/e2e from source. With names: these suites (`unit`, `bench`,
 * or a folder of test/). With `--ci`: also types, lint, migrations and the page that is rendered from measurements,
 * and what is built: the binary goes through test/e2e as well, the npm package through test/package; and the examples of
 * reverse proxies, where these are installed. The last line is `N passed, N failed`.
 */
import { existsSync, readdirSync } from 'node:fs'
import { parseArgs } from 'node:util'
import manifest from '../package.json' with { type: 'json' }
import { missingProxies } from '../test/proxies/proxy.ts'

type Result = {
  readonly step: string
  readonly passed: number
  readonly failed: number
  readonly seconds: number
}
type Run = { readonly exitCode: number; readonly summary: string; readonly seconds: number }

const binary = `${process.cwd()}/dist/latchkey`
const tarball = `${process.cwd()}/dist/${manifest.name}-${manifest.version}.tgz`
const results: Result[] = []

/** Runs `bun <args…>`, showing what it writes; `bun test` writes its summary to stderr, so that is kept. */
const bun = async (args: readonly string[], env: Record<string, string> = {}): Promise<Run> => {
  const startedAt = performance.now()
  const child = Bun.spawn([process.execPath, ...args], {
    env: { ...process.env, ...(process.stderr.isTTY ? { FORCE_COLOR: '1' } : {}), ...env },
    stdin: 'ignore',
    stdout: 'inherit',
    stderr: 'pipe',
  })
  const decoder = new TextDecoder()
  let summary = ''
  for await (const chunk of child.stderr) {
    process.stderr.write(chunk)
    summary = (summary + decoder.decode(chunk, { stream: true })).slice(-2000)
  }
  const exitCode = await child.exited
  return { exitCode, summary: Bun.stripANSI(summary), seconds: (performance.now() - startedAt) / 1000 }
}

/** What stands above the last "Ran 600 tests across 40 files.": a test's own output can't be mistaken for it. */
const count = (summary: string, outcome: 'pass' | 'fail'): number => {
  const end = summary.lastIndexOf('\nRan ')
  const counts = end < 0 ? '' : (summary.slice(0, end).split('\n\n').at(-1) ?? '')
  return Number(new RegExp(`^ *(\\d+) ${outcome}$`, 'm').exec(counts)?.[1] ?? 0)
}

const announce = (step: string): void => {
  process.stdout.write(`\n── ${step}\n`)
}

/** A step that counts its own tests. One that ran none, or ended badly without saying why, has failed. */
const suite = async (step: string, folder: string, env?: Record<string, string>): Promise<void> => {
  announce(step)
  // Whole processes, real hashing: slower than what Bun gives a test. And none may outlive its suite.
  const args = folder === 'src' ? [] : ['--timeout', '60000']
  const { exitCode, summary, seconds } = await bun(['test', '--no-orphans', ...args, `./${folder}`], env)
  const passed = count(summary, 'pass')
  const failed = count(summary, 'fail')
  results.push({ step, passed, failed: Math.max(failed, exitCode === 0 && passed > 0 ? 0 : 1), seconds })
}

/** A step that passes or fails as one. */
const check = async (
  step: string,
  args: readonly string[],
  env?: Record<string, string>,
): Promise<boolean> => {
  announce(step)
  const { exitCode, seconds } = await bun(args, env)
  const ok = exitCode === 0
  results.push({ step, passed: ok ? 1 : 0, failed: ok ? 0 : 1, seconds })
  return ok
}

const notRun = (step: string, reason: string): void => {
  announce(step)
  process.stdout.write(`Not run: ${reason}\n`)
  results.push({ step, passed: 0, failed: 1, seconds: 0 })
}

/** Left out for what the machine lacks, which is no failure; the table says so. */
const skipped = (step: string, reason: string): void => {
  announce(step)
  process.stdout.write(`SKIPPED: ${reason}\n`)
  results.push({ step: `${step} (SKIPPED)`, passed: 0, failed: 0, seconds: 0 })
}

const folder = (name: string): string =>
  name === 'unit' ? 'src' : name === 'bench' ? 'bench' : `test/${name}`

const { values, positionals } = parseArgs({ options: { ci: { type: 'boolean' } }, allowPositionals: true })
const e2e = existsSync(folder('e2e'))
const names = positionals.length > 0 ? positionals : e2e ? ['unit', 'bench', 'e2e'] : ['unit', 'bench']

if (values.ci) {
  await check('types', ['run', 'types'])
  await check('lint', ['run', 'lint'])
  await check('performance page', ['bench/render.ts', '--check'])
  const sets = readdirSync('db').filter(set => existsSync(`db/${set}/meta/_journal.json`))
  for (const set of sets) {
    await check(`migrations ${set}`, ['run', 'drizzle-kit', 'check'], { MIGRATION_SET: set })
  }
}
for (const name of names) await suite(name, folder(name))
if (values.ci) {
  const built = await check('binary', ['run', 'build', `--outfile=${binary}`])
  if (e2e && built) await suite('e2e of the binary', folder('e2e'), { LATCHKEY_BINARY: binary })
  if (e2e && !built) notRun('e2e of the binary', 'the binary was not built, see above.')

  if (existsSync(folder('package'))) {
    const packed = await check('npm package', ['run', 'build:package'])
    if (packed) await suite('use of the package', folder('package'), { LATCHKEY_PACKAGE: tarball })
    else notRun('use of the package', 'the npm package was not built, see above.')
  }

  // They are no part of what is made here, and a machine may have no way to get them.
  const absent = missingProxies()
  if (absent.length === 0) await suite('proxies', folder('proxies'))
  else skipped('proxies', `${absent.join(' and ')} not installed: apt-get install nginx-light caddy.`)
}

const sum = (outcome: 'passed' | 'failed'): number =>
  results.reduce((total, result) => total + result[outcome], 0)
const row = (step: string, passed: string, failed: string, seconds: string): string =>
  `${step.padEnd(24)}${passed.padStart(8)}${failed.padStart(8)}${seconds.padStart(9)}\n`

process.stdout.write(`\n${row('step', 'passed', 'failed', 'seconds')}`)
for (const { step, passed, failed, seconds } of results) {
  process.stdout.write(row(step, String(passed), String(failed), seconds.toFixed(1)))
}
process.stdout.write(`\n${sum('passed')} passed, ${sum('failed')} failed\n`)
process.exitCode = sum('failed') > 0 || sum('passed') === 0 ? 1 : 0

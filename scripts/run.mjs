/**
 * `node scripts/run.mjs <file> [args…]`: runs a TypeScript file of this project with Bun.
 *
 * The one file that has to run before anything is there: on a machine with Node and npm alone it fetches
 * Bun, where there is only Bun it is run by Bun itself, and in both cases it installs what is missing.
 */
import { spawn, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const modules = join(root, 'node_modules')
// Beside the packages, so that it goes when they go. A copy and no date: a checkout changes every date.
const installedLock = join(modules, '.installed-bun.lock')

const { packageManager, dependencies, devDependencies } = JSON.parse(
  readFileSync(join(root, 'package.json'), 'utf8'),
)
const version = packageManager.replace('bun@', '')

const say = text => process.stderr.write(`${text}\n`)

const fail = text => {
  say(text)
  process.exit(1)
}

const read = path => (existsSync(path) ? readFileSync(path, 'utf8') : undefined)

const isBun = command => spawnSync(command, ['--version'], { encoding: 'utf8' }).stdout?.trim() === version

/** Has npm keep Bun in its cache, and asks where: run through npm, Bun would get no signal. */
const fetchBun = () => {
  say(`Bun ${version} is not on the PATH: using the one that npm has or gets.`)
  const found = spawnSync(
    'npm',
    [
      'exec',
      '--yes',
      '--prefer-offline',
      '--loglevel=error',
      `--package=bun@${version}`,
      '--call',
      'command -v bun',
    ],
    { cwd: root, encoding: 'utf8' },
  )
  const command = found.stdout?.trim() ?? ''
  if (found.status !== 0 || command === '') {
    fail(
      `${found.stderr ?? ''}Bun ${version} could not be fetched by npm. Install it (https://bun.com) and repeat.`,
    )
  }
  if (isBun(command)) return command
  // With install scripts switched off in npm, the command is a stub, and the program is still where it came.
  const platforms = join(dirname(command), '..', '@oven')
  const programs = existsSync(platforms)
    ? readdirSync(platforms).map(name => join(platforms, name, 'bin', 'bun'))
    : []
  return programs.find(isBun) ?? fail(`npm fetched Bun ${version}, but it does not run on this machine.`)
}

const findBun = () => {
  if (process.versions.bun !== undefined) return process.execPath
  return isBun('bun') ? 'bun' : fetchBun()
}

const missing = () =>
  [
    ...Object.keys({ ...dependencies, ...devDependencies }),
    '.bin/biome',
    '.bin/drizzle-kit',
    '.bin/tsc',
  ].filter(name => !existsSync(join(modules, name)))

const install = bun => {
  const lock = join(root, 'bun.lock')
  if (read(installedLock) === read(lock) && missing().length === 0) return
  say('Installing the dependencies …')
  const { status } = spawnSync(bun, ['install', '--frozen-lockfile', '--no-progress', '--no-summary'], {
    cwd: root,
    // Installing is no part of the command's own output.
    stdio: ['ignore', 2, 2],
  })
  if (status !== 0) fail('The dependencies could not be installed: see above.')
  const lacking = missing()
  if (lacking.length > 0) {
    fail(`The installation left out ${lacking.join(', ')}. Remove node_modules and repeat.`)
  }
  copyFileSync(lock, installedLock)
}

const [file, ...args] = process.argv.slice(2)
if (file === undefined) fail('usage: node scripts/run.mjs <file> [args…]')

const bun = findBun()
// Scripts start `bun` by name: it has to be this one. (A bare name is on the PATH already.)
const path = bun === 'bun' ? process.env.PATH : [dirname(bun), process.env.PATH].join(delimiter)
process.env.PATH = path
install(bun)

const child = spawn(bun, [file, ...args], { cwd: root, stdio: 'inherit' })
for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    // Ctrl-C at a terminal has reached the child already, and a second one may mean "at once" to it.
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
  })
}
child.on('error', error => fail(`Bun could not be started: ${error.message}`))
child.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]))

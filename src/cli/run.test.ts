import { afterEach, beforeEach, describe, expect, spyOn, test } from 'bun:test'
import manifest from '../../package.json' with { type: 'json' }
import type { Env } from '../lib/config.ts'
import { run } from './run.ts'

let output: string
let errors: string
let spies: { mockRestore(): void }[]
beforeEach(() => {
  output = ''
  errors = ''
  spies = [
    spyOn(process.stdout, 'write').mockImplementation(text => {
      output += text
      return true
    }),
    spyOn(process.stderr, 'write').mockImplementation(text => {
      errors += text
      return true
    }),
  ]
})
afterEach(() => {
  for (const spy of spies) spy.mockRestore()
})

describe('a command', () => {
  test.each(['version', '--version'])('%s prints the version, which programs can read', async command => {
    expect(await run([command], {})).toBe(0)
    expect({ output, errors }).toEqual({ output: `${manifest.version}\n`, errors: '' })
  })

  test.each(['help', '--help'])('%s tells every command, on standard output', async command => {
    expect(await run([command], {})).toBe(0)
    for (const known of ['clients', 'health', 'version', 'help', 'ROLE']) expect(output).toContain(known)
    expect(errors).toBe('')
  })

  test.each([
    [['nonsense']],
    [['Health']],
    [['']],
    [['-h']],
    [['version', 'please']],
    [['health', '--verbose']],
    [['__proto__']],
  ])('%j that is none is told how to be one, on standard error, with exit code 2', async args => {
    expect(await run(args, {})).toBe(2)
    expect(errors).toStartWith('Usage: latchkey [command]')
    expect(output).toBe('')
  })
})

describe('clients', () => {
  test('is the service accounts of the login, with its own exit codes and words', async () => {
    expect(await run(['clients'], {})).toBe(2)
    expect(errors).toStartWith('Usage: latchkey clients <verb>')
    errors = ''
    expect(await run(['clients', 'list'], { DATABASE_PATH: '/nowhere/at/all.sqlite' })).toBe(1)
    expect(errors).toBe('There is no database at /nowhere/at/all.sqlite.\n')
    expect(output).toBe('')
  })
})

describe('health', () => {
  const health = (env: Env) => run(['health'], env)

  const serveHere = (hostname: string, status: number) => {
    const paths: string[] = []
    const server = Bun.serve({
      port: 0,
      hostname,
      fetch: ({ url }) => {
        paths.push(new URL(url).pathname)
        return new Response('', { status })
      },
    })
    return { port: String(server.port), paths, [Symbol.dispose]: () => void server.stop(true) }
  }

  test('is 0 when the service on this machine answers, and asks for nothing but that', async () => {
    using service = serveHere('127.0.0.1', 200)
    expect(await health({ PORT: service.port })).toBe(0)
    expect(service.paths).toEqual(['/livez'])
    expect(output + errors).toBe('')
  })

  test.each([404, 500, 503])('is 1 when it answers with %p', async status => {
    using service = serveHere('127.0.0.1', status)
    expect(await health({ PORT: service.port })).toBe(1)
  })

  test('is 1 when nobody listens, or the settings name no place to ask at', async () => {
    const gone = serveHere('127.0.0.1', 200)
    gone[Symbol.dispose]()
    expect(await health({ PORT: gone.port })).toBe(1)
    expect(await health({ PORT: 'nonsense' })).toBe(1)
    expect(await health({ HOST: 'no host at all', PORT: gone.port })).toBe(1)
  })

  test.each(['0.0.0.0', '127.0.0.1', 'localhost'])('finds a service that listens on %s', async HOST => {
    using service = serveHere(HOST, 200)
    expect(await health({ HOST, PORT: service.port })).toBe(0)
  })

  test.each(['::', '::1'])('finds a service that listens on %s, where the machine has IPv6', async HOST => {
    let service: ReturnType<typeof serveHere>
    try {
      service = serveHere(HOST, 200)
    } catch {
      return
    }
    expect(await health({ HOST, PORT: service.port })).toBe(0)
    service[Symbol.dispose]()
  })

  test('asks at the port of the role when none is set', async () => {
    const fetched: string[] = []
    const spy = spyOn(globalThis, 'fetch').mockImplementation(
      Object.assign(
        async (input: string | URL | Request) => {
          fetched.push(String(input))
          return new Response()
        },
        { preconnect: fetch.preconnect },
      ),
    )
    for (const ROLE of ['login', 'service-a', undefined, 'toString']) await health({ ROLE })
    spy.mockRestore()
    expect(fetched).toEqual([3000, 3001, 3000, 3000].map(port => `http://127.0.0.1:${port}/livez`))
  })

  test('takes an empty variable as not set, as the services do', async () => {
    using service = serveHere('127.0.0.1', 200)
    expect(await health({ HOST: '', PORT: service.port })).toBe(0)
  })
})

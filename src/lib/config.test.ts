import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import fc from 'fast-check'
import {
  ConfigError,
  commonFaults,
  commonSettings,
  type Env,
  isLoopbackHost,
  readConfig,
  setting,
} from './config.ts'

const Settings = Type.Object({
  NAME: setting.text({ description: 'A name', mend: 'any name', minLength: 2, pattern: '^[a-z]+$' }),
  COUNT: setting.integer({ description: 'A count', mend: '1 to 9', default: 3, minimum: 1, maximum: 9 }),
  SWITCH: setting.boolean({ description: 'A switch', mend: 'true or false', default: false }),
  LIST: setting.list({ description: 'A list', mend: 'names', default: ['one'] }),
  ADDRESS: Type.Optional(setting.url({ description: 'An address', mend: 'https://host' })),
  TOKEN: Type.Optional(
    setting.text({ description: 'A token', mend: '8 letters', secret: true, minLength: 8 }),
  ),
})

/** The faults of a start, or null when it would go on. */
const faultsOf = (read: () => unknown): readonly string[] | null => {
  try {
    read()
    return null
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
}
const read = (env: Env) => readConfig(Settings, { NAME: 'ann', ...env })
const faults = (env: Env) => faultsOf(() => read(env))

describe('CFG-01: settings', () => {
  test('have their defaults, and those without one are needed', () => {
    expect(read({})).toEqual({ NAME: 'ann', COUNT: 3, SWITCH: false, LIST: ['one'] })
    expect(faultsOf(() => readConfig(Settings, {}))).toEqual(['NAME is not set: any name.'])
  })

  test('that are empty count as not set', () => {
    expect(read({ COUNT: '', SWITCH: '', LIST: '', ADDRESS: '', TOKEN: '' })).toEqual(read({}))
    expect(faultsOf(() => readConfig(Settings, { NAME: '' }))).toEqual(['NAME is not set: any name.'])
  })

  test('that nobody knows are left alone', () => {
    expect(read({ PATH: '/bin', COUNTS: '7', count: '7', COUNT_FILE: '/nowhere' })).toEqual(read({}))
  })

  test('are all told at once, by name and with the remedy', () => {
    const wrong = {
      NAME: 'A',
      COUNT: '0',
      SWITCH: 'yes',
      LIST: 'x'.repeat(300),
      ADDRESS: 'nope',
      TOKEN: 'short',
    }
    const found = faults(wrong) ?? []
    expect(found.map(fault => fault.split(' ')[0])).toEqual(Object.keys(wrong))
    for (const fault of found) expect(fault).toMatch(/^[A-Z]+ is not valid \(.+\): .+\.$/)
    expect(() => read(wrong)).toThrow(/^The configuration has 6 faults:\n {2}NAME .*\n {2}COUNT /)
    expect(() => read({ COUNT: 'x' })).toThrow(/^The configuration has a fault:\n {2}COUNT is not valid/)
  })

  test('LOG-02: no fault quotes a value, whatever it is', () => {
    const secretish = fc.stringMatching(/^[!-~]{6,40}$/).map(text => `~${text}~`)
    fc.assert(
      fc.property(secretish, value => {
        const env = Object.fromEntries(Object.keys(Settings.properties).map(name => [name, value]))
        const found = faultsOf(() => readConfig(Settings, { ...env, TOKEN: value.slice(0, 7) })) ?? []
        expect(found.length).toBeGreaterThan(2)
        for (const fault of found) expect(fault).not.toContain(value.slice(0, 7))
      }),
    )
  })

  test('that make a fault together are told in the same breath as the others', () => {
    const check = ({ COUNT, NAME }: { COUNT?: number; NAME?: string }) =>
      COUNT === 9 ? [`COUNT does not go with ${NAME === undefined ? 'nothing' : 'a NAME'}.`] : []
    expect(faultsOf(() => readConfig(Settings, { NAME: 'ann', COUNT: '9', SWITCH: 'x' }, check))).toEqual([
      expect.stringMatching(/^SWITCH is not valid/),
      'COUNT does not go with a NAME.',
    ])
    expect(faultsOf(() => readConfig(Settings, { NAME: 'ann', COUNT: '8' }, check))).toBeNull()
  })
})

describe('a value', () => {
  test.each(['1', '9', '05'])('%j is a count', COUNT => expect(read({ COUNT }).COUNT).toBe(Number(COUNT)))

  test.each([
    '0',
    '10',
    '-1',
    '1.5',
    '1e0',
    '0x1',
    ' 1',
    '1 ',
    '+1',
    '٣',
    '1_0',
    'one',
    'NaN',
    '9'.repeat(20),
  ])('%j is no count', COUNT => expect(faults({ COUNT })).toHaveLength(1))

  test('of a switch is true or false and no other word', () => {
    expect(read({ SWITCH: 'true' }).SWITCH).toBe(true)
    expect(read({ SWITCH: 'false' }).SWITCH).toBe(false)
    for (const SWITCH of ['1', '0', 'yes', 'TRUE', 'True', 'on', ' true']) {
      expect(faults({ SWITCH })).toHaveLength(1)
    }
  })

  test('of a list is separated by commas, its blanks and gaps dropped, at most 32', () => {
    expect(read({ LIST: 'a, b ,,c,' }).LIST).toEqual(['a', 'b', 'c'])
    expect(read({ LIST: ',' }).LIST).toEqual([])
    expect(read({ LIST: Array(32).fill('a').join() }).LIST).toHaveLength(32)
    expect(faults({ LIST: Array(33).fill('a').join() })).toHaveLength(1)
  })

  test.each([
    'https://login.example',
    'http://127.0.0.1:3000',
    'https://login.example/base/path',
    'https://login.example/b',
    'http://[::1]:3000',
  ])('%s is an address', ADDRESS => expect(read({ ADDRESS }).ADDRESS).toBe(ADDRESS))

  test.each([
    'login.example',
    'https://',
    'https://login.example/',
    'https://login.example/path/',
    'https://login.example?x=1',
    'https://login.example/#top',
    'https://user:password@login.example',
    'https://login.example/a b',
    'ftp://login.example',
    'javascript://login.example',
    ' https://login.example',
    'https://login.example\nhttps://other.example',
    'HTTPS://login.example',
  ])('%j is no address: it is compared as it stands, so there is one way to write it', ADDRESS =>
    expect(faults({ ADDRESS })).toHaveLength(1),
  )
})

describe('CFG-01: a secret', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'config-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))
  const file = (content: string): string => {
    const path = join(folder, 'secret')
    writeFileSync(path, content)
    return path
  }

  test.each([
    ['as it is', 'a long secret', 'a long secret'],
    ['without the newline at its end', 'a long secret\n', 'a long secret'],
    ['without the newline of Windows', 'a long secret\r\n', 'a long secret'],
    ['with every other blank', ' a long secret \n\n', ' a long secret \n'],
    ['in any script', 'ein Schlüssel 🔑\n', 'ein Schlüssel 🔑'],
  ])('comes from a file, %s', (_, content, secret) => {
    expect(read({ TOKEN_FILE: file(content) }).TOKEN).toBe(secret)
  })

  test('is not taken from the variable and a file together', () => {
    expect(faults({ TOKEN: 'a long secret', TOKEN_FILE: file('another secret') })).toEqual([
      'TOKEN and TOKEN_FILE are both set: set one.',
    ])
  })

  test('in a file that is not there, or is a folder, stops the start by name and without the path', () => {
    for (const TOKEN_FILE of [join(folder, 'nothing'), folder]) {
      expect(faults({ TOKEN_FILE })).toEqual(['TOKEN_FILE names a file that can not be read.'])
    }
  })

  test('from a file is judged like any other, and not quoted', () => {
    const [fault = ''] = faults({ TOKEN_FILE: file('short') }) ?? []
    expect(fault).toStartWith('TOKEN is not valid')
    expect(fault).not.toContain('short')
  })

  test('alone can come from a file: other settings stand where everyone reads them', () => {
    expect(read({ COUNT_FILE: file('7') }).COUNT).toBe(3)
  })

  test('has no file where the variable for it is empty, as in a compose file', () => {
    expect(read({ TOKEN_FILE: '' })).toEqual(read({}))
    expect(read({ TOKEN: '', TOKEN_FILE: file('a long secret') }).TOKEN).toBe('a long secret')
  })

  test('in a file that is empty stops the start: whoever names a file wants a secret', () => {
    expect(faults({ TOKEN_FILE: file('') })).toHaveLength(1)
    expect(faults({ TOKEN_FILE: file('\n') })).toHaveLength(1)
  })
})

describe('the settings that both roles have', () => {
  const Common = Type.Object(commonSettings({ port: 3_000, database: './data/x.sqlite' }))
  const common = (env: Env) => faultsOf(() => readConfig(Common, env))

  test('are safe when nobody sets any: loopback, no debug output, no secret', () => {
    expect(readConfig(Common, {})).toEqual({
      HOST: '127.0.0.1',
      PORT: 3_000,
      DATABASE_PATH: './data/x.sqlite',
      TRUSTED_PROXIES: [],
      LOG_LEVEL: 'info',
      DRAIN_SECONDS: 30,
      OPENAPI: true,
    })
  })

  test.each([
    ['PORT', '65536'],
    ['PORT', '-1'],
    ['LOG_LEVEL', 'verbose'],
    ['LOG_LEVEL', 'INFO'],
    ['DRAIN_SECONDS', '301'],
    ['OPENAPI', 'no'],
  ])('%s can not be %s', (name, value) => {
    expect(common({ [name]: value })).toEqual([expect.stringMatching(new RegExp(`^${name} is not valid`))])
  })

  test('AUT-11: proxies that can not be trusted are told by their place and what is wrong, with no value quoted', () => {
    const faults = (TRUSTED_PROXIES: string) =>
      faultsOf(() => readConfig(Common, { TRUSTED_PROXIES }, commonFaults))
    expect(faults('127.0.0.1, ::1,10.0.3.0/24')).toBeNull()
    expect(faults('127.0.0.1,proxy.example,0.0.0.0/0, 10.0.3.1/24')).toEqual([
      expect.stringMatching(
        /^TRUSTED_PROXIES is not valid: number 2 of the list must be an address or a netw/,
      ),
      expect.stringMatching(/^TRUSTED_PROXIES is not valid: number 3 of the list must not be everybody/),
      expect.stringMatching(
        /^TRUSTED_PROXIES is not valid: number 4 of the list must have no bit set beyond/,
      ),
    ])
    expect(faults('127.0.0.1,proxy.example')?.join()).not.toContain('proxy.example')
    expect(faults(Array(33).fill('10.0.0.1').join())).toEqual([
      expect.stringMatching(/^TRUSTED_PROXIES is not valid.*up to 32 addresses and networks/),
    ])
  })

  test('TOK-13: a shared secret of less than 32 characters stops the start', () => {
    expect(common({ JWT_SECRET: 'x'.repeat(31) })?.[0]).toMatch(/JWT_SECRET .* openssl rand -base64 32\.$/)
    expect(common({ JWT_SECRET: 'x'.repeat(32) })).toBeNull()
  })

  test('each says what it is for, and how to mend it', () => {
    for (const schema of Object.values<{ description?: string; mend?: string }>(Common.properties)) {
      expect(schema.description).toMatch(/\.$/)
      expect(schema.mend).toMatch(/\w/)
    }
  })
})

describe('CFG-03: loopback is this machine', () => {
  test.each(['localhost', '127.0.0.1', '127.255.0.1', '::1', '[::1]'])('%s is', host =>
    expect(isLoopbackHost(host)).toBe(true),
  )
  test.each([
    '0.0.0.0',
    '::',
    '10.0.0.1',
    '127.0.0.1.example',
    'localhost.example',
    'xlocalhost',
    '1127.0.0.1',
    '127.1',
    'example/127.0.0.1',
    '127.0.0.1\n',
    '',
  ])('%j is not', host => expect(isLoopbackHost(host)).toBe(false))
})

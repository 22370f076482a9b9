import { expect, test } from 'bun:test'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConfigError } from '../lib/config.ts'
import { start } from './pair.ts'

test.each([
  ['LOGIN_PORT', '0'],
  ['LOGIN_PORT', '65536'],
  ['LOGIN_PORT', 'http'],
  ['SERVICE_A_PORT', '-1'],
  ['SERVICE_A_PORT', '30.5'],
])('a pair on %s %s does not start: it says so by name, and has made no secret', async (name, value) => {
  const [folder, before] = [mkdtempSync(join(tmpdir(), 'pair-')), process.cwd()]
  process.chdir(folder)
  try {
    const starting = start({ [name]: value })
    await expect(starting).rejects.toThrow(ConfigError)
    await expect(starting).rejects.toThrow(`${name} is not valid: a number from 1 to 65535.`)
    expect(existsSync(join(folder, 'data'))).toBe(false)
  } finally {
    process.chdir(before)
    rmSync(folder, { recursive: true })
  }
})

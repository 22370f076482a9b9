import { expect, test } from 'bun:test'
import { readBaseline } from './baseline.ts'

test('the app without authentication is the one that is pinned', async () => {
  expect(await readBaseline()).toMatchObject({ file: 'bench/servers/without-auth.ts' })
})

test('another app is refused, by name and hash', async () => {
  await expect(readBaseline('0'.repeat(64))).rejects.toThrow(
    /without-auth\.ts has changed: its SHA-256 is [0-9a-f]{64}/,
  )
})

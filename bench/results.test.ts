import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileName, readProfile, readResults, writeResults } from './results.ts'
import { testResults } from './test-results.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'results-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

test('the newest run is read, and a profile is not taken for one', async () => {
  const run = (startedAt: string, commit: string) => testResults({ startedAt, commit })
  await writeResults(run('2026-02-01T00:00:00.000Z', 'b0b'), '', folder)
  await writeResults(run('2026-02-01T09:30:00.000Z', 'a0a'), '', folder)
  await writeResults(run('2025-12-31T23:59:00.000Z', 'fff'), '', folder)
  await Bun.write(join(folder, fileName(run('2026-03-01T00:00:00.000Z', 'ccc'), '-profile')), '{}')
  const { name, results } = await readResults(folder)
  expect([name, results.commit]).toEqual(['20260201T0930Z-a0a.json', 'a0a'])
})

test('no run, or one of another form, is said rather than drawn', async () => {
  await expect(readResults(folder)).rejects.toThrow('holds no run')
  expect(await readProfile(folder)).toBeNull()
  await Bun.write(join(folder, '20260201T0930Z-a0a.json'), JSON.stringify({ ...testResults(), signIns: 1 }))
  await expect(readResults(folder)).rejects.toThrow()
})

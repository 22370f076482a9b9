import { expect, test } from 'bun:test'
import { checkModel } from '../model/run.ts'

/** A short form of `bun run test model`. */
test('whatever happens in whatever order, nothing is honoured later than the bound, and in the end both sides agree', async () => {
  const { requests } = await checkModel({ isLong: false, runs: 100, commands: 60, seconds: 12 })
  expect(requests).toBeGreaterThan(200)
}, 120_000)

import { expect, test } from 'bun:test'
import { checkModel } from './run.ts'

const { MODEL_SECONDS: seconds = '180' } = process.env

test('whatever happens in whatever order, nothing is honoured later than the bound, and in the end both sides agree', async () => {
  const report = await checkModel({
    isLong: true,
    runs: 1_000,
    commands: 120,
    seconds: Number(seconds),
  })
  process.stdout.write(`model: ${JSON.stringify(report)}\n`)
  expect(report.requests).toBeGreaterThan(1_000)
}, 900_000)

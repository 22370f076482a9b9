import { expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type PacedOutcome, type Plan, percentile, readOutcomes } from './plan.ts'

const run = async (
  answer: (request: Request) => Response | Promise<Response>,
  stream: Partial<Plan['streams'][number]>,
): Promise<PacedOutcome | undefined> => {
  const folder = mkdtempSync(join(tmpdir(), 'paced-'))
  const server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: answer })
  try {
    const headersFile = join(folder, 'headers.txt')
    await Bun.write(headersFile, 'X-Caller: one\nX-Caller: two\n')
    const plan: Plan = {
      url: `http://127.0.0.1:${server.port}`,
      seconds: 1,
      streams: [{ path: '/a', headersFile, perSecond: 100, connections: 2, ...stream }],
    }
    const command = [process.execPath, join(import.meta.dir, 'paced.ts'), JSON.stringify(plan)]
    const child = Bun.spawn(command, { stdin: 'ignore', stdout: 'pipe', stderr: 'inherit', timeout: 20_000 })
    return readOutcomes(await child.stdout.text())[0]
  } finally {
    await server.stop(true)
    rmSync(folder, { recursive: true })
  }
}

test('as many requests as the rate makes, each with the next header, and every status is counted', async () => {
  const callers: (string | null)[] = []
  const outcome = await run(
    ({ headers }) => {
      callers.push(headers.get('x-caller'))
      return Response.json({}, { status: callers.length % 10 === 0 ? 429 : 200 })
    },
    { connections: 1 },
  )
  expect(outcome).toMatchObject({ requests: 100, statuses: { 200: 90, 429: 10 } })
  expect(callers.slice(0, 4)).toEqual(['one', 'two', 'one', 'two'])
})

test('who had to wait for others is counted as having waited', async () => {
  // 20 come in a second, and one connection gets 10 answers in it: the last one waits for about a second.
  const outcome = await run(
    async () => {
      await Bun.sleep(100)
      return new Response('x')
    },
    { connections: 1, perSecond: 20 },
  )
  expect(outcome?.requests).toBe(20)
  expect(outcome?.maxMilliseconds ?? 0).toBeGreaterThan(900)
})

test('a percentile is a value that was measured, which so many do not exceed', () => {
  const values = Array.from({ length: 200 }, (_, index) => 200 - index)
  expect([50, 99, 100].map(percent => percentile(values, percent))).toEqual([100, 198, 200])
  expect(() => percentile([], 99)).toThrow(RangeError)
})

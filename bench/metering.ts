import { Database } from 'bun:sqlite'
import { join } from 'node:path'
import { publicId } from '../src/apikey/token.ts'
import { meteredPerSecond } from './cases.ts'
import { settleDisk } from './disk.ts'
import { type PacedOutcome, type Plan, readOutcomes } from './load/plan.ts'
import type { MeteringRound, Wait } from './results.ts'
import type { Stage } from './stage.ts'
import { checkAnswer, fileOf, type Subject } from './subject.ts'

/** Of the others together this is less than a tenth of what the server could answer. */
const hotKeyPerSecond = 2_000
const jwtPerSecond = 1_000
const connections = 16

const secondsOfWarmUp = 1

const generator = join(import.meta.dir, 'load/paced.ts')

/** @throws Error where the generator fails */
const runPaced = async (plan: Plan): Promise<PacedOutcome[]> => {
  const child = Bun.spawn([process.execPath, generator, JSON.stringify(plan)], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: (plan.seconds + 60) * 1_000,
  })
  const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text()])
  if ((await child.exited) !== 0) throw new Error(`The load failed: ${errors}`)
  return readOutcomes(output)
}

/** The credits that a key has by its database, which the server writes to before it answers. */
const balanceOf = (path: string, key: string): number => {
  const database = new Database(path, { readonly: true })
  try {
    // After the prefix and its underscore come the 16 characters of the id.
    const id = publicId(key.slice(key.length - 65, key.length - 49))
    const row: unknown = database
      .query('SELECT remaining FROM api_key_credits WHERE lineage_id = ?')
      .values(id)[0]?.[0]
    if (typeof row !== 'number') throw new Error('The metered key has no balance')
    return row
  } finally {
    database.close()
  }
}

const wait = ({ p50Milliseconds, p99Milliseconds, maxMilliseconds }: PacedOutcome): Wait => ({
  p50Milliseconds,
  p99Milliseconds,
  maxMilliseconds,
})

/**
 * Callers with a hot key and with a JWT, at a moderate rate: by themselves, and while a metered key is used a thousand
 * times a second.
 *
 * @throws Error when one answer was no 200, or the metered key was charged for more or fewer requests than were answered
 */
export const measureMetering = async (
  stage: Stage,
  round: number,
  seconds: number,
): Promise<MeteringRound> => {
  const { server, database, key, metered, hotKey, jwt } = await stage.meteredCallers()
  server.resume()
  try {
    const callers = [hotKey, jwt, metered]
    await Promise.all(callers.map(checkAnswer))
    const headersFiles = await Promise.all(callers.map(fileOf))
    const rates = [hotKeyPerSecond, jwtPerSecond, meteredPerSecond]
    const run = async (subjects: readonly Subject[], time: number): Promise<PacedOutcome[]> => {
      const outcomes = await runPaced({
        url: server.url,
        seconds: time,
        streams: subjects.map(({ path }, index) => ({
          path,
          headersFile: headersFiles[index] ?? '',
          perSecond: rates[index] ?? 0,
          connections,
        })),
      })
      for (const [index, { requests, statuses }] of outcomes.entries()) {
        if (statuses['200'] === requests) continue
        throw new Error(`${subjects[index]?.name} answered wrongly: ${JSON.stringify(statuses)}`)
      }
      return outcomes
    }
    await run(callers, secondsOfWarmUp)
    server.clearLog()
    settleDisk()

    const [hotAlone, jwtAlone] = await run([hotKey, jwt], seconds)
    const balance = balanceOf(database, key)
    const before = server.cpuMicroseconds()
    const [hotBeside, jwtBeside, costly] = await run(callers, seconds)
    const cpu = server.cpuMicroseconds() - before
    if (!hotAlone || !jwtAlone || !hotBeside || !jwtBeside || !costly) throw new Error('A stream is missing')
    const taken = balance - balanceOf(database, key)
    if (taken !== costly.requests) {
      throw new Error(`${costly.requests} requests were answered, and ${taken} credits taken`)
    }
    return {
      round,
      seconds,
      perSecond: { hotKey: hotKeyPerSecond, jwt: jwtPerSecond, metered: meteredPerSecond },
      answered: costly.requests,
      creditsTaken: taken,
      busyPercent: cpu / seconds / 10_000,
      alone: { hotKey: wait(hotAlone), jwt: wait(jwtAlone) },
      beside: { hotKey: wait(hotBeside), jwt: wait(jwtBeside), metered: wait(costly) },
    }
  } finally {
    server.clearLog()
    server.pause()
  }
}

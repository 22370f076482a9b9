import { join } from 'node:path'
import { member, parseJson } from '../test/support/json.ts'
import type { SignInRound } from './results.ts'
import { password, type Stage } from './stage.ts'
import { checkAnswer, load, type Subject } from './subject.ts'
import { runWrk } from './wrk.ts'

/** As many as `login` hashes at a time where HASH_CONCURRENCY is not set. */
export const hashConcurrency = Math.max(1, navigator.hardwareConcurrency - 1)

/** What `login` has as PASSWORD_MEMORY_KIB where it is not set. */
const memoryKib = 19_456

const floodConnections = 50
const tokenConnections = 4

/** How many hashes of that cost this machine can do, with nothing around them. */
const measureHashes = async (seconds: number): Promise<number> => {
  const child = Bun.spawn(
    [
      process.execPath,
      join(import.meta.dir, 'servers/hashes.ts'),
      ...[hashConcurrency, seconds, memoryKib].map(String),
    ],
    { stdin: 'ignore', stdout: 'pipe', stderr: 'inherit', timeout: (seconds + 30) * 1_000 },
  )
  const perSecond = member(parseJson(await child.stdout.text()), 'perSecond')
  if (typeof perSecond !== 'number') throw new Error('The hashes could not be counted')
  return perSecond
}

/** wrk leaves at its time and waits for no answer: what it left behind would stand in line before what comes next. */
const settle = (): Promise<void> => Bun.sleep(500 + 100 * 5 * hashConcurrency)

/** During a flood each sign-in has to be let in or told to come back, and nothing else. @throws Error */
const watchFlood = async (url: string, body: string, seconds: number): Promise<void> => {
  for (const start = performance.now(); performance.now() - start < (seconds - 0.5) * 1_000; ) {
    const headers = { 'content-type': 'application/json' }
    const response = await fetch(url, { method: 'POST', headers, body, signal: AbortSignal.timeout(20_000) })
    await response.body?.cancel()
    if (response.status !== 200 && response.status !== 503) {
      throw new Error(`A sign-in in the flood was answered with ${response.status}`)
    }
    await Bun.sleep(200)
  }
}

/** Sign-ins beside bare hashes, and requests with a token while everybody signs in. */
export const measureSignIns = async (stage: Stage, round: number, seconds: number): Promise<SignInRound> => {
  const { server, token, email, headers } = await stage.login()
  const body = JSON.stringify({ email, password })
  const signIn: Subject = {
    name: 'sign-in',
    server,
    method: 'POST',
    path: '/auth/login',
    body,
    credentials: headers,
    status: 200,
  }
  const profile: Subject = {
    name: 'profile',
    server,
    path: '/users/me',
    credentials: { header: `Authorization: Bearer ${token}` },
    status: 200,
  }
  server.clearLog()
  const hashesPerSecond = await measureHashes(seconds)
  await checkAnswer(signIn)
  // No more at once than wait for their turn: none is sent away.
  const connections = 4 * hashConcurrency
  await load(signIn, 1, connections)
  await settle()
  const before = server.cpuMicroseconds()
  const alone = await load(signIn, seconds, connections)
  const cpu = server.cpuMicroseconds() - before

  await settle()
  await checkAnswer(profile)
  await load(profile, 1, tokenConnections)
  const url = `${server.url}/auth/login`
  const script = {
    path: join(import.meta.dir, 'load/replay.lua'),
    args: ['POST', '/auth/login', headers.file, '0', body],
  }
  const [flood, tokens] = await Promise.all([
    runWrk({ url, seconds, connections: floodConnections, script }),
    load(profile, seconds, tokenConnections),
    watchFlood(url, body, seconds),
  ])
  await settle()
  if (flood.broken > 0) throw new Error(`Connections broke in the flood: ${JSON.stringify(flood)}`)
  server.clearLog()
  return {
    round,
    hashesPerSecond,
    signInsPerSecond: alone.requests / alone.seconds,
    cpuMillisecondsOfSignIn: cpu / alone.requests / 1_000,
    flood: {
      signInsPerSecond: (flood.requests - flood.refused) / flood.seconds,
      shedPerSecond: flood.refused / flood.seconds,
      tokenRequestsPerSecond: tokens.requests / tokens.seconds,
      tokenP99Milliseconds: tokens.p99Milliseconds,
    },
  }
}

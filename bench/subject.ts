import { join } from 'node:path'
import { member, parseJson } from '../test/support/json.ts'
import type { Measurement } from './results.ts'
import type { ServerProcess } from './server-process.ts'
import { type Outcome, runWrk } from './wrk.ts'

/** A case that can be put under load: which server, with what requests, and what the answer has to be. */
export type Subject = {
  readonly name: string
  readonly server: ServerProcess
  readonly method?: 'GET' | 'POST' | 'PUT'
  /** `{n}` counts from 0 to 99. */
  readonly path: string
  readonly body?: string
  readonly credentials: Credentials
  readonly status: number
  /** Of a refusal. */
  readonly code?: string
  /** At a time, where it is another number than elsewhere. */
  readonly connections?: number
  /** Has to be done before each load, so that the answers are what the case is about. */
  readonly prepare?: () => Promise<void>
}

/** A header that every request has, or a file with one a line. */
export type Credentials =
  | { readonly header: string | null }
  | { readonly file: string; readonly size: number }

const replay = join(import.meta.dir, 'load/replay.lua')

const headerOf = async (credentials: Credentials): Promise<string | null> => {
  if ('header' in credentials) return credentials.header
  // The file may be large, and a line is short.
  const start = await Bun.file(credentials.file).slice(0, 4_096).text()
  return start.split('\n')[0] ?? null
}

/** A file with a header a line, for a generator that takes no other. */
export const fileOf = async ({ name, server, credentials }: Subject): Promise<string> => {
  if ('file' in credentials) return credentials.file
  const path = join(server.folder, `${server.name}-${name.replaceAll(' ', '-')}.txt`)
  await Bun.write(path, `${credentials.header ?? 'Accept: */*'}\n`)
  return path
}

/** Asks once and looks at the answer. @throws Error when it is not the one that the case is about. */
export const checkAnswer = async ({
  name,
  server,
  method = 'GET',
  path,
  body,
  credentials,
  status,
  code,
}: Subject): Promise<void> => {
  const header = await headerOf(credentials)
  const [field, value] = header?.split(': ') ?? []
  const response = await fetch(`${server.url}${path.replace('{n}', '0')}`, {
    method,
    headers: {
      ...(field === undefined || value === undefined ? {} : { [field]: value }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body }),
    signal: AbortSignal.timeout(20_000),
  })
  const text = await response.text()
  if (response.status !== status || (code !== undefined && member(parseJson(text), 'code') !== code)) {
    throw new Error(
      `${name} answered ${response.status} and not ${status} ${code ?? ''}: ${text.slice(0, 500)}`,
    )
  }
}

/** Puts a case under load. @throws Error when a single answer was another than what the case is about. */
export const load = async (
  subject: Subject,
  seconds: number,
  connections: number,
  // Elsewhere each time, so that one run does not begin with what the last one left in memory.
  start = Math.floor(Math.random() * 1_000_000),
): Promise<Outcome> => {
  const { name, server, method = 'GET', path, body, credentials, status } = subject
  const isPlain = 'header' in credentials && method === 'GET'
  const outcome = await runWrk({
    url: `${server.url}${path}`,
    seconds,
    connections: subject.connections ?? connections,
    ...(isPlain && credentials.header !== null ? { headers: [credentials.header] } : {}),
    ...('file' in credentials
      ? {
          script: {
            path: replay,
            args: [method, path, credentials.file, String(start), ...(body === undefined ? [] : [body])],
          },
        }
      : {}),
  })
  const refused = status < 400 ? 0 : outcome.requests
  if (outcome.requests === 0 || outcome.broken > 0 || Math.abs(outcome.refused - refused) > 0) {
    throw new Error(`${name} answered wrongly under load: ${JSON.stringify(outcome)}`)
  }
  return outcome
}

/** Goes through all credentials once, for a cache that is to hold them. @throws Error when that takes a minute. */
export const goThrough = async (subject: Subject, connections: number): Promise<void> => {
  const { server, credentials, name } = subject
  const size = 'size' in credentials ? credentials.size : 1
  server.resume()
  let done = 0
  for (let time = 0; done < size; time += 1) {
    if (time === 30) throw new Error(`${name} is too slow: ${done} of ${size} credentials in a minute`)
    done += (await load(subject, 2, connections, done)).requests
  }
}

export type MeasureOptions = {
  readonly round: number
  readonly seconds: number
  readonly warmUpSeconds: number
  readonly connections: number
}

/** One round of a case: its answers are looked at before and after, and every one is counted in between. */
export const measure = async (
  subject: Subject,
  { round, seconds, warmUpSeconds, connections }: MeasureOptions,
): Promise<Measurement> => {
  const { server, name } = subject
  server.resume()
  try {
    await subject.prepare?.()
    await checkAnswer(subject)
    if (warmUpSeconds > 0) await load(subject, warmUpSeconds, connections)
    server.clearLog()
    const before = server.cpuMicroseconds()
    const outcome = await load(subject, seconds, connections)
    const cpu = server.cpuMicroseconds() - before
    await checkAnswer(subject)
    return {
      case: name,
      round,
      requests: outcome.requests,
      seconds: outcome.seconds,
      requestsPerSecond: outcome.requests / outcome.seconds,
      p50Milliseconds: outcome.p50Milliseconds,
      p99Milliseconds: outcome.p99Milliseconds,
      cpuMicroseconds: cpu / outcome.requests,
      residentMegabytes: server.residentBytes() / 1_000_000,
    }
  } finally {
    server.clearLog()
    server.pause()
  }
}

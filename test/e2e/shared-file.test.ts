/** Several processes serve from one database file: what one of them does to a key counts for all of them. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { now } from '../revocation/clock.ts'
import { quantile } from '../revocation/measure.ts'
import { call } from '../support/http.ts'
import { kinds, prepareTrial, type Trial, type TrialContext } from '../support/key-trials.ts'
import {
  createWatch,
  lagOf,
  requestWith,
  resultOf,
  type Seen,
  strangeIn,
  type Watch,
  watchChange,
} from '../support/key-watch.ts'
import type { Role } from '../support/role.ts'
import { type SharedSite, startSharedSite } from '../support/shared-site.ts'
import { addPerson, makeKey, signIn } from '../support/site.ts'
import { withDatabase } from '../support/sqlite-file.ts'

/** The promise: from the acknowledgement of a change in one process to its effect in every other one. */
const boundMs = 100
/** Two clocks of one machine, one of which counts whole milliseconds. */
const clockMs = 2

const { LATCHKEY_BINARY: binary = '' } = process.env
const trials = binary === '' ? 200 : 48
const workers = 4

type Served = { readonly role: Role; readonly watch: Watch }

let site: SharedSite
let context: TrialContext
const served: Served[] = []
const serve = (role: Role): void => {
  served.push({ role, watch: createWatch(role.port, workers + 4) })
}

beforeAll(async () => {
  site = await startSharedSite()
  serve(site.service)
  serve(await site.addService())
  const { accessToken: token } = await signIn(site, site.admin)
  const owner = await addPerson(site, token, { name: 'ann' })
  const other = await addPerson(site, token, { name: 'eve' })
  const put = { token: other.accessToken, method: 'PUT', json: {} }
  expect((await call(`${site.service.url}/documents/other`, put)).status).toBe(201)
  context = { site, token, owner, other }
}, 60_000)
afterAll(async () => {
  for (const { watch } of served) watch.close()
  await site.stage.end()
})

/** Uses some keys on every service all the time while something else is done, and tells what was not let in. */
const underLoad = async (rate: number, act: () => Promise<void>) => {
  const made = await Promise.all(
    Array.from({ length: 4 }, () =>
      makeKey(site, context.other.accessToken, { permissions: ['documents:read'] }),
    ),
  )
  const requests = made.map(({ key }) => requestWith(key, 'GET', '/documents?limit=1'))
  const uses: Promise<void>[] = []
  const troubles: string[] = []
  const timer = setInterval(() => {
    for (const [index, { watch }] of served.entries()) {
      const use = watch.ask(requests[uses.length % requests.length] ?? '').then(reply => {
        if (reply.status !== 200) troubles.push(`load on ${index}: ${resultOf(reply)}`)
      })
      uses.push(use)
    }
  }, 1_000 / rate)
  try {
    await act()
  } finally {
    clearInterval(timer)
  }
  await Promise.all(uses)
  for (const { id } of made) {
    await call(`${site.service.url}/api-keys/${id}`, { token: context.token, method: 'DELETE' })
  }
  return { sent: uses.length, troubles }
}

/** What the process that made the change answers from that moment on, and what else must hold everywhere. */
const checkAtOnce = async ({ watch }: Served, { use, also, instant }: Trial): Promise<string[]> => {
  const troubles: string[] = []
  if (instant() === null) {
    const result = resultOf(await watch.ask(use.request))
    if (result !== use.after) troubles.push(`${use.what}: ${result} where it was changed`)
  }
  const another = also()
  if (another === null) return troubles
  for (const { watch: each } of served) {
    const result = resultOf(await each.ask(another.request))
    if (result !== another.result) troubles.push(`${use.what}, the new one: ${result}`)
  }
  return troubles
}

/**
 * A time of expiry is exact where every process has heard of it before: nothing is let in that was sent after it, and
 * nothing is refused before it.
 */
const checkInstant = (
  { use, replies }: Seen,
  { at, acknowledgedAt }: NonNullable<ReturnType<Trial['instant']>>,
): string[] => {
  const last = Math.max(at + clockMs, acknowledgedAt + boundMs)
  return replies.flatMap(reply => {
    const isLate = resultOf(reply) === use.before && reply.sentAt > last
    const isEarly = resultOf(reply) === use.after && reply.answeredAt < at - clockMs
    const time = `${reply.sentAt - at} ms after it, ${reply.sentAt - acknowledgedAt} ms after it was acknowledged`
    return isLate || isEarly ? [`${use.what}: ${resultOf(reply)} ${time}`] : []
  })
}

const runTrial = async (kind: string, writer: Served, all: readonly Served[]) => {
  const trial = await prepareTrial(kind, context)
  const troubles: string[] = []
  const others = all.filter(({ role }) => role !== writer.role).map(({ watch }) => watch)
  // Where the change is made the key is in memory as well.
  for (let uses = 0; uses < 3; uses += 1) await writer.watch.ask(trial.use.request)
  const seen = await watchChange(others, trial.use, async () => {
    const countsFrom = await trial.change(writer.role)
    troubles.push(...(await checkAtOnce(writer, trial)))
    return countsFrom
  })
  const instant = trial.instant()
  for (const each of seen) {
    troubles.push(...strangeIn(each))
    if (instant !== null) troubles.push(...checkInstant(each, instant))
  }
  await call(`${site.service.url}/api-keys/${trial.key.id}`, { token: context.token, method: 'DELETE' })
  const uses = seen.reduce((sum, { replies }) => sum + replies.length, 0)
  return { uses, lags: instant === null ? seen.map(lagOf) : [], troubles }
}

/** Runs trials of all kinds, some at once, each service in turn being the one that makes the change. */
const runTrials = async (count: number) => {
  const names = Object.keys(kinds)
  const done: Awaited<ReturnType<typeof runTrial>>[] = []
  let started = 0
  const work = async (): Promise<void> => {
    for (let index = started++; index < count; index = started++) {
      const kind = names[index % names.length] ?? ''
      const writer = served[Math.floor(index / names.length) % served.length]
      if (writer !== undefined) done.push(await runTrial(kind, writer, served))
    }
  }
  const { sent, troubles } = await underLoad(100, async () => {
    await Promise.all(Array.from({ length: workers }, work))
  })
  return {
    done: done.length,
    requests: done.reduce((sum, { uses }) => sum + uses, sent),
    lags: done.flatMap(({ lags }) => lags),
    troubles: [...done.flatMap(one => one.troubles), ...troubles],
  }
}

/** For the reader of a log: times on a machine that does other things are no promise, the bound is. */
const tell = (what: string, lags: readonly number[]): void => {
  const [middle, most] = [quantile(lags, 0.5), Math.max(...lags)].map(lag => lag.toFixed(1))
  process.stdout.write(`${what}: honoured for ${middle} ms at p50, ${most} ms at most, n = ${lags.length}\n`)
}

test(`what one of two processes does to a key counts in the other within ${boundMs} ms, and in itself at once`, async () => {
  const started = now()
  const { done, requests, lags, troubles } = await runTrials(trials)
  tell(`two processes, ${done} changes in ${Math.round(now() - started)} ms under ${requests} requests`, lags)
  expect(troubles).toEqual([])
  expect(done).toBe(trials)
  expect(lags.filter(lag => lag > boundMs)).toEqual([])
}, 60_000)

test(`what somebody else writes into the file counts within ${boundMs} ms`, async () => {
  const seen: Seen[] = []
  const runRounds = async (): Promise<void> => {
    for (let round = 0; round < 8; round += 1) {
      const trial = await prepareTrial(round % 2 === 0 ? 'disabled' : 'enabled', context)
      const [enabled, id] = [round % 2, trial.key.id]
      const write = async (): Promise<number> => {
        withDatabase(site.serviceFile, database => {
          database.run('UPDATE api_keys SET enabled = ? WHERE id = ?', [enabled, id])
        })
        return now()
      }
      seen.push(
        ...(await watchChange(
          served.map(({ watch }) => watch),
          trial.use,
          write,
        )),
      )
      await call(`${site.service.url}/api-keys/${id}`, { token: context.token, method: 'DELETE' })
    }
  }
  const { troubles } = await underLoad(100, runRounds)
  const lags = seen.map(lagOf)
  tell('written by another program', lags)
  expect([...seen.flatMap(strangeIn), ...troubles]).toEqual([])
  expect(lags.filter(lag => lag > boundMs)).toEqual([])
}, 60_000)

test('a third process on the file hears of every change as the others do, and neither its start nor its end disturbs them', async () => {
  const start = await underLoad(100, async () => serve(await site.addService()))
  expect(start.troubles).toEqual([])
  const { done, lags, troubles } = await runTrials(trials / 4)
  tell(`three processes, ${done} changes`, lags)
  expect(troubles).toEqual([])
  expect(lags.filter(lag => lag > boundMs)).toEqual([])

  const third = served.pop()
  third?.watch.close()
  const end = await underLoad(100, async () => {
    expect(await third?.role.stop()).toEqual({ code: 0, signal: null })
    await Bun.sleep(100)
  })
  expect(end.troubles).toEqual([])
}, 60_000)

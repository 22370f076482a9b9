import { describe, expect, test } from 'bun:test'
import { Elysia } from 'elysia'
import { Failure } from './failure.ts'
import { health, type Ready } from './health.ts'
import { createLog } from './log.ts'
import { createProblems } from './problem.ts'
import { identify, observe, securityHeaders } from './server.ts'
import { ask, expectAnswer } from './test-http.ts'

const silent = createLog({ level: 'silent', service: 'test' })

const setUp = (ready: Ready) => {
  const lifecycle = { draining: false }
  const errors: unknown[] = []
  const problems = createProblems({ table: {}, onUnexpected: error => errors.push(error) })
  const app = new Elysia()
    .headers(securityHeaders)
    .wrap(observe(silent, () => null))
    .onRequest(identify)
    .use(problems)
    .use(health({ problems, ready, lifecycle }))
  return { lifecycle, errors, get: (path: string) => ask(app, 'GET', path) }
}

const unavailable = { status: 503, code: 'unavailable', headers: { 'retry-after': '1' } }

describe('/livez', () => {
  test('says that the process answers, also while it is not ready or on its way out', async () => {
    const { get, lifecycle } = setUp(async () => false)
    expectAnswer(await get('/livez'), { status: 200, has: [/^\{"status":"ok"\}$/] })
    lifecycle.draining = true
    expectAnswer(await get('/livez'), { status: 200 })
  })

  test('asks nobody: a database that hangs does not get the process killed', async () => {
    const { get } = setUp(() => new Promise(() => {}))
    expectAnswer(await get('/livez'), { status: 200 })
  })
})

describe('/readyz', () => {
  test('says so when the work can be done', async () => {
    const { get } = setUp(async () => true)
    expectAnswer(await get('/readyz'), { status: 200, has: [/^\{"status":"ok"\}$/] })
  })

  test('says that it goes on by what may be out of date, which is no reason to send nobody here', async () => {
    const { get, lifecycle } = setUp(async () => 'degraded')
    expectAnswer(await get('/readyz'), { status: 200, has: [/^\{"status":"degraded"\}$/] })
    lifecycle.draining = true
    expectAnswer(await get('/readyz'), unavailable)
  })

  test('OPS-04: is the first to turn off when the process is on its way out', async () => {
    const { get, lifecycle } = setUp(async () => true)
    lifecycle.draining = true
    expectAnswer(await get('/readyz'), unavailable)
  })

  test('says no while the work can not be done, and yes again after', async () => {
    let isReady = false
    const { get } = setUp(async () => isReady)
    expectAnswer(await get('/readyz'), unavailable)
    isReady = true
    expectAnswer(await get('/readyz'), { status: 200 })
  })

  test('a check that fails is a no, its words for the log alone', async () => {
    const { get, errors } = setUp(async () => {
      throw new Failure('unavailable', { retryAfterSeconds: 1, cause: new Error('some words of a driver') })
    })
    expectAnswer(await get('/readyz'), { ...unavailable, lacks: ['driver'] })
    expect(errors).toEqual([new Error('some words of a driver')])
  })

  test('a check that breaks is no yes either', async () => {
    const { get } = setUp(async () => {
      throw new Error('some words of a driver')
    })
    expectAnswer(await get('/readyz'), { status: 500, code: 'internal_error', lacks: ['driver'] })
  })
})

import { afterAll, beforeAll, expect, test } from 'bun:test'
import { randomBytes } from 'node:crypto'
import { call } from '../support/http.ts'
import { listOf, textOf } from '../support/json.ts'
import { type Role, startRole } from '../support/role.ts'
import { createStage } from '../support/stage.ts'

/** Services that wait for a change when `login` is told to end (OPS-04): they must not hold it up. */

const stage = createStage()
const client = { id: 'cli_reader', secret: randomBytes(32).toString('hex') }
let login: Role
let token: string

beforeAll(async () => {
  stage.keepSecret(client.secret)
  login = await startRole(stage, {
    role: 'login',
    settings: { ISSUER: 'http://login.test', CLIENT_ID: client.id, CLIENT_SECRET: client.secret },
  })
  const answer = await fetch(`${login.url}/oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: client.id,
      client_secret: client.secret,
    }),
  })
  token = textOf(await answer.json(), 'access_token')
})
afterAll(() => stage.end())

test('on SIGTERM they are answered, and login ends long before their time is up', async () => {
  const cursor = textOf((await call(`${login.url}/changes/snapshot`, { token })).body, 'cursor')
  let answered = 0
  /** Asks again whenever it is answered, as a follower does, until nobody is there. */
  const follow = async (name: number): Promise<void> => {
    for (;;) {
      const url = `${login.url}/changes?after=${cursor}&wait=20&follower=f${name}`
      const answer = await call(url, { token }).catch(() => null)
      if (answer === null) return
      expect(answer.status).toBe(200)
      expect(listOf(answer.body, 'items')).toEqual([])
      answered += 1
    }
  }
  const following = Array.from({ length: 20 }, (_, name) => follow(name))
  await Bun.sleep(500)
  expect(answered).toBe(0)
  const started = performance.now()
  expect(await login.stop()).toEqual({ code: 0, signal: null })
  // They wait for 20 s, and DRAIN_SECONDS is 30.
  expect(performance.now() - started).toBeLessThan(5_000)
  await Promise.all(following)
  expect(answered).toBeGreaterThanOrEqual(20)
  expect(stage.leaks()).toEqual([])
})

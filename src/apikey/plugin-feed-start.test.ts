import type { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { createSigner } from '../lib/jwt/signer.ts'
import { generateKeyPair } from '../lib/jwt/test-tokens.ts'
import { active, clientId, clientSecret, type FeedServer, until } from '../lib/test-feed-server.ts'
import { ask } from '../lib/test-http.ts'
import { internalsOf } from './internals.ts'
import { apikey } from './plugin.ts'
import type { StaleMode } from './staleness.ts'
import { code, createFeedStage, type FeedHostOptions } from './test-feed-host.ts'
import { claims, host, roles } from './test-plugin.ts'
import { openKeyDatabase } from './test-store.ts'

let stage: ReturnType<typeof createFeedStage>
let login: FeedServer
let database: Database
beforeEach(() => {
  stage = createFeedStage()
  login = stage.login
  login.subjects.set('usr_ann', active())
  database = openKeyDatabase()
})
afterEach(async () => {
  await stage.end()
  database.close()
})

const unreachable = () => new Response(null, { status: 503 })

/** A process that followed and ended, and after it one more on the same database. */
const restart = async (options: FeedHostOptions = {}) => {
  const first = stage.follow({ database })
  await first.start()
  expect((await first.get()).status).toBe(200)
  await stage.stopAll()
  return stage.follow({ database, ...options })
}

describe.each<StaleMode>(['allow', 'deny'])('after a restart, in mode %s', staleMode => {
  test('nobody is judged by what the last process knew, until login has said what happened since', async () => {
    const { get, ran, health, auth } = await restart({ staleMode })
    login.setState('usr_ann', { status: 'disabled' })
    const gate = Promise.withResolvers<null>()
    login.instead = (_, path) => (path === '/changes' ? gate.promise.then(unreachable) : null)
    const { length } = login.asked
    const answers = [await get()]
    await until(() => login.asked.slice(length).some(path => path.startsWith('/changes?')))
    answers.push(await get())
    expect(answers.map(answer => [answer.status, code(answer)])).toEqual([
      [503, 'unavailable'],
      [503, 'unavailable'],
    ])
    expect([(await health()).status, ran]).toEqual(['unavailable', []])

    login.instead = () => null
    gate.resolve(null)
    await until(() => internalsOf(auth).feed()?.find('usr_ann')?.status === 'disabled')
    expect([(await get()).status, ran]).toEqual([401, []])
    expect((await health()).status).toBe('ok')
  })

  test('what was known counts while login is out of reach, as long as it is not too old', async () => {
    login.instead = () => null
    const { get, health, auth } = await restart({ staleMode })
    login.instead = unreachable
    expect((await get()).status).toBe(503)
    await until(() => internalsOf(auth).feed()?.status() === 'ok')
    expect((await get()).status).toBe(200)
    stage.time.now += 31_000
    expect([(await get()).status, (await health()).status]).toEqual(
      staleMode === 'allow' ? [200, 'degraded'] : [503, 'unavailable'],
    )
    const crossed = stage.said.filter(message => message.startsWith('warn: login was not heard for longer'))
    expect(crossed).toHaveLength(1)
  })
})

describe('an app that is never told that it starts, as with Bun.serve({ fetch: app.fetch })', () => {
  test('follows from its first request on, and ends with stop', async () => {
    const { app, auth, bearer } = stage.follow()
    await using server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: app.fetch })
    const get = async () => (await fetch(`${server.url}notes`, { headers: await bearer() })).status
    expect(await get()).toBe(503)
    await until(() => internalsOf(auth).feed()?.status() === 'ok')
    expect(await get()).toBe(200)
    await internalsOf(auth).stop()
    // What was on its way when it ended still arrives.
    await Bun.sleep(20)
    const { length } = login.asked
    // What comes after the end is not judged, and starts nothing that nobody would end.
    expect(await get()).toBe(503)
    await Bun.sleep(20)
    expect(login.asked).toHaveLength(length)
  })

  test('writes down which keys were used, at its end at the latest', async () => {
    const { app, auth } = stage.follow({ database })
    const { text, key } = await internalsOf(auth)
      .keys()
      .create({ name: 'k', ownerId: 'usr_ann', permissions: ['notes:read'], expiresAt: null }, ['notes:*'], {
        actorId: 'usr_ann',
        requestId: null,
        address: null,
      })
    await until(() => internalsOf(auth).feed()?.status() === 'ok')
    expect((await ask(app, 'GET', '/notes', { headers: { 'x-api-key': text } })).status).toBe(200)
    await internalsOf(auth).stop()
    const used = database.query('SELECT last_used_at AS at FROM api_keys WHERE id = ?').get(key.id)
    expect(used).toEqual({ at: stage.time.now })
  })
})

test.each([
  [3, 1],
  [5, 1],
  [6, 2],
  [300, 2],
])('with %d s to go unheard a poll waits %d s', async (maxStalenessSeconds, wait) => {
  const { start } = stage.follow({ maxStalenessSeconds })
  await start()
  const waits = () => login.asked.flatMap(path => /[?&]wait=([1-9]\d*)/.exec(path)?.[1] ?? [])
  await until(() => waits().length > 0)
  expect(new Set(waits())).toEqual(new Set([String(wait)]))
})

test('a signing key that was revoked stays so after a restart, though login publishes it again, and that is told', async () => {
  const { publicKey, privateKey } = await generateKeyPair()
  const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', publicKey)
  const set = { keys: [{ kty, crv, x, y, kid: 'key_1', alg: 'ES256', use: 'sig' }] }
  login.instead = (_, path) => (path === '/.well-known/jwks.json' ? Response.json(set) : null)
  const signer = createSigner({ algorithm: 'ES256', kid: 'key_1', privateKey })
  const headers = { authorization: `Bearer ${await signer.sign(claims(login.url))}` }
  const follow = () => {
    const auth = apikey({
      audience: 'notes',
      roles,
      database,
      log: stage.log,
      login: { url: login.url, clientId, clientSecret },
    })
    const { app, ran } = host(auth)
    return { auth, ran, get: () => ask(app, 'GET', '/notes', { headers }) }
  }
  const judging = async ({ auth }: ReturnType<typeof follow>) => {
    await until(() => internalsOf(auth).feed()?.status() === 'ok')
  }
  const first = follow()
  await judging(first)
  expect((await first.get()).status).toBe(200)
  login.change({
    subjectId: 'key_1',
    type: 'urn:latchkey:event-type:signing-key-revoked',
  })
  await until(() => internalsOf(first.auth).feed()?.isKeyRevoked('key_1') === true)
  expect((await first.get()).status).toBe(401)
  await internalsOf(first.auth).stop()

  const second = follow()
  await judging(second)
  stage.said.length = 0
  expect((await internalsOf(second.auth).health()).status).toBe('ok')
  const answers = [await second.get(), await second.get()]
  expect(answers.map(answer => [answer.status, code(answer)])).toEqual([
    [401, 'token_invalid'],
    [401, 'token_invalid'],
  ])
  expect(second.ran).toEqual([])
  expect(stage.said.filter(message => message.includes('publishes a signing key'))).toHaveLength(1)
  await internalsOf(second.auth).stop()
})

import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { createSigner } from '../lib/jwt/signer.ts'
import {
  active,
  clientId,
  clientSecret,
  disabled,
  type FeedServer,
  serveFeed,
  until,
} from '../lib/test-feed-server.ts'
import { ask } from '../lib/test-http.ts'
import { serve } from '../lib/test-serve.ts'
import type { ApikeyOptions } from './plugin.ts'
import { apikey, internalsOf } from './plugin.ts'
import { claims, host, roles, secret } from './test-plugin.ts'

let login: FeedServer
let now: number
let said: string[]
let stops: (() => PromiseLike<unknown>)[]
beforeEach(() => {
  login = serveFeed()
  now = Date.now()
  said = []
  stops = []
})
afterEach(async () => {
  for (const stop of stops) await stop()
  await login[Symbol.asyncDispose]()
})

const log = {
  info: (_: object, message: string) => said.push(message),
  warn: (_: object, message: string) => said.push(`warn: ${message}`),
}

/** An app that follows, not yet started. */
const follow = (options: Partial<ApikeyOptions<'notes:read' | 'notes:*'>> = {}) => {
  const auth = apikey({
    audience: 'notes',
    roles,
    database: ':memory:',
    clock: () => now,
    log,
    maxStalenessSeconds: 30,
    ...options,
    login: { url: login.url, clientId, clientSecret },
    jwt: { secret },
  })
  const made = host(auth)
  const bearer = async (changes: object = {}) => ({
    authorization: `Bearer ${await createSigner({ algorithm: 'HS256', kid: null, secret }).sign({
      ...claims(login.url),
      exp: Math.floor(now / 1_000) + 60,
      ...changes,
    })}`,
  })
  const get = async (changes: object = {}) =>
    ask(made.app, 'GET', '/notes', { headers: await bearer(changes) })
  const start = async (): Promise<void> => {
    const served = serve(made.app)
    stops.push(async () => {
      await served[Symbol.asyncDispose]()
      await internalsOf(auth).stop()
    })
    await until(
      () => internalsOf(auth).feed()?.status() === 'ok' && internalsOf(auth).feed()?.isUp() === true,
    )
  }
  return { ...made, auth, get, start, bearer, health: () => internalsOf(auth).health() }
}

const code = (answer: { json(): unknown }): unknown => Object(answer.json()).code

describe('before the first snapshot', () => {
  test('every caller is answered 503, nothing of the handler runs, and the app is not ready', async () => {
    const { get, ran, health } = follow()
    const answer = await get()
    expect([answer.status, code(answer), answer.headers.get('retry-after')]).toEqual([
      503,
      'unavailable',
      '1',
    ])
    expect(ran).toEqual([])
    expect(await health()).toEqual({ status: 'unavailable', feedLagSeconds: null })
  })

  test('a start does not wait for login, and goes on by itself when it answers', async () => {
    login.instead = () => new Response(null, { status: 503 })
    const { app, get, auth, ran } = follow()
    const served = serve(app)
    stops.push(() => served[Symbol.asyncDispose]())
    expect((await get()).status).toBe(503)
    login.instead = () => null
    await until(() => internalsOf(auth).feed()?.status() === 'ok')
    expect((await get()).status).toBe(200)
    expect(ran).toEqual(['ran'])
    await internalsOf(auth).stop()
  })
})

describe('a feed that is followed', () => {
  test('a user who is disabled is refused, and nothing of the handler runs', async () => {
    login.subjects.set('usr_ann', active())
    const { get, start, ran, auth } = follow()
    await start()
    expect((await get()).status).toBe(200)
    login.setState('usr_ann', { status: 'disabled' })
    await until(() => internalsOf(auth).subjects()?.find('usr_ann')?.status === 'disabled')
    const answer = await get()
    expect([answer.status, code(answer), ran.length]).toEqual([401, 'token_invalid', 1])
    expect(answer.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"')
  })

  test('a session that ended takes its tokens along, and only its', async () => {
    const { get, start, auth } = follow()
    await start()
    login.change({ subjectId: 'usr_ann', sessionId: 'ses_1' })
    await until(() => internalsOf(auth).subjects()?.isEnded('ses_1') === true)
    expect([(await get({ sid: 'ses_1' })).status, (await get({ sid: 'ses_2' })).status]).toEqual([401, 200])
  })

  test('a key narrows with its owner, and is refused and let in again with them', async () => {
    login.subjects.set('usr_ann', active(['admin']))
    const { app, start, auth } = follow()
    await start()
    const { text } = await internalsOf(auth)
      .keys()
      .create({ name: 'k', ownerId: 'usr_ann', permissions: ['notes:read'], expiresAt: null }, ['notes:*'], {
        actorId: 'usr_ann',
        requestId: null,
        address: null,
      })
    const use = async () => ask(app, 'GET', '/notes', { headers: { 'x-api-key': text } })
    const after = async (state: Parameters<FeedServer['setState']>[1]) => {
      login.setState('usr_ann', state)
      await until(() => {
        const found = internalsOf(auth).subjects()?.find('usr_ann')
        return Object.entries(state).every(([name, value]) => Bun.deepEquals(Object(found)[name], value))
      })
      const answer = await use()
      return answer.status === 200 ? 200 : code(answer)
    }
    expect((await use()).status).toBe(200)
    expect(await after({ roles: [] })).toBe('insufficient_permission')
    expect(await after({ roles: ['user'] })).toBe(200)
    expect(await after({ status: 'disabled' })).toBe('api_key_owner_inactive')
    expect(await after({ status: 'active' })).toBe(200)
    expect(await after({ status: 'deleted' })).toBe('api_key_revoked')
  })

  test('a use of a key is noted when it is let in, and not when it is refused', async () => {
    login.subjects.set('usr_ann', active())
    login.subjects.set('usr_bob', disabled)
    const { app, start, auth } = follow()
    await start()
    const { keys, store, usage } = internalsOf(auth)
    const context = { actorId: 'usr_root', requestId: null, address: null }
    const used = await Promise.all(
      ['usr_ann', 'usr_bob'].map(async ownerId => {
        const input = { name: 'k', ownerId, permissions: ['notes:read'], expiresAt: null }
        const { key, text } = await keys().create(input, ['notes:*'], context)
        await ask(app, 'GET', '/notes', { headers: { 'x-api-key': text } })
        await usage().flush()
        return (await store().find(key.id, 'all')).lastUsedAt
      }),
    )
    expect(used).toEqual([now, null])
  })
})

describe('a login that is away for longer than allowed', () => {
  const goAway = async (staleMode: 'allow' | 'deny') => {
    const made = follow({ staleMode })
    await made.start()
    login.instead = () => new Response(null, { status: 503 })
    login.setState('usr_x', { status: 'active' })
    await until(() => internalsOf(made.auth).feed()?.isUp() === false)
    return made
  }

  test('allow: callers are judged by what is known, and the app says that it is degraded', async () => {
    const { get, health } = await goAway('allow')
    expect((await health()).status).toBe('ok')
    now += 31_000
    expect((await get()).status).toBe(200)
    const { status, feedLagSeconds } = await health()
    expect([status, feedLagSeconds !== null && feedLagSeconds >= 31]).toEqual(['degraded', true])
  })

  test('deny: every caller is answered 503 and no handler runs, until login is heard again', async () => {
    const { get, ran, health, auth } = await goAway('deny')
    now += 29_000
    expect((await get()).status).toBe(200)
    now += 2_000
    const answer = await get()
    expect([answer.status, code(answer), ran.length]).toEqual([503, 'unavailable', 1])
    expect((await health()).status).toBe('unavailable')
    login.instead = () => null
    await until(() => internalsOf(auth).feed()?.status() === 'ok')
    expect([(await get()).status, (await health()).status]).toEqual([200, 'ok'])
    expect(
      said.filter(message => message.startsWith('warn: the change feed of login is out of reach')),
    ).toHaveLength(1)
    expect(said).toContain('the change feed of login is back')
  })
})

describe('options', () => {
  test('without a client no feed is followed, one line at the start says so, and tokens live to their expiry', async () => {
    const auth = apikey({
      audience: 'notes',
      roles,
      database: ':memory:',
      jwt: { secret },
      issuer: login.url,
      log,
    })
    const served = serve(host(auth).app)
    stops.push(() => served[Symbol.asyncDispose]())
    expect(said).toEqual([expect.stringMatching(/^warn: no change feed is followed/)])
    expect([internalsOf(auth).feed(), internalsOf(auth).subjects(), login.asked]).toEqual([null, null, []])
    expect(await internalsOf(auth).health()).toEqual({ status: 'ok', feedLagSeconds: null })
  })

  test.each<[string, object]>([
    ['half a client', { login: { url: 'https://login.example', clientId } }],
    ['the other half', { login: { url: 'https://login.example', clientSecret } }],
    [
      'a client over plain http to another machine',
      { login: { url: 'http://login.example', clientId, clientSecret } },
    ],
    ['a staleness of less than 3 s', { login: { url: 'https://login.example' }, maxStalenessSeconds: 2 }],
    [
      'a staleness that is no number',
      { login: { url: 'https://login.example' }, maxStalenessSeconds: Number.NaN },
    ],
  ])('%s is refused when the plugin is made', (_, options) => {
    const common = {
      audience: 'notes',
      roles,
      database: ':memory:',
      jwt: { secret },
      login: { url: 'https://x.example' },
    }
    expect(() => apikey({ ...common, ...options })).toThrow()
  })
})

test('a stop ends the poll, and writes what was heard', async () => {
  const { start, auth } = follow()
  await start()
  await until(() => login.asked.some(path => /wait=[1-9]/.test(path)))
  const began = performance.now()
  for (const stop of stops.splice(0)) await stop()
  expect(performance.now() - began).toBeLessThan(1_000)
  const { length } = login.asked
  login.setState('usr_x', { status: 'active' })
  await Bun.sleep(20)
  expect(login.asked).toHaveLength(length)
  void auth
})

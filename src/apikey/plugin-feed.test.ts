import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { active, clientId, clientSecret, disabled, type FeedServer, until } from '../lib/test-feed-server.ts'
import { ask } from '../lib/test-http.ts'
import { serve } from '../lib/test-serve.ts'
import { internalsOf } from './internals.ts'
import { apikey } from './plugin.ts'
import { code, createFeedStage, type FeedHostOptions } from './test-feed-host.ts'
import { host, roles, secret } from './test-plugin.ts'

let stage: ReturnType<typeof createFeedStage>
let login: FeedServer
beforeEach(() => {
  stage = createFeedStage()
  login = stage.login
})
afterEach(() => stage.end())

const back = 'what is known of login is current again'

const follow = (options: FeedHostOptions = {}) => stage.follow(options)

describe('before the first snapshot', () => {
  test('every caller is answered 503, nothing of the handler runs, and the app is not ready', async () => {
    login.instead = () => new Response(null, { status: 503 })
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
    const { get, auth, ran, listen } = follow()
    listen()
    expect((await get()).status).toBe(503)
    login.instead = () => null
    await until(() => internalsOf(auth).feed()?.status() === 'ok')
    expect((await get()).status).toBe(200)
    expect(ran).toEqual(['ran'])
  })
})

describe('a feed that is followed', () => {
  test('a user who is disabled is refused, and nothing of the handler runs', async () => {
    login.subjects.set('usr_ann', active())
    const { get, start, ran, auth } = follow()
    await start()
    expect((await get()).status).toBe(200)
    login.setState('usr_ann', { status: 'disabled' })
    await until(() => internalsOf(auth).feed()?.find('usr_ann')?.status === 'disabled')
    const answer = await get()
    expect([answer.status, code(answer), ran.length]).toEqual([401, 'token_invalid', 1])
    expect(answer.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"')
  })

  test('a session that ended takes its tokens along, and only its', async () => {
    const { get, start, auth } = follow()
    await start()
    login.change({ subjectId: 'usr_ann', sessionId: 'ses_1' })
    await until(() => internalsOf(auth).feed()?.isEnded('ses_1') === true)
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
        const found = internalsOf(auth).feed()?.find('usr_ann')
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
    expect(used).toEqual([stage.time.now, null])
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
    stage.time.now += 31_000
    // By itself, whether or not anybody asks.
    await until(() => stage.said.some(message => message.startsWith('warn: login was not heard for longer')))
    expect((await get()).status).toBe(200)
    const { status, feedLagSeconds } = await health()
    expect([status, feedLagSeconds !== null && feedLagSeconds >= 31]).toEqual(['degraded', true])
  })

  test('deny: every caller is answered 503 and no handler runs, until login is heard again', async () => {
    const { get, ran, health, auth } = await goAway('deny')
    stage.time.now += 29_000
    expect((await get()).status).toBe(200)
    stage.time.now += 2_000
    const answer = await get()
    expect([answer.status, code(answer), ran.length]).toEqual([503, 'unavailable', 1])
    expect((await health()).status).toBe('unavailable')
    const lost = 'warn: the change feed of login is out of reach'
    await until(() => stage.said.includes(lost))
    login.instead = () => null
    await until(() => internalsOf(auth).feed()?.status() === 'ok' && stage.said.includes(back))
    expect([(await get()).status, (await health()).status]).toEqual([200, 'ok'])
    expect(stage.said.filter(message => message === lost)).toHaveLength(1)
    expect(stage.said).toContain('the change feed of login is back')
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
      log: stage.log,
    })
    await using _ = serve(host(auth).app)
    expect(stage.said).toEqual([expect.stringMatching(/^warn: no change feed is followed/)])
    expect([internalsOf(auth).feed(), login.asked]).toEqual([null, []])
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
  const { start } = follow()
  await start()
  await until(() => login.asked.some(path => /wait=[1-9]/.test(path)))
  const began = performance.now()
  await stage.stopAll()
  expect(performance.now() - began).toBeLessThan(1_000)
  const { length } = login.asked
  login.setState('usr_x', { status: 'active' })
  await Bun.sleep(20)
  expect(login.asked).toHaveLength(length)
})

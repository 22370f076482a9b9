import { Elysia } from 'elysia'
import { bySystem } from '../lib/audit.ts'
import { createClockedSigner } from '../lib/jwt/clocked-signer.ts'
import { createSecretSource, createVerifier } from '../lib/jwt/verifier.ts'
import { active, clientId, clientSecret, serveFeed, until } from '../lib/test-feed-server.ts'
import { ask } from '../lib/test-http.ts'
import { createAuthenticate } from './authenticate.ts'
import { internalsOf } from './internals.ts'
import { apikey } from './plugin.ts'
import { problems } from './problems.ts'
import { createSqliteKeyStore } from './store.ts'
import { openKeyDatabase } from './test-store.ts'

const audience = 'notes'
const secret = 'a shared secret of 32 bytes, and then some'
const roles = { user: ['notes:read', 'notes:write'], reader: ['notes:read'], admin: ['notes:*'] } as const

export const people = ['usr_ann', 'usr_eve'] as const
export const machine = 'cli_job'

/** Longer than a process may go without looking for what others wrote. */
const noticedMilliseconds = 30

/** A credential as it is presented, with the id of a key. */
export type Presented = { readonly headers: Readonly<Record<string, string>>; readonly keyId: string | null }

/**
 * An app that follows a feed and remembers whom it let in, and beside it the same judgement without any memory, on the
 * same database, feed and clock.
 */
export const createCachedHost = async ({ cacheEntries }: { readonly cacheEntries: number }) => {
  const login = serveFeed()
  for (const id of people) login.subjects.set(id, active(['user']))
  login.subjects.set(machine, active([], ['notes:read', 'notes:write']))
  const time = { now: Date.now() }
  const clock = (): number => time.now
  const database = openKeyDatabase()
  const auth = apikey({
    audience,
    roles,
    database,
    cacheEntries,
    clock,
    log: { info: () => {}, warn: () => {} },
    login: { url: login.url, clientId, clientSecret },
    jwt: { secret },
  })
  const app = new Elysia()
    .use(problems({ onUnexpected: () => undefined }))
    .use(auth)
    .get('/whoami', ({ principal }) => principal, { permission: 'any' })
  const { keys, store, feed, stop } = internalsOf(auth)
  const followed = feed()
  if (followed === null) throw new Error('No feed is followed')
  await until(() => followed.status() === 'ok' && followed.isUp())

  const plain = createAuthenticate({
    store: store(),
    verifier: createVerifier({ keys: createSecretSource(secret), issuer: login.url, audience, clock }),
    roles,
    prefix: 'lk',
    clock,
    followed,
  })
  const signer = createClockedSigner({ algorithm: 'HS256', kid: null, secret }, clock)

  return {
    login,
    time,
    followed,
    store: store(),
    keys: keys(),
    /** What another process would do to the same file. */
    elsewhere: createSqliteKeyStore({ database, clock }),
    /** Waits until this process must have seen what another one wrote. */
    noticed: async (): Promise<void> => {
      time.now += noticedMilliseconds
      await Bun.sleep(noticedMilliseconds)
    },
    makeKey: async (ownerId: string, permissions: readonly string[] = ['notes:read']): Promise<Presented> => {
      const made = { name: 'test', ownerId, permissions: [...permissions], expiresAt: null }
      const { key, text } = await keys().create(made, permissions, { ...bySystem, actorId: ownerId })
      return { headers: { 'x-api-key': text }, keyId: key.id }
    },
    makeToken: async (
      sub: string,
      { seconds = 60, sid }: { readonly seconds?: number; readonly sid?: string } = {},
    ): Promise<Presented> => {
      const exp = Math.floor(time.now / 1_000) + seconds
      const isMachine = sub === machine
      const token = await signer.sign({
        iss: login.url,
        sub,
        aud: audience,
        exp,
        jti: crypto.randomUUID(),
        client_id: isMachine ? machine : 'latchkey-login',
        ...(isMachine ? { scope: 'notes:read notes:write' } : { roles: ['user'] }),
        ...(sid === undefined ? {} : { sid }),
      })
      return { headers: { authorization: `Bearer ${token}` }, keyId: null }
    },
    /** What the app says: the principal, or the code of the refusal. */
    judged: async ({ headers }: Presented): Promise<unknown> => {
      const answer = await ask(app, 'GET', '/whoami', { headers })
      const body = answer.json()
      return answer.status === 200 ? body : Object(body).code
    },
    /** What is true. */
    truth: async ({ headers }: Presented): Promise<unknown> => {
      const judged = await plain(new Headers(headers), { jwtOnly: false })
      return judged.ok ? judged.principal : judged.code
    },
    end: async (): Promise<void> => {
      await stop()
      await login[Symbol.asyncDispose]()
      database.close()
    },
  }
}

export type CachedHost = Awaited<ReturnType<typeof createCachedHost>>

import { createClockedSigner } from '../lib/jwt/clocked-signer.ts'
import { clientId, clientSecret, type FeedServer, serveFeed, until } from '../lib/test-feed-server.ts'
import { ask } from '../lib/test-http.ts'
import { serve } from '../lib/test-serve.ts'
import { internalsOf } from './internals.ts'
import type { ApikeyOptions } from './options.ts'
import { apikey } from './plugin.ts'
import { claims, host, roles, secret } from './test-plugin.ts'

export type FeedHostOptions = Partial<ApikeyOptions<'notes:read' | 'notes:*'>>

/** A `login` that speaks the feed, a clock in the hand of the test, and apps that follow; all of it ends with `end`. */
export const createFeedStage = () => {
  const login: FeedServer = serveFeed()
  const time = { now: Date.now() }
  const said: string[] = []
  const stops: (() => PromiseLike<unknown>)[] = []
  const log = {
    info: (_: object, message: string) => said.push(message),
    warn: (_: object, message: string) => said.push(`warn: ${message}`),
  }

  /** An app that follows, not yet started: it is at its first request, or by `start`. */
  const follow = (options: FeedHostOptions = {}) => {
    const auth = apikey({
      audience: 'notes',
      roles,
      database: ':memory:',
      clock: () => time.now,
      log,
      maxStalenessSeconds: 30,
      ...options,
      login: { url: login.url, clientId, clientSecret },
      jwt: { secret },
    })
    const made = host(auth)
    stops.push(() => internalsOf(auth).stop())
    const bearer = async (changes: object = {}) => ({
      authorization: `Bearer ${await createClockedSigner(
        { algorithm: 'HS256', kid: null, secret },
        () => time.now,
      ).sign({
        ...claims(login.url),
        exp: Math.floor(time.now / 1_000) + 60,
        ...changes,
      })}`,
    })
    /** Serves as `listen` does, which tells the plugin that the app starts. */
    const listen = (): string => {
      const served = serve(made.app)
      stops.unshift(() => served[Symbol.asyncDispose]())
      return served.url
    }
    return {
      ...made,
      auth,
      bearer,
      listen,
      get: async (changes: object = {}) => ask(made.app, 'GET', '/notes', { headers: await bearer(changes) }),
      start: async (): Promise<void> => {
        listen()
        await until(() => {
          const feed = internalsOf(auth).feed()
          return feed?.status() === 'ok' && feed.isUp()
        })
      },
      health: () => internalsOf(auth).health(),
    }
  }

  return {
    login,
    time,
    said,
    log,
    follow,
    end: async (): Promise<void> => {
      for (const stop of stops.splice(0)) await stop()
      await login[Symbol.asyncDispose]()
    },
    /** Ends the apps, and leaves `login`. */
    stopAll: async (): Promise<void> => {
      for (const stop of stops.splice(0)) await stop()
    },
  }
}

/** The code that an answer is refused with. */
export const code = (answer: { json(): unknown }): unknown => Object(answer.json()).code

import type { Database } from 'bun:sqlite'
import { migrations } from '../../db/apikey/index.ts'
import { defaultBodyLimits } from '../lib/body.ts'
import { type Clock, systemClock } from '../lib/clock.ts'
import { Failure } from '../lib/failure.ts'
import { createGuard, type Outcome } from '../lib/guard.ts'
import { createVerifier } from '../lib/jwt/verifier.ts'
import { migrate } from '../lib/migrate.ts'
import { isPermission, type RolePermissions } from '../lib/permission.ts'
import { Refusal } from '../lib/problem.ts'
import { closeDatabase, isDatabaseUnavailable, openDatabase, settle } from '../lib/sqlite.ts'
import { createVerifiedCache, type VerifiedCache } from '../lib/verified-cache.ts'
import { createAuthenticate, type Remembered } from './authenticate.ts'
import { apikeyProblems, type CredentialCode } from './errors.ts'
import { type FeedLog, standardOutput } from './feed-log.ts'
import type { Authentication } from './judgement.ts'
import type { KeyWatch } from './key-changes.ts'
import { createKeys, type Keys, lowestCost, type SecretHashCost } from './keys.ts'
import type { Principal } from './principal.ts'
import type { StaleMode } from './staleness.ts'
import { createSqliteKeyStore, type KeyStore } from './store.ts'
import { createSubjectFeed, type FeedStatus, type SubjectFeed } from './subject-feed.ts'
import { prefixPattern } from './token.ts'
import { resolveIssuer, type TokenSource } from './token-source.ts'
import { createUsage, type Usage } from './usage.ts'
import { createUsageStore } from './usage-store.ts'

export type ApikeyOptions<Permission extends string> = TokenSource & {
  /** The id of this service: what `aud` of a token must contain. */
  readonly audience: string
  /** A path, which the plugin opens, migrates and closes; or a database of the host's, which it migrates. */
  readonly database: string | Database
  /** What each role may do. */
  readonly roles: RolePermissions<Permission>
  /** Begins every key, `lk` by default. */
  readonly prefix?: string
  /** Keys that one owner may have, 100 by default. */
  readonly keysPerOwner?: number
  /** Bytes of a JSON body on a guarded route, 65,536 by default. */
  readonly maxBodyBytes?: number
  /** Whether bodies other than JSON are left to the app's own parsers (the default) or refused with 415. */
  readonly otherBodies?: boolean
  /** Allows plain http to an issuer that is not on this machine. Everyone on the way could then forge its keys. */
  readonly allowInsecureLogin?: boolean
  /** How long `login` may go unheard before it matters, 300 s by default and 3 at least. */
  readonly maxStalenessSeconds?: number
  /** What happens then: go on with what is known (`allow`, the default), or refuse everybody with 503 (`deny`). */
  readonly staleMode?: StaleMode
  /** Told how following the feed goes. By default that is logged, as JSON on standard output. */
  readonly log?: FeedLog
  /**
   * Verified keys and tokens that are remembered, 100,000 by default and about 1 KB each. 0 verifies every request anew.
   */
  readonly cacheEntries?: number
  readonly clock?: Clock
  readonly secretHashCost?: SecretHashCost
}

/** Whether requests can be judged, and how long ago `login` was last heard (null for never, or where none is followed). */
export type Health = { readonly status: FeedStatus; readonly feedLagSeconds: number | null }

/** What the management routes and the host's health check need of an installed plugin. */
export type ApikeyInternals = {
  readonly keys: () => Keys
  readonly store: () => KeyStore
  readonly usage: () => Usage
  /** What was verified a moment ago. */
  readonly cache: VerifiedCache<Remembered>
  readonly clock: Clock
  readonly roles: RolePermissions
  /** The change feed, and what it told of owners and callers; null where none is followed. */
  readonly feed: () => SubjectFeed | null
  /** `unavailable` unless the database answers, some key to verify with is known and the feed has told enough. */
  readonly health: () => Promise<Health>
  /** Ends following and writes what is in memory alone. The plugin does so when the app stops, but no app waits for it. */
  readonly stop: () => Promise<void>
}

const internals = new WeakMap<object, ApikeyInternals>()

/** @throws TypeError for anything that {@link apikey} did not make. */
export const internalsOf = (auth: object): ApikeyInternals => {
  const found = internals.get(auth)
  if (found === undefined) throw new TypeError('Expected what apikey() returned')
  return found
}

const challenge = (code: CredentialCode, jwtOnly: boolean): Record<string, string> => {
  const { status } = apikeyProblems[code]
  if (status === 400) {
    return { 'www-authenticate': jwtOnly ? 'Bearer' : 'Bearer, ApiKey header="X-API-Key"' }
  }
  return status === 401 ? { 'www-authenticate': 'Bearer error="invalid_token"' } : {}
}

/** Refusals say nothing of the one request, so each is made once: an error that is thrown in floods. */
const createRefusals = () => {
  const made = new Map<string, Refusal>()
  return (code: CredentialCode, jwtOnly: boolean): Refusal => {
    const name = jwtOnly ? `${code} jwt` : code
    const known = made.get(name)
    if (known !== undefined) return known
    const refusal = new Refusal(code, challenge(code, jwtOnly))
    made.set(name, refusal)
    return refusal
  }
}

/** Gives any error a code: an app without `problems()` would answer with the words of the database. */
const asFailure = (error: unknown): never => {
  if (error instanceof Failure) throw error
  throw isDatabaseUnavailable(error)
    ? new Failure('unavailable', { retryAfterSeconds: 1, cause: error })
    : new Failure('internal_error', { cause: error })
}

type Opened = {
  readonly database: Database
  readonly store: KeyStore
  readonly keys: Keys
  readonly usage: Usage
  readonly watch: KeyWatch
  readonly feed: SubjectFeed | null
}

const usageMilliseconds = 30_000

/** How far behind other processes on the file a key may be taken from memory, milliseconds. */
const catchUpMilliseconds = 25

let installed = 0

/**
 * The guard: an Elysia plugin without routes. On every route after it nobody enters unless let in: callers bring an
 * access token or an API key, and the route says which `permission` they need (`'any'` for no particular one), or
 * `credential: 'jwt'` where a key will not do.
 *
 * Nothing is opened or fetched before the app starts or the first request comes. Either one starts following the change
 * feed, since an app whose `fetch` is given to `Bun.serve` is never told that it started; `stop` ends that.
 *
 * @throws Error for options that can't be secure: a short secret, plain http to another machine, a bad prefix.
 */
export const apikey = <const Permission extends string>(options: ApikeyOptions<Permission>) => {
  const { audience, roles, prefix = 'lk', clock = systemClock, secretHashCost: cost = lowestCost } = options
  if (!prefixPattern.test(prefix)) throw new Error(`The prefix of keys must match ${prefixPattern.source}.`)
  if (audience === '') throw new Error('The audience must name this service.')
  for (const [role, permissions] of Object.entries<readonly string[]>(roles)) {
    const bad = permissions.find(permission => !isPermission(permission))
    if (bad !== undefined)
      throw new Error(`The role ${role} has ${JSON.stringify(bad)}, which is not resource:action.`)
  }
  const { maxStalenessSeconds = 300, staleMode = 'allow', log = standardOutput } = options
  if (!(Number.isFinite(maxStalenessSeconds) && maxStalenessSeconds >= 3)) {
    throw new Error('maxStalenessSeconds must be 3 or more.')
  }
  const { cacheEntries = 100_000 } = options
  if (!(Number.isInteger(cacheEntries) && cacheEntries >= 0 && cacheEntries <= 10_000_000)) {
    throw new Error('cacheEntries must be a whole number up to 10,000,000.')
  }
  const cache = createVerifiedCache<Remembered>(cacheEntries)
  const evict = (id: string | null): void => (id === null ? cache.clear() : cache.evict(id))

  let opened: Opened | null = null
  const {
    issuer,
    keys: source,
    remote,
    feed,
  } = resolveIssuer(options, options.allowInsecureLogin ?? false, {
    clock,
    isRevoked: kid => opened?.feed?.isKeyRevoked(kid) ?? false,
    onRevokedPublished: kid =>
      log.warn({ kid }, 'login publishes a signing key that it revoked: tokens signed with it are refused'),
  })
  const verifier = createVerifier({ keys: source, issuer, audience, clock })

  let timer: ReturnType<typeof setInterval> | null = null
  /** What is asked for after the end must not start anything anew, which nobody would end. */
  let isStopped = false

  const run = ({ usage, feed: followed }: Opened): void => {
    // What can't be written is kept, and the next time tries again.
    timer ??= setInterval(() => void usage.flush().catch(() => undefined), usageMilliseconds)
    timer.unref()
    followed?.start()
  }

  const open = (): Opened => {
    if (opened !== null) return opened
    const { database: given, keysPerOwner = 100 } = options
    const database = typeof given === 'string' ? openDatabase(given) : given
    migrate(database, migrations, clock)
    if (typeof given === 'string') settle(database)
    const store = createSqliteKeyStore({ database, clock })
    const usage = createUsage({ store: createUsageStore({ database }), clock })
    const followed =
      feed === null
        ? null
        : createSubjectFeed({
            feed,
            remoteKeys: remote,
            database,
            audience,
            maxStalenessSeconds,
            staleMode,
            clock,
            log,
            onChange: evict,
          })
    // What was remembered before is of another database, perhaps.
    cache.clear()
    opened = {
      database,
      store,
      usage,
      watch: store.watch(ids => (ids === null ? evict(null) : ids.forEach(evict))),
      keys: createKeys({ store, clock, prefix, cost, keysPerOwner }),
      feed: followed,
    }
    if (!isStopped) run(opened)
    return opened
  }

  /** The feed as it is once something is open: before that there is nothing to ask. */
  const openFeed = (): SubjectFeed => {
    const { feed: followed } = open()
    if (followed === null) throw new Error('No feed is followed')
    return followed
  }
  let caughtUpAt = Number.NEGATIVE_INFINITY
  /** Looked at when somebody asks, and not by a timer: so the bound holds however late a timer would be. */
  const catchUp = (): void => {
    const now = performance.now()
    if (now - caughtUpAt < catchUpMilliseconds) return
    open().watch.catchUp()
    caughtUpAt = now
  }

  const authenticate = createAuthenticate({
    store: { findCredential: async id => open().store.findCredential(id) },
    verifier,
    roles,
    prefix,
    clock,
    cost,
    followed:
      feed === null
        ? null
        : {
            find: id => openFeed().find(id),
            isEnded: id => openFeed().isEnded(id),
            requireCurrent: () => openFeed().requireCurrent(),
          },
    cache,
    catchUp,
  })

  const outcomeOf = (judged: Authentication, jwtOnly: boolean): Outcome<Principal> =>
    judged.ok ? judged : { ok: false, refusal: refusalOf(judged.code, jwtOnly) }

  const start = (): void => {
    isStopped = false
    run(open())
    if (feed !== null) return
    log.warn(
      {},
      'no change feed is followed: credentials are good until they expire, whatever happens to their owners',
    )
  }

  let stopping: Promise<void> | null = null
  const stop = (): Promise<void> => {
    isStopped = true
    const current = opened
    if (current === null || stopping !== null) return stopping ?? Promise.resolve()
    if (timer !== null) clearInterval(timer)
    timer = null
    const end = async (): Promise<void> => {
      const ended = await Promise.allSettled([current.feed?.stop(), current.usage.flush()])
      const failed = ended.find(result => result.status === 'rejected')
      if (failed !== undefined) {
        log.warn({ error: failed.reason }, 'the last of what is in memory could not be written')
      }
      current.watch.stop()
      if (typeof options.database === 'string') closeDatabase(current.database)
      opened = null
      stopping = null
    }
    stopping = end()
    return stopping
  }

  const refusalOf = createRefusals()
  installed += 1
  const guard = createGuard<Principal, Exclude<Permission, `${string}*${string}`>>({
    name: `apikey/${installed}`,
    table: apikeyProblems,
    body: { ...defaultBodyLimits, maxBytes: options.maxBodyBytes ?? defaultBodyLimits.maxBytes },
    otherBodies: options.otherBodies ?? true,
    authenticate: ({ headers }, options) => {
      try {
        const judged = authenticate(headers, options)
        return judged instanceof Promise
          ? judged.then(answer => outcomeOf(answer, options.jwtOnly), asFailure)
          : outcomeOf(judged, options.jwtOnly)
      } catch (error) {
        return asFailure(error)
      }
    },
    onDecided: ({ keyId }, isAllowed) => {
      if (keyId !== undefined && isAllowed) open().usage.record(keyId, 'accepted', null)
    },
  })
    .onStart(app => {
      try {
        start()
      } catch (error) {
        // The server listens already: Elysia starts it before it tells.
        app.server?.stop(true)
        throw error
      }
    })
    .onStop(() => {
      void stop()
    })

  internals.set(guard, {
    keys: () => open().keys,
    store: () => open().store,
    usage: () => open().usage,
    cache,
    feed: () => open().feed,
    clock,
    roles,
    health: async () => {
      try {
        const { database, feed: followed } = open()
        const feedLagSeconds = followed?.lagSeconds() ?? null
        database.query('SELECT 1').get()
        await source.find(undefined)
        return { status: followed?.status() ?? 'ok', feedLagSeconds }
      } catch {
        return { status: 'unavailable', feedLagSeconds: null }
      }
    },
    stop,
  })
  return guard
}

/** An installed plugin, as `apikeyRoutes` takes it. */
export type Apikey<Permission extends string> = ReturnType<typeof apikey<Permission>>

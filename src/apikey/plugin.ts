import type { Database } from 'bun:sqlite'
import { migrations } from '../../db/apikey/index.ts'
import { defaultBodyLimits } from '../lib/body.ts'
import { type Clock, systemClock } from '../lib/clock.ts'
import { isLoopbackHost } from '../lib/config.ts'
import { Failure } from '../lib/failure.ts'
import { createGuard } from '../lib/guard.ts'
import { createRemoteKeys } from '../lib/jwt/jwks.ts'
import { createSecretSource, createVerifier, type KeySource } from '../lib/jwt/verifier.ts'
import { migrate } from '../lib/migrate.ts'
import { isPermission, type RolePermissions } from '../lib/permission.ts'
import { Refusal } from '../lib/problem.ts'
import { closeDatabase, isDatabaseUnavailable, openDatabase, settle } from '../lib/sqlite.ts'
import { createAuthenticate, type Principal } from './authenticate.ts'
import { apikeyProblems, type CredentialCode } from './errors.ts'
import { createKeys, type Keys, lowestCost, type SecretHashCost } from './keys.ts'
import { createSqliteKeyStore, type KeyStore } from './store.ts'
import { prefixPattern } from './token.ts'

/** Who issues the access tokens that are taken. */
export type TokenSource =
  /** A Latchkey `login`: its keys are found from its address, which is also the issuer unless `issuer` says otherwise. */
  | { readonly login: { readonly url: string }; readonly jwt?: never; readonly issuer?: string }
  /** A secret that issuer and service share (HS256), or a key set at an address (ES256). */
  | {
      readonly jwt: { readonly secret: string } | { readonly jwksUrl: string }
      readonly login?: never
      readonly issuer: string
    }

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
  readonly clock?: Clock
  readonly secretHashCost?: SecretHashCost
}

/** What the management routes and the host's health check need of an installed plugin. */
export type ApikeyInternals = {
  readonly keys: () => Keys
  readonly store: () => KeyStore
  readonly clock: Clock
  readonly roles: RolePermissions
  /** Whether requests can be judged: the database answers, and some key to verify with is known. */
  readonly ready: () => Promise<boolean>
}

const internals = new WeakMap<object, ApikeyInternals>()

/** @throws TypeError for anything that {@link apikey} did not make. */
export const internalsOf = (auth: object): ApikeyInternals => {
  const found = internals.get(auth)
  if (found === undefined) throw new TypeError('Expected what apikey() returned')
  return found
}

/** RFC 8725 section 3.10 asks for keys over an authenticated channel. */
const secureUrl = (text: string, allowInsecure: boolean): URL => {
  const url = URL.parse(text)
  if (url === null) throw new Error(`${JSON.stringify(text)} is not the address of an issuer.`)
  if (url.protocol !== 'https:' && !allowInsecure && !isLoopbackHost(url.hostname)) {
    throw new Error(
      `${url.origin} is not https. Use https, or allowInsecureLogin where the network is your own.`,
    )
  }
  return url
}

const keySource = (
  options: TokenSource,
  allowInsecure: boolean,
  clock: Clock,
): { keys: KeySource; issuer: string } => {
  if (options.login !== undefined) {
    const base = secureUrl(options.login.url, allowInsecure).href.replace(/\/$/, '')
    const keys = createRemoteKeys({ url: `${base}/.well-known/jwks.json`, clock })
    return { keys, issuer: options.issuer ?? base }
  }
  if ('jwksUrl' in options.jwt) {
    const { href } = secureUrl(options.jwt.jwksUrl, allowInsecure)
    return { keys: createRemoteKeys({ url: href, clock }), issuer: options.issuer }
  }
  // RFC 7518 section 3.2: a key as long as the hash, at least.
  if (Buffer.byteLength(options.jwt.secret) < 32)
    throw new Error('The shared JWT secret needs 32 random bytes or more.')
  return { keys: createSecretSource(options.jwt.secret), issuer: options.issuer }
}

const challenge = (code: CredentialCode, jwtOnly: boolean): Record<string, string> => {
  const { status } = apikeyProblems[code]
  if (status === 400) {
    return { 'www-authenticate': jwtOnly ? 'Bearer' : 'Bearer, ApiKey header="X-API-Key"' }
  }
  return status === 401 ? { 'www-authenticate': 'Bearer error="invalid_token"' } : {}
}

/** Gives any error a code: an app without `problems()` would answer with the words of the database. */
const asFailure = (error: unknown): never => {
  if (error instanceof Failure) throw error
  throw isDatabaseUnavailable(error)
    ? new Failure('unavailable', { retryAfterSeconds: 1, cause: error })
    : new Failure('internal_error', { cause: error })
}

let installed = 0

/**
 * The guard: an Elysia plugin without routes. On every route after it nobody enters unless let in: callers bring an
 * access token or an API key, and the route says which `permission` they need (`'any'` for no particular one), or
 * `credential: 'jwt'` where a key will not do.
 *
 * Nothing is opened or fetched before the app starts or the first request comes.
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
  const { keys: source, issuer } = keySource(options, options.allowInsecureLogin ?? false, clock)
  const verifier = createVerifier({ keys: source, issuer, audience, clock })

  type Opened = { database: Database; store: KeyStore; keys: Keys }
  let opened: Opened | null = null
  const open = (): Opened => {
    if (opened !== null) return opened
    const { database: given, keysPerOwner = 100 } = options
    const database = typeof given === 'string' ? openDatabase(given) : given
    migrate(database, migrations, clock)
    if (typeof given === 'string') settle(database)
    const store = createSqliteKeyStore({ database, clock })
    opened = { database, store, keys: createKeys({ store, clock, prefix, cost, keysPerOwner }) }
    return opened
  }

  const authenticate = createAuthenticate({
    store: { findCredential: async id => open().store.findCredential(id) },
    verifier,
    roles,
    prefix,
    clock,
    cost,
  })

  installed += 1
  const guard = createGuard<Principal, Exclude<Permission, `${string}*${string}`>>({
    name: `apikey/${installed}`,
    table: apikeyProblems,
    body: { ...defaultBodyLimits, maxBytes: options.maxBodyBytes ?? defaultBodyLimits.maxBytes },
    otherBodies: options.otherBodies ?? true,
    authenticate: async ({ headers }, { jwtOnly }) => {
      const judged = await authenticate(headers, { jwtOnly }).catch(asFailure)
      return judged.ok
        ? judged
        : { ok: false, refusal: new Refusal(judged.code, challenge(judged.code, jwtOnly)) }
    },
  })
    .onStart(app => {
      try {
        open()
      } catch (error) {
        // The server listens already: Elysia starts it before it tells.
        app.server?.stop(true)
        throw error
      }
    })
    .onStop(() => {
      if (typeof options.database === 'string' && opened !== null) closeDatabase(opened.database)
      opened = null
    })

  internals.set(guard, {
    keys: () => open().keys,
    store: () => open().store,
    clock,
    roles,
    ready: async () => {
      try {
        open().database.query('SELECT 1').get()
        await source.find(undefined)
        return true
      } catch {
        return false
      }
    },
  })
  return guard
}

/** An installed plugin, as `apikeyRoutes` takes it. */
export type Apikey<Permission extends string> = ReturnType<typeof apikey<Permission>>

import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { importJWK } from 'jose'
import { plainAnswer, readBounded } from '../bounded-response.ts'
import type { Clock } from '../clock.ts'
import { Failure } from '../failure.ts'
import type { KeySource, VerificationKey } from './verifier.ts'

/** The public half of a signing key, RFC 7517 and RFC 7518 section 6.2. */
export const PublicJwk = Type.Object({
  kty: Type.Literal('EC'),
  crv: Type.Literal('P-256'),
  x: Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' }),
  y: Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' }),
  kid: Type.String({ minLength: 1, maxLength: 128 }),
  alg: Type.Literal('ES256'),
  use: Type.Literal('sig'),
})
export type PublicJwk = Static<typeof PublicJwk>

const KeySet = Type.Object({ keys: Type.Array(Type.Unknown(), { maxItems: 100 }) })

export type RemoteKeysOptions = {
  readonly url: string
  readonly clock: Clock
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>
  readonly maxBytes?: number
  readonly timeoutMilliseconds?: number
  /** How long a set that was fetched is taken as current. */
  readonly freshMilliseconds?: number
  /** At most one fetch in this time, whatever is asked for. */
  readonly cooldownMilliseconds?: number
  /** Whether a key was revoked, asked each time that it is needed: by whatever way that became known, it counts. */
  readonly isRevoked?: (kid: string) => boolean
  /** A key that was revoked is among those that are published: once for each. */
  readonly onRevokedPublished?: (kid: string) => void
}

/** The keys of an issuer, and what a change feed has to say about them. */
export type RemoteKeys = KeySource & {
  /** Refuses a key for good, whether or not the issuer goes on publishing it, and asks for those that took its place. */
  forget(kid: string): void
  /** Asks anew for what may have changed; the keys that are known serve until the answer is there. */
  refresh(): void
}

/** Keys that were forgotten; each was one of the issuer's own, so there are few. */
const maxForgotten = 10_000

const importKeys = async (text: string): Promise<Map<string, VerificationKey>> => {
  const set: unknown = JSON.parse(text)
  if (!Value.Check(KeySet, set)) throw new Error('The answer is not a JWK set')
  const keys = new Map<string, VerificationKey>()
  for (const jwk of set.keys) {
    // Keys of another kind, use or curve are not ours to judge: RFC 7517 section 5 says to ignore them.
    if (!Value.Check(PublicJwk, jwk)) continue
    try {
      keys.set(jwk.kid, { algorithm: 'ES256', key: await importJWK(jwk, 'ES256') })
    } catch {
      // A point that is not on the curve; the other keys are as good as before.
    }
  }
  return keys
}

/**
 * The key set of an issuer (RFC 7517), fetched when a token first needs it and again when a token names a key that
 * it lacks: bounded in size and time, without redirects, one fetch at a time and one in each cooldown.
 *
 * Keys once fetched serve on while the issuer is out of reach. For others `find` throws Failure `unavailable`
 * then: nothing is known about such a token, so it is neither good nor bad.
 */
export const createRemoteKeys = ({
  url,
  clock,
  fetch = globalThis.fetch,
  maxBytes = 65_536,
  timeoutMilliseconds = 3_000,
  freshMilliseconds = 600_000,
  cooldownMilliseconds = 10_000,
  isRevoked = () => false,
  onRevokedPublished = () => {},
}: RemoteKeysOptions): RemoteKeys => {
  let keys: Map<string, VerificationKey> | null = null
  let fetchedAt = Number.NEGATIVE_INFINITY
  let triedAt = Number.NEGATIVE_INFINITY
  let failure: Failure | null = null
  let running: Promise<void> | null = null
  const forgotten = new Set<string>()
  const told = new Set<string>()

  const isRefused = (kid: string): boolean => forgotten.has(kid) || isRevoked(kid)
  const keyOf = (kid: string): VerificationKey | undefined => (isRefused(kid) ? undefined : keys?.get(kid))

  /** @param good keys that were not revoked when the set was asked for: it may be older than their revocation. */
  const tellRevoked = (published: Iterable<string>, good: ReadonlySet<string>): void => {
    for (const kid of published) {
      if (!isRefused(kid) || good.has(kid) || told.has(kid) || told.size >= maxForgotten) continue
      told.add(kid)
      onRevokedPublished(kid)
    }
  }

  /** Throws why the last fetch failed. What caused it is given once a fetch: a log needs no stack for each request. */
  const raise = (): never => {
    const thrown = failure ?? new Failure('unavailable', { retryAfterSeconds: 1 })
    failure = new Failure('unavailable', { retryAfterSeconds: 1 })
    throw thrown
  }

  const load = async (): Promise<void> => {
    triedAt = clock()
    const good = new Set([...(keys?.keys() ?? [])].filter(kid => !isRefused(kid)))
    try {
      const response = await fetch(url, {
        ...plainAnswer,
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMilliseconds),
        headers: { ...plainAnswer.headers, accept: 'application/jwk-set+json, application/json' },
      })
      if (response.status !== 200) throw new Error(`The key set answered ${response.status}`)
      keys = await importKeys(await readBounded(response, maxBytes))
      fetchedAt = clock()
      failure = null
      tellRevoked(keys.keys(), good)
    } catch (error) {
      failure = new Failure('unavailable', { retryAfterSeconds: 1, cause: error })
    }
  }

  const refresh = (): Promise<void> => {
    running ??= load().finally(() => {
      running = null
    })
    return running
  }

  const outdate = (): void => {
    // A fetch that is under way may have been answered before the change; then the next token that comes asks again.
    const isLate = running !== null
    triedAt = Number.NEGATIVE_INFINITY
    void refresh().then(() => {
      if (!isLate && failure === null) return
      fetchedAt = Number.NEGATIVE_INFINITY
      if (isLate) triedAt = Number.NEGATIVE_INFINITY
    })
  }

  const mayTry = (): boolean => running !== null || clock() - triedAt >= cooldownMilliseconds
  // Without any key each request would fail, so the wait is short, yet no flood can become one of fetches.
  const mayTryFirst = (): boolean =>
    running !== null || clock() - triedAt >= Math.min(1_000, cooldownMilliseconds)

  return {
    find: async kid => {
      if (kid !== undefined && isRefused(kid)) return null
      if (keys === null) {
        if (mayTryFirst()) await refresh()
        if (keys === null) return raise()
      } else if (clock() - fetchedAt >= freshMilliseconds && mayTry()) {
        // In the background: the old keys answer until the new ones are there.
        void refresh()
      }
      if (kid === undefined) return null
      const known = keyOf(kid)
      if (known !== undefined) return known
      if (mayTry()) await refresh()
      const found = keyOf(kid)
      // A key that was published since can't be told from one that never was while the issuer is silent.
      if (found === undefined && failure !== null && !isRefused(kid)) return raise()
      return found ?? null
    },
    forget: kid => {
      if (forgotten.has(kid)) return
      if (forgotten.size < maxForgotten) forgotten.add(kid)
      keys?.delete(kid)
      outdate()
    },
    refresh: outdate,
  }
}

import { isLoopbackHost } from '../lib/config.ts'
import { createRemoteKeys, type RemoteKeys, type RemoteKeysOptions } from '../lib/jwt/jwks.ts'
import { createSecretSource, type KeySource } from '../lib/jwt/verifier.ts'

/** A Latchkey `login`, and as whom this service follows what changes there. */
export type LoginOptions = {
  /** Its address, which is also the issuer of its tokens unless `issuer` says otherwise. */
  readonly url: string
  /** A service account that may read the change feed (`changes:read`). Without one no feed is followed. */
  readonly clientId?: string
  readonly clientSecret?: string
}

/** A secret that issuer and service share (HS256), or a key set at an address (ES256). */
export type JwtOptions = { readonly secret: string } | { readonly jwksUrl: string }

/** Who issues the access tokens that are taken. */
export type TokenSource =
  /** A `login`: its keys are found from its address, unless `jwt` says where they are. */
  | { readonly login: LoginOptions; readonly jwt?: JwtOptions; readonly issuer?: string }
  /** Any issuer. No feed is followed: credentials live to their expiry. */
  | { readonly jwt: JwtOptions; readonly login?: never; readonly issuer: string }

/** What was made of a {@link TokenSource}. */
export type Issuer = {
  readonly issuer: string
  readonly keys: KeySource
  /** The same keys, where they come from an address. */
  readonly remote: RemoteKeys | null
  /** Where to follow, and as whom; null for not at all. */
  readonly feed: { readonly url: string; readonly clientId: string; readonly clientSecret: string } | null
}

/** RFC 8725 section 3.10 asks for keys over an authenticated channel, and a client secret is one to keep. */
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

/** What it takes to fetch keys from an address: the time, and which ones the feed told to be revoked. */
export type KeyWatch = Pick<RemoteKeysOptions, 'clock' | 'isRevoked' | 'onRevokedPublished'>

const remoteKeys = (url: string, watch: KeyWatch): Pick<Issuer, 'keys' | 'remote'> => {
  const remote = createRemoteKeys({ url, ...watch })
  return { keys: remote, remote }
}

const keysOf = (
  jwt: JwtOptions,
  allowInsecure: boolean,
  watch: KeyWatch,
): Pick<Issuer, 'keys' | 'remote'> => {
  if ('jwksUrl' in jwt) return remoteKeys(secureUrl(jwt.jwksUrl, allowInsecure).href, watch)
  // RFC 7518 section 3.2: a key as long as the hash, at least.
  if (Buffer.byteLength(jwt.secret) < 32)
    throw new Error('The shared JWT secret needs 32 random bytes or more.')
  return { keys: createSecretSource(jwt.secret), remote: null }
}

/** @throws Error for what can't be secure: a short secret, plain http to another machine, half a client. */
export const resolveIssuer = (options: TokenSource, allowInsecure: boolean, watch: KeyWatch): Issuer => {
  if (options.login === undefined) {
    return { issuer: options.issuer, feed: null, ...keysOf(options.jwt, allowInsecure, watch) }
  }
  const { url, clientId = '', clientSecret = '' } = options.login
  if ((clientId === '') !== (clientSecret === '')) {
    throw new Error('login.clientId and login.clientSecret belong together.')
  }
  // With keys from elsewhere and no feed nothing is asked there: the address is but the name of the issuer.
  const isAsked = clientId !== '' || options.jwt === undefined
  const base = secureUrl(url, allowInsecure || !isAsked).href.replace(/\/$/, '')
  return {
    issuer: options.issuer ?? base,
    feed: clientId === '' ? null : { url: base, clientId, clientSecret },
    ...(options.jwt === undefined
      ? remoteKeys(`${base}/.well-known/jwks.json`, watch)
      : keysOf(options.jwt, allowInsecure, watch)),
  }
}

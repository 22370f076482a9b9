import { jwt } from '@elysiajs/jwt'
import type { AccessTokenClaims } from './claims.ts'

/** A key to sign with. `kid` is null for a shared secret, which is never published. */
export type SigningKey =
  | { readonly algorithm: 'HS256'; readonly kid: null; readonly secret: string }
  | { readonly algorithm: 'ES256'; readonly kid: string; readonly privateKey: CryptoKey }

export type Signer = { sign(claims: Omit<AccessTokenClaims, 'iat'>): Promise<string> }

/**
 * Signs access tokens with one key.
 *
 * Only the decorator of @elysiajs/jwt is taken: installed as a plugin, a second instance with another key would
 * count as the first one. `exp` is seconds since the epoch; `iat` it sets itself.
 */
export const createSigner = (key: SigningKey): Signer => {
  const { accessToken } = jwt({
    name: 'accessToken',
    alg: key.algorithm,
    typ: 'at+jwt',
    ...(key.algorithm === 'HS256' ? { secret: key.secret } : { secret: key.privateKey, kid: key.kid }),
  }).decorator
  return { sign: claims => accessToken.sign(claims) }
}

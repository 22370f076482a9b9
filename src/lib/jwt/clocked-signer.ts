import { SignJWT } from 'jose'
import type { Clock } from '../clock.ts'
import { accessTokenType } from './claims.ts'
import type { Signer, SigningKey } from './signer.ts'

/**
 * Signs as `createSigner` does, but with `iat` by the clock that is given: @elysiajs/jwt knows the system's alone, and
 * where a test's clock stands elsewhere its tokens would be years old, or not yet issued.
 */
export const createClockedSigner = (key: SigningKey, clock: Clock): Signer => {
  const secret = key.algorithm === 'HS256' ? new TextEncoder().encode(key.secret) : key.privateKey
  const header = { alg: key.algorithm, typ: accessTokenType, ...(key.kid === null ? {} : { kid: key.kid }) }
  return {
    sign: claims =>
      new SignJWT({ ...claims, iat: Math.floor(clock() / 1_000) }).setProtectedHeader(header).sign(secret),
  }
}

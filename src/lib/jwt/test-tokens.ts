/** A point in time that tests stand at: seconds since the epoch, and a clock that shows it. */
export const nowSeconds = 1_800_000_000

export const issuer = 'https://login.example'
export const audience = 'invoices'
export const secret = 'a shared secret of 32 bytes, and then some'

/** The payload of a token that is good at {@link nowSeconds}. */
export const goodClaims = {
  iss: issuer,
  sub: 'usr_1',
  aud: [issuer, audience],
  exp: nowSeconds + 300,
  iat: nowSeconds,
  jti: 'jti_1',
  client_id: 'latchkey-login',
}

export const encode = (data: string | Uint8Array): string => Buffer.from(data).toString('base64url')

/** Signs `<header>.<payload>`; unlike a library's, it signs whatever it is given. */
export type Sign = (input: string) => Promise<Uint8Array>

export const hmac =
  (key: string | Uint8Array, hash: 'SHA-256' | 'SHA-384' | 'SHA-512' = 'SHA-256'): Sign =>
  async input => {
    const raw = new Uint8Array(Buffer.from(key))
    const imported = await crypto.subtle.importKey('raw', raw, { name: 'HMAC', hash }, false, ['sign'])
    return new Uint8Array(await crypto.subtle.sign('HMAC', imported, Buffer.from(input)))
  }

export const ecdsa =
  (key: CryptoKey): Sign =>
  async input =>
    new Uint8Array(await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, key, Buffer.from(input)))

/** A compact JWS of any header and payload: objects become JSON, strings stay as they are. */
export const compact = async (
  header: object | string,
  payload: object | string,
  sign: Sign,
): Promise<string> => {
  const text = (part: object | string): string => (typeof part === 'string' ? part : JSON.stringify(part))
  const input = `${encode(text(header))}.${encode(text(payload))}`
  return `${input}.${encode(await sign(input))}`
}

export const hs256Header = { alg: 'HS256', typ: 'at+jwt' }

export type KeyPair = { readonly publicKey: CryptoKey; readonly privateKey: CryptoKey }

export const generateKeyPair = (namedCurve = 'P-256'): Promise<KeyPair> =>
  crypto.subtle.generateKey({ name: 'ECDSA', namedCurve }, true, ['sign', 'verify'])

/** What a verifier says of a good token with these claims. */
export const accepted = <Claims extends { exp: number }>(claims: Claims, keyId: string | null = null) =>
  ({ ok: true, claims, keyId, until: (claims.exp + 5) * 1_000 }) as const

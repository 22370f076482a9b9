import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from 'jose'

export const issuer = 'http://login.example'
export const audience = 'invoices'
export const secret = 'what login and this service share: 0123456789abcdef'

type Claims = {
  readonly iss?: string
  readonly aud?: string
  readonly roles?: readonly string[]
  readonly typ?: string
  /** Seconds from now. */
  readonly lifetime?: number
}

const sign = (
  key: CryptoKey | Uint8Array,
  header: { alg: string; kid?: string },
  { iss = issuer, aud = audience, roles = ['user'], typ = 'at+jwt', lifetime = 300 }: Claims,
): Promise<string> => {
  const now = Math.floor(Date.now() / 1_000)
  return new SignJWT({ client_id: 'latchkey-login', roles })
    .setProtectedHeader({ ...header, typ })
    .setIssuer(iss)
    .setAudience(aud)
    .setSubject('usr_ada')
    .setJti(crypto.randomUUID())
    .setIssuedAt(now)
    .setExpirationTime(now + lifetime)
    .sign(key)
}

/** An access token as `login` signs it with a shared secret. */
export const signed = (claims: Claims = {}, by = secret): Promise<string> =>
  sign(new TextEncoder().encode(by), { alg: 'HS256' }, claims)

export const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` })

/** A `login` of which only the published keys are there. */
export const serveKeys = async () => {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const jwk = { ...(await exportJWK(publicKey)), kid: 'first', alg: 'ES256', use: 'sig' }
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    routes: { '/.well-known/jwks.json': () => Response.json({ keys: [jwk] }) },
    fetch: () => new Response(null, { status: 404 }),
  })
  const url = `http://127.0.0.1:${server.port}`
  return {
    url,
    signed: (claims: Claims = {}, kid = 'first') =>
      sign(privateKey, { alg: 'ES256', kid }, { iss: url, ...claims }),
    stop: () => server.stop(true),
  }
}

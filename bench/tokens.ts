import { createSigner } from '../src/lib/jwt/signer.ts'
import { audience } from './settings.ts'

export type TokenOptions = { readonly secret: string; readonly issuer: string }

/** Signs access tokens of users as `login` does with a shared secret; good for an hour, the longest that any is. */
export const createTokens = ({ secret, issuer }: TokenOptions) => {
  const { sign } = createSigner({ algorithm: 'HS256', kid: null, secret })
  return (user: string, roles: string[] = ['user']): Promise<string> =>
    sign({
      iss: issuer,
      sub: user,
      aud: [issuer, audience, 'service-a'],
      exp: Math.floor(Date.now() / 1_000) + 3_590,
      jti: crypto.randomUUID(),
      client_id: 'latchkey-login',
      sid: `ses_${user}`,
      roles,
    })
}

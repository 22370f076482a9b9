import type { Clock } from '../lib/clock.ts'
import type { Signer } from '../lib/jwt/signer.ts'
import type { User } from '../userdb/index.ts'

/** `client_id` of tokens that come from signing in here directly, rather than through a client of its own. */
export const firstPartyClientId = 'latchkey-login'

export type AccessTokens = {
  /** Seconds. */
  readonly lifetime: number
  issue(user: Pick<User, 'id' | 'roles'>, sessionId: string): Promise<string>
}

export type AccessTokensOptions = {
  readonly signer: Signer
  readonly issuer: string
  readonly audiences: readonly string[]
  readonly lifetimeSeconds: number
  readonly clock: Clock
}

/** Issues access tokens of users as of RFC 9068: for this service and for every one that is named, no personal data. */
export const createAccessTokens = ({
  signer,
  issuer,
  audiences,
  lifetimeSeconds,
  clock,
}: AccessTokensOptions): AccessTokens => ({
  lifetime: lifetimeSeconds,
  issue: ({ id, roles }, sessionId) =>
    signer.sign({
      iss: issuer,
      sub: id,
      aud: [issuer, ...audiences],
      exp: Math.floor(clock() / 1_000) + lifetimeSeconds,
      jti: crypto.randomUUID(),
      client_id: firstPartyClientId,
      sid: sessionId,
      roles,
    }),
})

import type { Clock } from '../lib/clock.ts'
import type { Signer } from '../lib/jwt/signer.ts'
import type { User } from '../userdb/index.ts'

/** `client_id` of tokens that come from signing in here directly, rather than through a client of its own. */
export const firstPartyClientId = 'latchkey-login'

export type AccessTokens = {
  /** Seconds. */
  readonly lifetime: number
  issue(user: Pick<User, 'id' | 'roles'>, sessionId: string): Promise<string>
  /** For this service and for those of `audiences`, which the caller has to have checked. */
  issueToClient(clientId: string, scopes: readonly string[], audiences: readonly string[]): Promise<string>
}

export type AccessTokensOptions = {
  readonly signer: Signer
  readonly issuer: string
  readonly audiences: readonly string[]
  readonly lifetimeSeconds: number
  readonly clock: Clock
}

/**
 * Issues access tokens as of RFC 9068, without personal data: of users for this service and for every one that is named,
 * of clients for this service and for those that they ask for.
 */
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
  issueToClient: (clientId, scopes, asked) =>
    signer.sign({
      iss: issuer,
      // RFC 9068 section 2.2: where no user takes part, the client is the subject.
      sub: clientId,
      aud: [issuer, ...asked],
      exp: Math.floor(clock() / 1_000) + lifetimeSeconds,
      jti: crypto.randomUUID(),
      client_id: clientId,
      ...(scopes.length === 0 ? {} : { scope: scopes.join(' ') }),
    }),
})

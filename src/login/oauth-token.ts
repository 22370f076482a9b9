import type { Clock } from '../lib/clock.ts'
import type { Form } from '../lib/form.ts'
import type { Client } from './client-model.ts'
import type { ClientStore } from './client-store.ts'
import { OAuthError, oneOf, requireOne } from './oauth-error.ts'
import type { AccessTokens } from './tokens.ts'

export type TokenRequestOptions = {
  readonly tokens: AccessTokens
  /** This service, which every token is for. */
  readonly issuer: string
  /** The services that a client may ask for. */
  readonly audiences: readonly string[]
  readonly clients: Pick<ClientStore, 'find'>
  readonly clock: Clock
}

/** As long as it takes for the next second to begin, with room for timers that are early, milliseconds. */
const longestWait = 1_100

/**
 * Waits for the first second of which the tokens of a client are good. Right after all of them were ended that is the
 * next one; later only where a clock was set back, and then the token is as useless as the clock is wrong.
 *
 * @throws OAuthError `temporarily_unavailable`
 */
const waitForTokens = async ({ tokensSince }: Client, clock: Clock): Promise<void> => {
  const until = performance.now() + longestWait
  for (;;) {
    const missing = (tokensSince ?? 0) * 1_000 - clock()
    if (missing <= 0) return
    if (performance.now() + missing > until) break
    await Bun.sleep(missing)
  }
  throw new OAuthError('temporarily_unavailable', 'No token of the client can be good yet.')
}

/** RFC 6749 section 3.3: in any order, separated by one space. Absent asks for all that there is. */
const grantedScopes = ({ scopes }: Client, asked: string | undefined): string[] => {
  if (asked === undefined) return [...scopes]
  const each = new Set(asked.split(' '))
  const granted = scopes.filter(scope => each.has(scope))
  if (granted.length === each.size) return granted
  throw new OAuthError('invalid_scope', 'The client may not have all of these scopes.')
}

/** RFC 8693 section 2.1 has `audience` repeat, once for each service that the token is for. */
const grantedAudiences = (form: Form, issuer: string, known: readonly string[]): string[] => {
  const asked = [...new Set(form.get('audience'))].filter(audience => audience !== '' && audience !== issuer)
  if (asked.every(audience => known.includes(audience))) return asked
  throw new OAuthError('invalid_target', 'A service that is asked for is unknown here.')
}

/** @throws OAuthError `unsupported_grant_type`, which is said to anybody: the metadata says it too. */
export const refuseOtherGrants = (form: Form): void => {
  const grantType = oneOf(form, 'grant_type')
  if (grantType === undefined || grantType === 'client_credentials') return
  throw new OAuthError('unsupported_grant_type', 'grant_type has to be client_credentials.')
}

/**
 * A token for a client by itself: RFC 6749 section 4.4. There is no refresh token with it (section 4.4.3).
 *
 * @throws OAuthError
 */
export const answerTokenRequest = async (
  client: Client,
  form: Form,
  { tokens, issuer, audiences, clients, clock }: TokenRequestOptions,
) => {
  requireOne(form, 'grant_type')
  const scopes = grantedScopes(client, oneOf(form, 'scope'))
  const asked = grantedAudiences(form, issuer, audiences)
  await waitForTokens(client, clock)
  const token = await tokens.issueToClient(client.id, scopes, asked)
  // What ended its tokens while this one was made did not know of it.
  const now = await clients.find(client.id)
  if (now?.status !== 'active' || now.tokensSince !== client.tokensSince) {
    throw new OAuthError('invalid_client', 'The client is unknown or its secret is wrong.')
  }
  return {
    access_token: token,
    token_type: 'Bearer' as const,
    expires_in: tokens.lifetime,
    // Section 3.3 has no scope that is empty.
    ...(scopes.length === 0 ? {} : { scope: scopes.join(' ') }),
  }
}

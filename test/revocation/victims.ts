import type { Accounts } from './accounts.ts'
import type { Generator } from './generator.ts'

/** How a credential is refused once it is not honoured any more. */
export type Refusal = { readonly status: number; readonly codes: readonly string[] }

/** A credential under load that a change is to end. */
export type Watched = {
  readonly id: number
  readonly kind: 'access token' | 'API key'
  readonly services: readonly number[]
  readonly refusal: Refusal
}

/** Someone whose credentials are in use, and what will be done to them. */
export type Victim = {
  readonly watched: readonly Watched[]
  /** Credentials that the change must leave alone. */
  readonly spared: readonly Watched[]
  /** Makes the change and resolves to when it was acknowledged. */
  readonly change: () => Promise<number>
}

/** A kind of change. */
export type Kind = { readonly name: string; readonly make: () => Promise<Victim> }

/** Of an access token that is not honoured any more. */
export const deadToken: Refusal = { status: 401, codes: ['token_invalid'] }
/** Of what is good still, but for less. */
export const narrowed: Refusal = { status: 403, codes: ['insufficient_permission'] }
export const ownerInactive: Refusal = { status: 403, codes: ['api_key_owner_inactive'] }
export const revokedKey: Refusal = { status: 403, codes: ['api_key_revoked'] }
const expiredKey: Refusal = { status: 403, codes: ['api_key_expired'] }
/** A deleted owner's keys are refused for their owner until the deletion has reached the rows of the keys. */
export const ownerGone: Refusal = { status: 403, codes: ['api_key_revoked', 'api_key_owner_inactive'] }

/** Puts credentials under load: as a header on every service, or on the one that has made the key. */
export const createKinds = (accounts: Accounts, generator: Generator, services: readonly number[]) => {
  const token = (text: string, refusal: Refusal): Watched => ({
    id: generator.add(`Authorization: Bearer ${text}`, services),
    kind: 'access token',
    services,
    refusal,
  })
  const key = (text: string, service: number, refusal: Refusal): Watched => ({
    id: generator.add(`X-API-Key: ${text}`, [service]),
    kind: 'API key',
    services: [service],
    refusal,
  })

  /** A token, and a key on each service that was made with it. */
  const tokenAndKeys = async (text: string, ofToken: Refusal, ofKey: Refusal): Promise<Watched[]> => {
    const keys = await Promise.all(services.map(service => accounts.makeKey(service, text)))
    return [
      token(text, ofToken),
      ...keys.map(({ key: made }, index) => key(made, services[index] ?? 0, ofKey)),
    ]
  }

  const ofUser = (
    name: string,
    refusals: readonly [Refusal, Refusal],
    change: (id: string) => Promise<number>,
  ): Kind => ({
    name,
    make: async () => {
      const user = await accounts.addUser()
      const { accessToken } = await accounts.signIn(user)
      const watched = await tokenAndKeys(accessToken, ...refusals)
      return { watched, spared: [], change: () => change(user.id) }
    },
  })

  const ofClient = (
    name: string,
    refusals: readonly [Refusal, Refusal],
    change: (id: string) => Promise<number>,
  ): Kind => ({
    name,
    make: async () => {
      const client = await accounts.addClient()
      const watched = await tokenAndKeys(await accounts.clientToken(client), ...refusals)
      return { watched, spared: [], change: () => change(client.id) }
    },
  })

  /** Keys of one user, one on each service at a time. */
  const ofKey = (
    name: string,
    refusal: Refusal,
    change: (service: number, accessToken: string, id: string) => Promise<number>,
  ): Kind & { readonly makeOn: (service: number) => Promise<Victim> } => {
    let owner: Promise<string> | null = null
    let turn = 0
    const makeOn = async (service: number): Promise<Victim> => {
      owner ??= accounts.addUser().then(async user => (await accounts.signIn(user)).accessToken)
      const accessToken = await owner
      const made = await accounts.makeKey(service, accessToken)
      return {
        watched: [key(made.key, service, refusal)],
        spared: [],
        change: () => change(service, accessToken, made.id),
      }
    }
    return {
      name,
      makeOn,
      make: () => {
        turn += 1
        return makeOn(services[turn % services.length] ?? 0)
      },
    }
  }

  return {
    bystander: async (): Promise<Watched[]> => {
      const { accessToken } = await accounts.signIn(await accounts.addUser())
      return tokenAndKeys(accessToken, deadToken, ownerInactive)
    },
    userDisabled: ofUser('user disabled', [deadToken, ownerInactive], id =>
      accounts.administer('POST', `/users/${id}/disable`),
    ),
    userDeleted: ofUser('user deleted', [deadToken, ownerGone], id =>
      accounts.administer('DELETE', `/users/${id}`),
    ),
    userDemoted: ofUser('role taken from a user', [narrowed, narrowed], id =>
      accounts.administer('PATCH', `/users/${id}`, { roles: [] }),
    ),
    clientDisabled: ofClient('service account disabled', [deadToken, ownerInactive], id =>
      accounts.administer('POST', `/clients/${id}/disable`),
    ),
    clientDeleted: ofClient('service account deleted', [deadToken, ownerGone], id =>
      accounts.administer('DELETE', `/clients/${id}`),
    ),
    clientNarrowed: ofClient('scope taken from a service account', [narrowed, narrowed], id =>
      accounts.administer('PATCH', `/clients/${id}`, { scopes: ['documents:write'] }),
    ),
    sessionEnded: {
      name: 'session ended',
      make: async (): Promise<Victim> => {
        const user = await accounts.addUser()
        const ended = await accounts.signIn(user)
        const other = await accounts.signIn(user)
        const spared = await tokenAndKeys(other.accessToken, deadToken, ownerInactive)
        const json = { refresh_token: ended.refreshToken }
        return {
          watched: [token(ended.accessToken, deadToken)],
          spared,
          change: () => accounts.ask('/auth/logout', json),
        }
      },
    },
    signedOutEverywhere: {
      name: 'signed out everywhere',
      make: async (): Promise<Victim> => {
        const user = await accounts.addUser()
        const sessions = [await accounts.signIn(user), await accounts.signIn(user)]
        const json = { refresh_token: sessions[0]?.refreshToken, scope: 'global' }
        return {
          watched: sessions.map(({ accessToken }) => token(accessToken, deadToken)),
          spared: [],
          change: () => accounts.ask('/auth/logout', json),
        }
      },
    },
    tokenRevoked: (() => {
      let session: Promise<{ accessToken: string; refreshToken: string }> | null = null
      return {
        name: 'access token revoked (RFC 7009)',
        make: async (): Promise<Victim> => {
          // Tokens of one session, each from the refresh token before.
          session =
            session === null
              ? accounts.addUser().then(accounts.signIn)
              : session.then(({ refreshToken }) => accounts.refresh(refreshToken))
          const { accessToken } = await session
          return {
            watched: [token(accessToken, deadToken)],
            spared: [],
            change: () => accounts.revoke(accessToken),
          }
        },
      }
    })(),
    keyRotated: ofKey('API key rotated without grace', expiredKey, (service, accessToken, id) =>
      accounts.changeKey(service, accessToken, 'POST', `${id}/rotate`, { graceSeconds: 0 }),
    ),
    keyDeleted: ofKey('API key deleted', revokedKey, (service, accessToken, id) =>
      accounts.changeKey(service, accessToken, 'DELETE', id),
    ),
    watchToken: token,
    watchKey: key,
    tokenAndKeys,
  }
}

export type Kinds = ReturnType<typeof createKinds>

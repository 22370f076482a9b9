import type { Tokens, User } from './accounts.ts'
import type { Stand } from './stand.ts'
import { deadToken, narrowed, ownerGone, ownerInactive, revokedKey, type Watched } from './victims.ts'

/** One change to be measured: credentials that are good, what ends them, and what makes them good again. */
export type Trial = {
  readonly name: string
  readonly watched: readonly Watched[]
  readonly change: () => Promise<number>
  readonly undo: () => Promise<unknown>
}

const scopes = ['documents:read', 'documents:write']
const nothing = async (): Promise<void> => {}

/**
 * The changes of one pair of a user and a service account, to be made over and over. Those that can be undone are, so
 * that a thousand changes need no thousand passwords to be hashed.
 */
export const createTrials = async ({
  accounts,
  kinds,
  site,
}: Stand): Promise<readonly (() => Promise<Trial>)[]> => {
  const services = [...site.services.keys()]
  const keysOf = (watched: readonly Watched[]): Watched[] => watched.filter(({ kind }) => kind === 'API key')

  const user = await accounts.addUser()
  const ofUser = await kinds.tokenAndKeys((await accounts.signIn(user)).accessToken, narrowed, narrowed)
  // What is given back also takes its time to be heard of, so whoever makes keys here never loses a role.
  const keeper: User = await accounts.addUser()
  let session: Tokens = await accounts.signIn(keeper)
  // Disabling ends sessions, so this one only has keys.
  const other = await accounts.addUser()
  const ofOther = keysOf(
    await kinds.tokenAndKeys((await accounts.signIn(other)).accessToken, deadToken, ownerInactive),
  )
  const client = await accounts.addClient()
  const ofClient = await kinds.tokenAndKeys(await accounts.clientToken(client), narrowed, narrowed)
  // Disabling ends what was issued before, so this one has keys, and a new token each time.
  const switched = await accounts.addClient()
  const ofSwitched = keysOf(
    await kinds.tokenAndKeys(await accounts.clientToken(switched), deadToken, ownerInactive),
  )
  const administer = (method: string, path: string, json?: unknown) => accounts.administer(method, path, json)

  const userDisabled = async (): Promise<Trial> => ({
    name: 'user disabled',
    watched: ofOther,
    change: () => administer('POST', `/users/${other.id}/disable`),
    undo: () => administer('POST', `/users/${other.id}/enable`),
  })
  const userDemoted = async (): Promise<Trial> => ({
    name: 'role taken',
    watched: ofUser,
    change: () => administer('PATCH', `/users/${user.id}`, { roles: [] }),
    undo: () => administer('PATCH', `/users/${user.id}`, { roles: ['user'] }),
  })
  const clientDisabled = async (): Promise<Trial> => ({
    name: 'service account disabled',
    watched: [kinds.watchToken(await accounts.clientToken(switched), deadToken), ...ofSwitched],
    change: () => administer('POST', `/clients/${switched.id}/disable`),
    undo: () => administer('POST', `/clients/${switched.id}/enable`),
  })
  const clientNarrowed = async (): Promise<Trial> => ({
    name: 'scope taken',
    watched: ofClient,
    change: () => administer('PATCH', `/clients/${client.id}`, { scopes: ['documents:write'] }),
    undo: () => administer('PATCH', `/clients/${client.id}`, { scopes }),
  })
  // A session of its own, and another one in time: the 21st token that is revoked takes its session along.
  let revoked = 0
  let ofRevoked = session
  const tokenRevoked = async (): Promise<Trial> => {
    ofRevoked =
      revoked % 20 === 0 ? await accounts.signIn(keeper) : await accounts.refresh(ofRevoked.refreshToken)
    revoked += 1
    const { accessToken } = ofRevoked
    return {
      name: 'access token revoked',
      watched: [kinds.watchToken(accessToken, deadToken)],
      change: () => accounts.revoke(accessToken),
      undo: nothing,
    }
  }
  const sessionEnded = async (): Promise<Trial> => {
    const ending = await accounts.signIn(keeper)
    return {
      name: 'session ended',
      watched: [kinds.watchToken(ending.accessToken, deadToken)],
      change: () => accounts.ask('/auth/logout', { refresh_token: ending.refreshToken }),
      undo: nothing,
    }
  }
  const userDeleted = async (): Promise<Trial> => {
    const gone = await accounts.addUser()
    const { accessToken } = await accounts.signIn(gone)
    return {
      name: 'user deleted',
      watched: await kinds.tokenAndKeys(accessToken, deadToken, ownerGone),
      change: () => administer('DELETE', `/users/${gone.id}`),
      undo: nothing,
    }
  }
  let turn = 0
  const keyDeleted = async (): Promise<Trial> => {
    turn += 1
    const service = services[turn % services.length] ?? 0
    session = await accounts.refresh(session.refreshToken)
    const { accessToken } = session
    const made = await accounts.makeKey(service, accessToken)
    return {
      name: 'API key deleted',
      watched: [kinds.watchKey(made.key, service, revokedKey)],
      change: () => accounts.changeKey(service, accessToken, 'DELETE', made.id),
      undo: nothing,
    }
  }

  const often = [userDisabled, userDemoted, clientDisabled, clientNarrowed, tokenRevoked]
  // A password is hashed for each of the first two.
  return [...often, ...often, ...often, sessionEnded, userDeleted, keyDeleted]
}

import type { Verdict } from './timeline.ts'

/** The simple model: what users, service accounts and keys are after what was acknowledged. */

export type Permission = 'documents:read' | 'documents:write'
export const permissions: readonly Permission[] = ['documents:read', 'documents:write']

export type Subject = {
  readonly kind: 'user' | 'client'
  status: 'active' | 'disabled' | 'deleted'
  /** Of a user: role names. Of a service account: its scopes. */
  rights: readonly string[]
  /** When its creation, and when its last change of status was acknowledged. */
  readonly createdAt: number
  statusAt: number
  /** When a service account was last disabled: tokens that it had taken before are over for good. */
  disabledAt: number
  /** Whether the feed was up when it was deleted: then its keys are revoked, and not just refused. */
  isDeletionTold: boolean
}

/** What is in the database of `login`, and goes back with it when an older copy is put in its place. */
export type LoginState = {
  readonly subjects: Map<string, Subject>
  /** Sessions by id, with their user. */
  readonly sessions: Map<string, string>
  /** Sessions and tokens that ended, with the time of the acknowledgement. */
  readonly ended: Map<string, number>
}

export type Key = {
  owner: string
  readonly permissions: readonly Permission[]
  isRevoked: boolean
  isEnabled: boolean
  isReplaced: boolean
  /** Whether the service heard of its owner's deletion before that was undone by a restore: nobody can tell. */
  isUnsure: boolean
}

export type Credential =
  | {
      readonly kind: 'user'
      readonly subject: string
      readonly session: string
      readonly tokenId: string
      readonly token: string
      readonly refreshToken: string
    }
  | {
      readonly kind: 'client'
      readonly subject: string
      readonly tokenId: string
      readonly token: string
      readonly scopes: readonly string[]
      readonly takenAt: number
    }
  | { readonly kind: 'key'; readonly keyId: string; readonly text: string }

export type State = {
  login: LoginState
  readonly keys: Map<string, Key>
  /** Subjects that are gone with what a restore undid: whether the service had heard of them. */
  readonly lost: Map<string, 'heard' | 'unsure'>
  /** Ended by what a restore undid, and the service had heard of it: it stays so there. */
  readonly keptEnded: Set<string>
  /** Sessions and tokens of which nobody can tell after a restore. */
  readonly unsure: Set<string>
  /** What a restore brought back to life, to be said in the log of the service. */
  readonly comeBack: Set<string>
  isLoginUp: boolean
  isServiceUp: boolean
  wire: 'whole' | 'delay' | 'cut' | 'mute' | 'halve'
  copy: LoginState | null
}

export const createState = (): State => ({
  login: { subjects: new Map(), sessions: new Map(), ended: new Map() },
  keys: new Map(),
  lost: new Map(),
  keptEnded: new Set(),
  unsure: new Set(),
  comeBack: new Set(),
  isLoginUp: true,
  isServiceUp: true,
  wire: 'whole',
  copy: null,
})

/** What each role may do at service-a; service accounts may do what their scopes say. */
const rolePermissions: Readonly<Record<string, readonly Permission[]>> = {
  user: permissions,
  admin: permissions,
}

export const permissionsOf = ({ kind, rights }: Pick<Subject, 'kind' | 'rights'>): Permission[] =>
  permissions.filter(needed =>
    kind === 'client'
      ? rights.includes(needed)
      : rights.some(role => rolePermissions[role]?.includes(needed) === true),
  )

/** What is to come of a request: how its answer begins, `200` or `403 api_key_revoked`; null where anything may. */
export type Expectation = {
  readonly local: Verdict
  readonly remote: Verdict
  readonly answer: string | null
}

const bad = (answer: string): Expectation => ({ local: 'good', remote: 'bad', answer })
const badHere = (answer: string, remote: Verdict): Expectation => ({ local: 'bad', remote, answer })
const good: Expectation = { local: 'good', remote: 'good', answer: '200' }
const either: Expectation = { local: 'good', remote: 'either', answer: null }

const expectToken = (
  { login, lost, keptEnded, unsure }: State,
  credential: Exclude<Credential, { kind: 'key' }>,
  needed: Permission,
): Expectation => {
  const ids = credential.kind === 'user' ? [credential.session, credential.tokenId] : [credential.tokenId]
  const subject = login.subjects.get(credential.subject)
  // A token vouches for a user of whom the service never heard.
  if (subject === undefined)
    return lost.get(credential.subject) === 'heard' ? bad('401 token_invalid') : either
  if (subject.status !== 'active') return bad('401 token_invalid')
  if (ids.some(id => login.ended.has(id) || keptEnded.has(id))) return bad('401 token_invalid')
  if (credential.kind === 'client' && credential.takenAt < subject.disabledAt) return bad('401 token_invalid')
  const isUnsure = ids.some(id => unsure.has(id))
  const isAllowed =
    permissionsOf(subject).includes(needed) &&
    (credential.kind === 'user' || credential.scopes.includes(needed))
  if (!isAllowed) return bad(isUnsure ? '40' : '403 insufficient_permission')
  return isUnsure ? either : good
}

const expectKey = ({ login, keys }: State, keyId: string, needed: Permission): Expectation => {
  const key = keys.get(keyId)
  if (key === undefined) return badHere('403', 'bad')
  const owner = login.subjects.get(key.owner)
  const isOwned = owner?.status === 'active' && permissionsOf(owner).includes(needed)
  const remote: Verdict = isOwned && key.permissions.includes(needed) ? 'good' : 'bad'
  if (key.isRevoked) return badHere('403 api_key_revoked', remote)
  if (key.isUnsure) return { local: 'either', remote, answer: remote === 'good' ? null : '403' }
  // A snapshot of another generation makes it an owner who is gone, and leaves the key itself as it was.
  if (owner?.status === 'deleted')
    return bad(key.isEnabled && !key.isReplaced ? '403 api_key_revoked' : '403')
  if (owner === undefined) return bad('403')
  if (!key.isEnabled) return badHere('403 api_key_disabled', remote)
  if (owner.status === 'disabled') {
    return key.isReplaced ? badHere('403', 'bad') : bad('403 api_key_owner_inactive')
  }
  if (key.isReplaced) return badHere('403 api_key_expired', remote)
  return remote === 'good' ? good : bad('403 insufficient_permission')
}

/** What a request with this credential to a route with this permission must come to, once all has been heard. */
export const expectationOf = (state: State, credential: Credential, needed: Permission): Expectation =>
  credential.kind === 'key'
    ? expectKey(state, credential.keyId, needed)
    : expectToken(state, credential, needed)

/** Ends sessions; those that had ended before keep their time. */
export const endSessions = (
  { sessions, ended }: LoginState,
  user: string,
  at: number,
  but?: string,
): void => {
  for (const [id, owner] of sessions) {
    if (owner === user && id !== but && !ended.has(id)) ended.set(id, at)
  }
}

/**
 * An older copy takes the place of the database of `login`. `known`: the service has heard of everything that was
 * acknowledged until then.
 */
export const restore = (state: State, copy: LoginState, known: number): void => {
  const { login: before, keys, lost, keptEnded, unsure, comeBack } = state
  const after = structuredClone(copy)
  for (const [id, at] of before.ended) {
    if (after.ended.has(id)) continue
    if (at <= known) keptEnded.add(id)
    else unsure.add(id)
  }
  for (const id of before.sessions.keys()) if (!after.sessions.has(id)) unsure.add(id)
  for (const [id, { status, statusAt, createdAt, isDeletionTold }] of before.subjects) {
    const restored = after.subjects.get(id)
    if (restored === undefined) lost.set(id, createdAt <= known ? 'heard' : 'unsure')
    if (status === 'deleted' && restored?.status !== 'deleted') {
      for (const key of keys.values()) {
        // A key that was replaced has expired, and is left at that.
        if (key.owner !== id || key.isReplaced) continue
        if (isDeletionTold && statusAt <= known) key.isRevoked = true
        else key.isUnsure = true
      }
    }
    if (restored?.status !== 'active') comeBack.delete(id)
    else if (status !== 'active' && statusAt <= known) comeBack.add(id)
  }
  state.login = after
}

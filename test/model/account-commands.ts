import fc from 'fast-check'
import { call } from '../support/http.ts'
import { textOf } from '../support/json.ts'
import { type Client, postForm } from '../support/oauth.ts'
import { at, type Command, command, expectAnswer, type Named, subjectsOf, whileLoginIsUp } from './command.ts'
import { claimsOf, newCredentials, signInAs } from './credentials.ts'
import { kill } from './outage-commands.ts'
import { type Credential, endSessions, type State, type Subject } from './state.ts'
import type { World } from './world.ts'

/** Users, service accounts, sessions and tokens are managed at `login`. */

let names = 0
const newName = (): string => {
  names += 1
  return `subject-${names}`
}

const newSubject = (kind: Subject['kind'], rights: readonly string[], time: number): Subject => ({
  kind,
  status: 'active',
  rights,
  createdAt: time,
  statusAt: time,
  disabledAt: 0,
  isDeletionTold: false,
})

export const createUser = async (world: World, roles: readonly string[]): Promise<string> => {
  const credentials = newCredentials(newName())
  let id = ''
  await world.change(
    () => world.site.manage('/users', { json: { ...credentials, roles } }),
    (answer, time) => {
      expectAnswer('Making a user', answer, 201)
      id = textOf(answer.body, 'id')
      world.secrets.set(id, credentials)
      world.state.login.subjects.set(id, newSubject('user', roles, time))
    },
  )
  return id
}

export const signIn = async (world: World, user: string): Promise<void> => {
  const credentials = world.secrets.get(user)
  if (credentials === undefined || typeof credentials === 'string') return
  await world.change(
    () => signInAs(world.site, credentials),
    ({ accessToken: token, refreshToken }) => {
      const claims = claimsOf(token)
      world.state.login.sessions.set(claims.session, user)
      world.add({ kind: 'user', subject: user, token, refreshToken, ...claims })
    },
  )
}

export const createClient = async (world: World, scopes: readonly string[]): Promise<string> => {
  let id = ''
  await world.change(
    () => world.site.manage('/clients', { json: { name: newName(), scopes } }),
    (answer, time) => {
      expectAnswer('Making a service account', answer, 201)
      id = textOf(answer.body, 'id')
      world.secrets.set(id, textOf(answer.body, 'secret'))
      world.state.login.subjects.set(id, newSubject('client', scopes, time))
    },
  )
  return id
}

/** A service account with its secret; null of a subject that has none. */
const clientOf = ({ secrets }: World, id: string): Client | null => {
  const secret = secrets.get(id)
  return typeof secret === 'string' ? { id, secret } : null
}

export const takeToken = (world: World, client: string): Promise<void> =>
  world.change(
    () =>
      postForm(
        `${world.site.login.url}/oauth/token`,
        { grant_type: 'client_credentials', audience: 'service-a' },
        clientOf(world, client),
      ),
    ({ status, body, text }, time) => {
      if (status !== 200) throw new Error(`A token is refused with ${status}: ${text}`)
      const token = textOf(body, 'access_token')
      const { tokenId } = claimsOf(token)
      const scopes = textOf(body, 'scope').split(' ')
      world.add({ kind: 'client', subject: client, token, tokenId, scopes, takenAt: time })
    },
  )

const pathOf = ([id, { kind }]: Named): string => `/${kind === 'user' ? 'users' : 'clients'}/${id}`

/** Changes the status of a subject; what else follows from it is told by `follow`. */
const changeStatus = (
  world: World,
  named: Named,
  status: Subject['status'],
  request: { readonly path: string; readonly method: string },
): Promise<void> => {
  const isTold = world.isFollowing()
  return world.change(
    () => world.site.manage(`${pathOf(named)}${request.path}`, { method: request.method }),
    (answer, time) => {
      expectAnswer(`${request.method} ${request.path}`, answer, 200, 204)
      const [id, subject] = named
      subject.status = status
      subject.statusAt = time
      if (status === 'disabled') subject.disabledAt = time
      subject.isDeletionTold = isTold
      world.state.comeBack.delete(id)
      if (status !== 'active') endSessions(world.state.login, id, time)
    },
  )
}

export const changeRights = (world: World, named: Named, rights: readonly string[]): Promise<void> =>
  world.change(
    () => {
      const [, { kind }] = named
      const json = kind === 'user' ? { roles: rights } : { scopes: rights }
      return world.site.manage(pathOf(named), { method: 'PATCH', json })
    },
    answer => {
      expectAnswer('Changing rights', answer, 200)
      named[1].rights = rights
    },
  )

type OfUser = Extract<Credential, { kind: 'user' }>

/** Tokens of sessions that `login` knows and that are live. */
const liveSessions = (world: World): OfUser[] =>
  world.credentials.filter(
    (credential): credential is OfUser =>
      credential.kind === 'user' &&
      world.state.login.sessions.has(credential.session) &&
      !world.state.login.ended.has(credential.session),
  )

const signOut = (world: World, index: number, scope: 'local' | 'others' | 'global'): Promise<void> => {
  const credential = at(liveSessions(world), index)
  if (credential === null) return Promise.resolve()
  const { session, subject, refreshToken } = credential
  return world.change(
    () => call(`${world.site.login.url}/auth/logout`, { json: { refresh_token: refreshToken, scope } }),
    (answer, time) => {
      expectAnswer('Signing out', answer, 204)
      const { login } = world.state
      if (scope !== 'others') login.ended.set(session, time)
      if (scope !== 'local') endSessions(login, subject, time, session)
    },
  )
}

/** RFC 7009: a user's token by who has it, a service account's by itself. */
const revokeToken = (world: World, index: number): Promise<void> => {
  const { login } = world.state
  const live = world.credentials.filter(
    (credential): credential is Exclude<Credential, { kind: 'key' }> =>
      credential.kind !== 'key' &&
      login.subjects.get(credential.subject)?.status === 'active' &&
      !login.ended.has(credential.tokenId) &&
      (credential.kind === 'client' ||
        (login.sessions.has(credential.session) && !login.ended.has(credential.session))),
  )
  const credential = at(live, index)
  if (credential === null) return Promise.resolve()
  const client = credential.kind === 'client' ? clientOf(world, credential.subject) : null
  return world.change(
    () => postForm(`${world.site.login.url}/oauth/revoke`, { token: credential.token }, client),
    ({ status, text }, time) => {
      if (status !== 200) throw new Error(`A revocation is answered with ${status}: ${text}`)
      login.ended.set(credential.tokenId, time)
    },
  )
}

const Roles = fc.constantFrom<readonly string[]>([], ['user'], ['user'], ['admin', 'user'])
const Scopes = fc.constantFrom<readonly string[]>(
  ['documents:read'],
  ['documents:read', 'documents:write'],
  ['documents:write', 'reports:read'],
)
const Scope = fc.constantFrom('local', 'local', 'others', 'global' as const)

/** What is killed as soon as a change is acknowledged. */
const Victim = fc.constantFrom(null, null, null, null, 'login' as const, 'service-a' as const)

const told = (name: string, victim: 'login' | 'service-a' | null): string =>
  victim === null ? name : `${name}, then kill ${victim}`

const changes = {
  disable: { from: ['active'], to: 'disabled', path: '/disable', method: 'POST' },
  enable: { from: ['disabled'], to: 'active', path: '/enable', method: 'POST' },
  delete: { from: ['active', 'disabled'], to: 'deleted', path: '', method: 'DELETE' },
} as const

const statusCommands =
  (index: fc.Arbitrary<number>) =>
  (kind: Subject['kind'], change: keyof typeof changes): fc.Arbitrary<Command> =>
    fc.tuple(index, Victim).map(([i, victim]) => {
      const { from, to, ...request } = changes[change]
      return command(
        told(`${change} ${kind} ${i}`, victim),
        whileLoginIsUp(state => at(subjectsOf(state, kind, ...from), i)),
        async (world, named) => {
          await changeStatus(world, named, to, request)
          if (victim !== null) await kill(world, victim)
        },
      )
    })

const rightsCommands =
  (index: fc.Arbitrary<number>) =>
  (kind: Subject['kind'], rights: fc.Arbitrary<readonly string[]>): fc.Arbitrary<Command> =>
    fc.tuple(index, rights, Victim).map(([i, wanted, victim]) =>
      command(
        told(`set rights of ${kind} ${i} to [${wanted.join(' ')}]`, victim),
        whileLoginIsUp(state => at(subjectsOf(state, kind, 'active', 'disabled'), i)),
        async (world, named) => {
          await changeRights(world, named, wanted)
          if (victim !== null) await kill(world, victim)
        },
      ),
    )

const limited = (state: State, kind: Subject['kind']): true | null =>
  subjectsOf(state, kind, 'active', 'disabled').length < 8 ? true : null

/** Changes at `login`, the likelier the oftener it stands here. */
export const accountCommands = (index: fc.Arbitrary<number>): fc.Arbitrary<Command>[] => {
  const statusCommand = statusCommands(index)
  const rightsCommand = rightsCommands(index)
  const user = Roles.map(roles =>
    command(
      `create user [${roles.join(' ')}]`,
      whileLoginIsUp(state => limited(state, 'user')),
      async (world: World) => {
        await createUser(world, roles)
      },
    ),
  )
  const session = index.map(i =>
    command(
      `sign in ${i}`,
      whileLoginIsUp(state => at(subjectsOf(state, 'user', 'active'), i)),
      (world, [id]) => signIn(world, id),
    ),
  )
  const client = Scopes.map(scopes =>
    command(
      `create client [${scopes.join(' ')}]`,
      whileLoginIsUp(state => limited(state, 'client')),
      async (world: World) => {
        await createClient(world, scopes)
      },
    ),
  )
  const token = index.map(i =>
    command(
      `take token ${i}`,
      whileLoginIsUp(state => at(subjectsOf(state, 'client', 'active'), i)),
      (world, [id]) => takeToken(world, id),
    ),
  )
  const out = fc.tuple(index, Scope).map(([i, scope]) =>
    command(
      `sign out ${i} ${scope}`,
      whileLoginIsUp(() => true),
      world => signOut(world, i, scope),
    ),
  )
  const revocation = index.map(i =>
    command(
      `revoke token ${i}`,
      whileLoginIsUp(() => true),
      world => revokeToken(world, i),
    ),
  )
  return [
    user,
    session,
    session,
    client,
    token,
    token,
    out,
    revocation,
    statusCommand('user', 'disable'),
    statusCommand('user', 'enable'),
    statusCommand('user', 'enable'),
    statusCommand('user', 'delete'),
    statusCommand('client', 'disable'),
    statusCommand('client', 'enable'),
    statusCommand('client', 'delete'),
    rightsCommand('user', Roles),
    rightsCommand('client', Scopes),
  ]
}

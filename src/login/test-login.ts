import type { Database } from 'bun:sqlite'
import type { Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { migrations } from '../../db/login/index.ts'
import { type AuditContext, bySystem } from '../lib/audit.ts'
import { trustedProxies } from '../lib/client-address.ts'
import { type Clock, systemClock } from '../lib/clock.ts'
import { createId } from '../lib/id.ts'
import { createClockedSigner } from '../lib/jwt/clocked-signer.ts'
import { createLog } from '../lib/log.ts'
import { migrate } from '../lib/migrate.ts'
import { openDatabase, settle } from '../lib/sqlite.ts'
import { type Answer, type Ask, ask } from '../lib/test-http.ts'
import {
  createPasswords,
  createSqliteUserStore,
  createUsers,
  type NewUser,
  type PasswordsOptions,
  type User,
  migrations as userdbMigrations,
} from '../userdb/index.ts'
import { createLoginApp } from './app.ts'
import { createChangeLog } from './change-log.ts'
import { createPolls } from './changes-poll.ts'
import { createClientRegistry } from './client-registry.ts'
import { createSecretChecker } from './client-secret.ts'
import { createSqliteClientStore } from './client-store.ts'
import { createFeed } from './feed.ts'
import { TokenAnswer } from './model.ts'
import { createSqliteSessionStore } from './session-store.ts'
import { createSetupTokens } from './setup.ts'
import { createSecretKeys, type SigningKeys } from './signing-keys.ts'
import { createTokenRevocation } from './token-revocation.ts'
import { createUserEvents } from './user-events.ts'

export const issuer = 'https://login.example'
export const audience = 'service-a'
export const secret = 'a secret that login and service-a share'
export const password = 'correct horse battery staple'

/** A time that is not now, so that whoever asks the wrong clock is found out. */
export const startOfTest = 1_900_000_000_000

/** A clock in the hand of a test. */
export type TestTime = { now: number; readonly clock: Clock }

export const createTime = (): TestTime => {
  const time: TestTime = { now: startOfTest, clock: () => time.now }
  return time
}

/** Opens a migrated database as the role does. */
export const openLoginDatabase = (path = ':memory:'): Database => {
  const database = openDatabase(path)
  migrate(database, userdbMigrations, () => startOfTest)
  migrate(database, migrations, () => startOfTest)
  settle(database)
  return database
}

/** The shared secret of the tests, signing by a clock in their hand. */
export const createTestKeys = (clock: Clock, text = secret): SigningKeys => ({
  ...createSecretKeys(text),
  signer: createClockedSigner({ algorithm: 'HS256', kid: null, secret: text }, clock),
})

/** A user to insert without hashing, whose hash can be told anywhere it turns up. */
export const newUser = (email: string, roles: readonly string[] = ['user']): NewUser => ({
  id: createId('usr', systemClock),
  email,
  displayName: null,
  roles,
  passwordHash: '$argon2id$kept',
})

export type AuditRow = {
  readonly at: number
  readonly action: string
  readonly actor_id: string | null
  readonly subject_id: string | null
  readonly detail: string
  readonly address: string | null
  readonly request_id: string | null
}

export const auditOf = (database: Database): AuditRow[] =>
  database
    .query<AuditRow, []>(
      'SELECT at, action, actor_id, subject_id, detail, address, request_id FROM login_audit ORDER BY sequence',
    )
    .all()

export type TestLoginOptions = {
  readonly database?: Database
  readonly time?: TestTime
  readonly signingKeys?: SigningKeys
  readonly passwords?: Partial<PasswordsOptions>
  readonly ready?: () => Promise<boolean>
  readonly proxies?: readonly string[]
}

/** The whole role in this process, with a clock that stands, cheap hashes, and a log that can be read. */
export const createTestLogin = ({
  database = openLoginDatabase(),
  time = createTime(),
  signingKeys = createTestKeys(time.clock),
  passwords = {},
  ready = async () => true,
  proxies = [],
}: TestLoginOptions = {}) => {
  const { clock } = time
  const changes = createChangeLog(database)
  const userStore = createSqliteUserStore({ database, clock, inTransaction: createUserEvents(changes) })
  const users = createUsers({
    store: userStore,
    passwords: createPasswords({
      concurrency: 4,
      parameters: { memoryCost: 8, timeCost: 1 },
      ...passwords,
    }),
    clock,
  })
  const sessions = createSqliteSessionStore({ database, clock, changes })
  const clients = createSqliteClientStore({ database, clock, changes })
  const registry = createClientRegistry({ store: clients, checker: createSecretChecker(), clock })
  const revocation = createTokenRevocation({ database, clock, changes })
  const setup = createSetupTokens({ database, clock })
  const lines: string[] = []
  const log = createLog({ level: 'debug', service: 'login' }, { write: line => lines.push(line) })
  const feed = createFeed({ database, clock, log })
  const polls = createPolls({ changes })
  const lifecycle = { draining: false }
  const app = createLoginApp({
    users,
    userStore,
    sessions,
    clients,
    revocation,
    feed,
    polls,
    setup,
    signingKeys,
    issuer,
    audiences: [audience],
    accessTokenSeconds: 300,
    describeApi: true,
    ready,
    proxies: trustedProxies(proxies),
    lifecycle,
    clock,
    log,
  })

  const send = (method: string, path: string, options?: Ask): Promise<Answer> =>
    ask(app, method, path, options)

  const signIn = async (email: string): Promise<Static<typeof TokenAnswer>> => {
    const { text, json } = await send('POST', '/auth/login', { body: { email, password } })
    if (!Value.Check(TokenAnswer, json())) throw new Error(`Signing in came to ${text}`)
    return Value.Parse(TokenAnswer, json())
  }

  return {
    app,
    database,
    time,
    users,
    userStore,
    sessions,
    clients,
    registry,
    revocation,
    changes,
    feed,
    polls,
    setup,
    lifecycle,
    lines,
    send,
    signIn,
    addUser: (
      email: string,
      roles: readonly string[] = ['user'],
      context: AuditContext = bySystem,
    ): Promise<User> => users.create({ email, password, roles }, context),
    /** Headers of a signed-in user. */
    as: async (email: string): Promise<Record<string, string>> => ({
      authorization: `Bearer ${(await signIn(email)).access_token}`,
    }),
    audit: () => auditOf(database),
  }
}

export type TestLogin = ReturnType<typeof createTestLogin>

/** Root is an administrator, Ann and Bob are none; a ghost is nobody. */
export const createPeople = async (login: TestLogin) => {
  const [root, ann, bob] = [
    await login.addUser('root@example.com', ['admin', 'user']),
    await login.addUser('ann@example.com'),
    await login.addUser('bob@example.com', ['support', 'user']),
  ]
  const ids: Record<string, string> = {
    root: root.id,
    ann: ann.id,
    bob: bob.id,
    ghost: `usr_${'0'.repeat(32)}`,
  }
  const callers = { ann: await login.as('ann@example.com'), root: await login.as('root@example.com') }
  return {
    ids,
    callers,
    /** Sends `ann GET /users/{bob}`: a name in braces stands for an id. */
    send: (request: string, options: Ask = {}): Promise<Answer> => {
      const [caller, method = '', path = ''] = request.split(' ')
      return login.send(
        method,
        path.replace(/\{(\w+)\}/g, (_, name: string) => ids[name] ?? name),
        { ...options, headers: { ...(caller === 'root' ? callers.root : callers.ann), ...options.headers } },
      )
    },
  }
}

import { migrations as loginMigrations } from '../../db/login/index.ts'
import { migrations as serviceMigrations } from '../../db/service-a/index.ts'
import { internalsOf } from '../apikey/index.ts'
import { bySystem } from '../lib/audit.ts'
import { readChanges } from '../lib/changes-schema.ts'
import { systemClock } from '../lib/clock.ts'
import { Failure } from '../lib/failure.ts'
import { createSigner } from '../lib/jwt/signer.ts'
import { createLog } from '../lib/log.ts'
import { migrate } from '../lib/migrate.ts'
import { openDatabase } from '../lib/sqlite.ts'
import { createLoginApp } from '../login/app.ts'
import { createChangeLog } from '../login/change-log.ts'
import { createPolls } from '../login/changes-poll.ts'
import { createSqliteClientStore } from '../login/client-store.ts'
import { createFeed } from '../login/feed.ts'
import { createSqliteSessionStore } from '../login/session-store.ts'
import { createSetupTokens } from '../login/setup.ts'
import { createSecretKeys } from '../login/signing-keys.ts'
import { createTokenRevocation } from '../login/token-revocation.ts'
import { createServiceApp } from '../service-a/app.ts'
import { createServiceGuard } from '../service-a/guard.ts'
import type { LoginGateway } from '../service-a/login-gateway.ts'
import {
  createPasswords,
  createSqliteUserStore,
  createUsers,
  migrations as userdbMigrations,
} from '../userdb/index.ts'

/*
 * Both apps on databases in memory, for tests that walk their routes. Everything in them is real but the way from
 * service-a to login; nothing listens.
 */

export const issuer = 'http://login.test'
export const audience = 'service-a'
/** Must not be found in anything that leaves an app. */
export const secret = 'a-secret-that-no-answer-may-hold-0123456789'

const clock = systemClock
const log = createLog({ level: 'silent', service: 'test' })
const lifecycle = { draining: false }
const ready = async () => true

const signer = createSigner({ algorithm: 'HS256', kid: null, secret })

/** An access token as login would sign it. */
export const signToken = (
  sub: string,
  claims: { readonly roles?: string[]; readonly sid?: string; readonly scope?: string } = {},
): Promise<string> =>
  signer.sign({
    iss: issuer,
    sub,
    aud: [issuer, audience],
    exp: Math.floor(clock() / 1_000) + 300,
    jti: crypto.randomUUID(),
    // RFC 9068 section 2.2: of a client by itself, `sub` is the client.
    client_id: sub.startsWith('cli_') ? sub : 'latchkey-login',
    ...claims,
  })

/** The app of `login`, and what it was made of. */
export const createLogin = () => {
  const database = openDatabase(':memory:')
  migrate(database, userdbMigrations, clock)
  migrate(database, loginMigrations, clock)
  const userStore = createSqliteUserStore({ database, clock, inTransaction: () => {} })
  const passwords = createPasswords({ concurrency: 1, parameters: { memoryCost: 8, timeCost: 1 } })
  const users = createUsers({ store: userStore, passwords, clock })
  const changes = createChangeLog(database)
  const sessions = createSqliteSessionStore({ database, clock, changes })
  const clients = createSqliteClientStore({ database, clock, changes })
  const revocation = createTokenRevocation({ database, clock, changes })
  const feed = createFeed({ database, clock, log })
  const signingKeys = createSecretKeys(secret)
  const app = createLoginApp({
    users,
    userStore,
    sessions,
    clients,
    revocation,
    feed,
    polls: createPolls({ changes }),
    setup: createSetupTokens({ database, clock }),
    signingKeys,
    issuer,
    audiences: [audience],
    accessTokenSeconds: 300,
    describeApi: true,
    ready,
    lifecycle,
    clock,
    log,
  })
  return {
    app,
    /** What the handlers of guarded routes do anything with. */
    work: [users, clients, feed, signingKeys],
    cursor: () => feed.snapshot(undefined).cursor,
    /** Registers a service account that may read the feed; a token of its own. */
    makeClient: async (): Promise<string> => {
      const id = 'cli_reader'
      const scopes = [readChanges]
      await clients.register({ id, name: id, scopes, secret: { id: 'sec_1', hash: 'none' } }, bySystem)
      return signToken(id, { scope: readChanges })
    },
    /** Makes a user with these roles, and signs them in. */
    signIn: async (roles: readonly string[]): Promise<{ id: string; token: string }> => {
      const email = `${crypto.randomUUID()}@example.com`
      const { id } = await users.create({ email, password: 'long enough to be a password', roles }, bySystem)
      const session = await sessions.start(id, bySystem)
      if (session === null) throw new Error('A user who was just made may sign in')
      return { id, token: await signToken(id, { roles: [...roles], sid: session.sessionId }) }
    },
  }
}

const unreachable = async (): Promise<never> => {
  throw new Failure('login_unreachable')
}

/** The app of `service-a` with a `login` that is out of reach, and what it was made of. */
export const createService = () => {
  const login: LoginGateway = {
    findUser: unreachable,
    findClient: unreachable,
    ownProfile: unreachable,
    changeOwnProfile: unreachable,
    closeOwnAccount: unreachable,
  }
  // Apart from the guard's own, so that a test can tell who asks.
  const database = openDatabase(':memory:')
  migrate(database, serviceMigrations, clock)
  const guard = createServiceGuard(
    {
      ISSUER: issuer,
      AUDIENCE: audience,
      LOGIN_URL: issuer,
      JWT_SECRET: secret,
      API_KEY_PREFIX: 'lk',
      ALLOW_INSECURE_LOGIN: false,
    },
    { database: openDatabase(':memory:'), clock },
  )
  const app = createServiceApp({ guard, login, database, describeApi: true, ready, lifecycle, clock, log })
  return {
    app,
    login,
    database,
    store: internalsOf(guard).store,
    /** Makes a key with these permissions; its text. */
    makeKey: async (permissions: readonly string[]): Promise<string> => {
      const ownerId = 'usr_test'
      const { text } = await internalsOf(guard)
        .keys()
        .create({ name: 'test', ownerId, permissions: [...permissions], expiresAt: null }, permissions, {
          ...bySystem,
          actorId: ownerId,
        })
      return text
    },
  }
}

import type { Database } from 'bun:sqlite'
import { migrations } from '../../db/service-a/index.ts'
import { internalsOf } from '../apikey/index.ts'
import { bySystem } from '../lib/audit.ts'
import { trustedProxies } from '../lib/client-address.ts'
import type { Clock } from '../lib/clock.ts'
import { createClockedSigner } from '../lib/jwt/clocked-signer.ts'
import { createLog } from '../lib/log.ts'
import { migrate } from '../lib/migrate.ts'
import { openDatabase, settle } from '../lib/sqlite.ts'
import { type Answer, type Ask, ask } from '../lib/test-http.ts'
import { createServiceApp } from './app.ts'
import { createServiceGuard } from './guard.ts'
import type { LoginGateway } from './login-gateway.ts'

export const issuer = 'https://login.example'
export const audience = 'service-a'
export const secret = 'a secret that login and service-a share'

/** A time that is not now, so that whoever asks the wrong clock is found out. */
export const startOfTest = 1_900_000_000_000

export type TestTime = { now: number; readonly clock: Clock }

export const createTime = (): TestTime => {
  const time: TestTime = { now: startOfTest, clock: () => time.now }
  return time
}

/** Opens a migrated database as the role does. */
export const openServiceDatabase = (path = ':memory:'): Database => {
  const database = openDatabase(path)
  migrate(database, migrations, () => startOfTest)
  settle(database)
  return database
}

/** An id of the form that `login` gives. */
export const userId = (letter: string): string => `usr_${letter.repeat(32)}`

const nobodyThere = async (): Promise<never> => {
  throw new Error('This test has no login')
}

export type TestServiceOptions = {
  readonly database?: Database
  readonly time?: TestTime
  readonly login?: Partial<LoginGateway>
  readonly ready?: () => Promise<boolean>
  readonly proxies?: readonly string[]
}

/** The whole role in this process, with tokens by a shared secret and a clock that stands. */
export const createTestService = ({
  database = openServiceDatabase(),
  time = createTime(),
  login = {},
  ready = async () => true,
  proxies = [],
}: TestServiceOptions = {}) => {
  const { clock } = time
  const guard = createServiceGuard(
    {
      ISSUER: issuer,
      AUDIENCE: audience,
      LOGIN_URL: issuer,
      JWT_SECRET: secret,
      API_KEY_PREFIX: 'lk',
      ALLOW_INSECURE_LOGIN: false,
    },
    { database, clock },
  )
  const lines: string[] = []
  const lifecycle = { draining: false }
  const app = createServiceApp({
    guard,
    login: {
      findUser: nobodyThere,
      findClient: nobodyThere,
      ownProfile: nobodyThere,
      changeOwnProfile: nobodyThere,
      closeOwnAccount: nobodyThere,
      ...login,
    },
    database,
    describeApi: true,
    ready,
    proxies: trustedProxies(proxies),
    lifecycle,
    clock,
    log: createLog({ level: 'debug', service: 'service-a' }, { write: line => lines.push(line) }),
  })
  const signer = createClockedSigner({ algorithm: 'HS256', kid: null, secret }, clock)

  return {
    app,
    guard,
    database,
    time,
    lifecycle,
    lines,
    send: (method: string, path: string, options?: Ask): Promise<Answer> => ask(app, method, path, options),
    /** Headers with an access token, as `login` would have issued it. */
    as: async (ownerId: string, roles: string[] = ['user']): Promise<Record<string, string>> => {
      const token = await signer.sign({
        iss: issuer,
        sub: ownerId,
        aud: [issuer, audience],
        exp: Math.floor(clock() / 1_000) + 300,
        jti: crypto.randomUUID(),
        client_id: 'latchkey-login',
        sid: `ses_${'0'.repeat(32)}`,
        roles,
      })
      return { authorization: `Bearer ${token}` }
    },
    /** Headers with an API key that has these permissions and no others. */
    key: async (ownerId: string, permissions: string[]): Promise<Record<string, string>> => {
      const { text } = await internalsOf(guard)
        .keys()
        .create({ name: 'test', ownerId, permissions, expiresAt: null }, permissions, {
          ...bySystem,
          actorId: ownerId,
        })
      return { 'x-api-key': text }
    },
  }
}

export type TestService = ReturnType<typeof createTestService>

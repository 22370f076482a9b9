import type { Database } from 'bun:sqlite'
import { timingSafeEqual } from 'node:crypto'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import { Elysia, status } from 'elysia'
import { jsonBody } from '../lib/body.ts'
import type { Clock } from '../lib/clock.ts'
import { Failure } from '../lib/failure.ts'
import { auditContextOf } from '../lib/request.ts'
import { retryBusy } from '../lib/sqlite.ts'
import type { Users, UserTransaction } from '../userdb/index.ts'
import type { LoginCode } from './errors.ts'
import { SetupBody, toUserView, UserView } from './model.ts'
import type { LoginProblems } from './problems.ts'
import { setupTokens } from './schema.ts'

const lifetime = 24 * 3_600_000

const hashOf = (token: string): string => new Bun.CryptoHasher('sha256').update(token).digest('hex')

/** The one-time token by which somebody with access to the machine makes the first administrator. */
export type SetupTokens = {
  /** Replaces any that was made before, and returns its text: 256 random bits, kept as a hash. */
  create(): Promise<string>
  isValid(token: string): boolean
}

/** Inside the transaction that made an administrator: no token is good any more. */
export const dropSetupTokens = (tx: UserTransaction): void => {
  tx.delete(setupTokens).run()
}

export const createSetupTokens = ({ database, clock }: { database: Database; clock: Clock }): SetupTokens => {
  const db = drizzle({ client: database })
  return {
    create: async () => {
      const token = `lks_${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64url')}`
      const now = clock()
      await retryBusy(() =>
        db.transaction(
          tx => {
            dropSetupTokens(tx)
            tx.insert(setupTokens)
              .values({ hash: hashOf(token), createdAt: now, expiresAt: now + lifetime })
              .run()
          },
          { behavior: 'immediate' },
        ),
      )
      return token
    },
    isValid: token => {
      const stored = db.select().from(setupTokens).get()
      if (stored === undefined || stored.expiresAt <= clock()) return false
      return timingSafeEqual(Buffer.from(stored.hash), Buffer.from(hashOf(token)))
    },
  }
}

export type SetupRoutesOptions = {
  readonly problems: LoginProblems
  readonly users: Users
  readonly setup: SetupTokens
}

/** The way in for the first administrator, where no ADMIN_EMAIL names one. */
export const setupRoutes = ({ problems, users, setup }: SetupRoutesOptions) =>
  new Elysia({ name: 'login/setup', prefix: '/auth', tags: ['Sessions'] })
    .use(problems)
    .use(jsonBody())
    .post(
      '/setup',
      async ({ body: { token, ...input }, request, server, set }) => {
        const refused = new Failure<LoginCode>('setup_token_invalid')
        if (!setup.isValid(token)) throw refused
        // Null when somebody else was first, who used the token up.
        const user = await users.createFirstAdmin(input, auditContextOf(request, server, null))
        if (user === null) throw refused
        set.headers.location = `/users/${user.id}`
        return status(201, toUserView(user))
      },
      {
        body: SetupBody,
        response: { 201: UserView },
        detail: {
          summary: 'Make the first administrator',
          description:
            'Takes the one-time token that the service prints at a start that finds no administrator.',
        },
      },
    )

import type { Database } from 'bun:sqlite'
import { bySystem } from '../lib/audit.ts'
import { readChanges } from '../lib/changes-schema.ts'
import { createLog } from '../lib/log.ts'
import { createSqliteUserStore } from '../userdb/index.ts'
import { createChangeLog } from './change-log.ts'
import { createSqliteClientStore } from './client-store.ts'
import { createFeed } from './feed.ts'
import { createSqliteSessionStore } from './session-store.ts'
import {
  createTestKeys,
  createTime,
  issuer,
  openLoginDatabase,
  type TestLogin,
  type TestTime,
} from './test-login.ts'
import { createTokenRevocation } from './token-revocation.ts'
import { createUserEvents } from './user-events.ts'

/** A row of the change feed as it is kept. */
export type ChangeRow = {
  readonly sequence: number
  readonly type: string
  readonly at: number
  readonly subjectId: string
  readonly state: unknown
  readonly sessionId: string | null
  readonly tokenId: string | null
  readonly expiresAt: number | null
}

export const changeRows = (database: Database): ChangeRow[] =>
  database
    .query<ChangeRow & { state: string | null }, []>(
      `SELECT sequence, type, at, subject_id AS subjectId, state, session_id AS sessionId, token_id AS tokenId,
        expires_at AS expiresAt FROM changes ORDER BY sequence`,
    )
    .all()
    .map(({ state, ...row }) => ({ ...row, state: state === null ? null : JSON.parse(state) }))

/** Everything that writes to the feed, over one database, and the feed. */
export const createFeedSite = ({
  database = openLoginDatabase(),
  time = createTime(),
  pageItems = 500,
}: {
  database?: Database
  time?: TestTime
  pageItems?: number
} = {}) => {
  const { clock } = time
  const changes = createChangeLog(database)
  const lines: string[] = []
  const log = createLog({ level: 'debug', service: 'login' }, { write: line => lines.push(line) })
  return {
    database,
    time,
    lines,
    changes,
    users: createSqliteUserStore({ database, clock, inTransaction: createUserEvents(changes) }),
    sessions: createSqliteSessionStore({ database, clock, changes }),
    clients: createSqliteClientStore({ database, clock, changes }),
    revocation: createTokenRevocation({ database, clock, changes }),
    feed: createFeed({ database, clock, log, pageItems }),
  }
}

export type FeedSite = ReturnType<typeof createFeedSite>

/** An access token of a service account; whether there is one is for `login` to say. */
export const clientToken = (login: TestLogin, id: string, scope: string): Promise<string> =>
  createTestKeys(login.time.clock).signer.sign({
    iss: issuer,
    sub: id,
    aud: [issuer],
    exp: Math.floor(login.time.now / 1_000) + 300,
    jti: crypto.randomUUID(),
    client_id: id,
    scope,
  })

/** Registers a service account; the headers by which it calls. */
export const addClient = async (
  login: TestLogin,
  {
    id = 'cli_reader',
    scopes = [readChanges],
    tokenScope,
  }: { id?: string; scopes?: string[]; tokenScope?: string } = {},
): Promise<Record<string, string>> => {
  const hash = 'no secret has this hash'
  await login.clients.register({ id, name: id, scopes, secret: { id: `sec_${id}`, hash } }, bySystem)
  return { authorization: `Bearer ${await clientToken(login, id, tokenScope ?? scopes.join(' '))}` }
}

import type { Database } from 'bun:sqlite'
import { and, asc, count, eq, gt, isNotNull, isNull, lte, ne, or, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import type { AuditContext } from '../lib/audit.ts'
import { type ChangeType, changeTypes, type SubjectState } from '../lib/changes-schema.ts'
import type { Clock } from '../lib/clock.ts'
import { type Page, type Position, toPage } from '../lib/cursor.ts'
import { Failure } from '../lib/failure.ts'
import { isSameSet } from '../lib/list.ts'
import { retryBusy } from '../lib/sqlite.ts'
import type { UserTransaction } from '../userdb/index.ts'
import { writeAudit } from './audit.ts'
import type { ChangeLog } from './change-log.ts'
import { type Client, type ClientStatus, subjectStateOf } from './client-model.ts'
import { clientSecrets, clients } from './schema.ts'

/** `client_id_taken` is met on the command line only: nobody chooses an id over HTTP. */
export type ClientErrorCode = 'client_not_found' | 'client_limit_reached' | 'client_id_taken'

/** As many service accounts as there can be at a time; the deleted do not count. */
const maxClients = 1_000

export type NewClient = {
  readonly id: string
  readonly name: string
  /** In alphabetical order, each once. */
  readonly scopes: readonly string[]
  readonly secret: NewSecret
}

export type NewSecret = { readonly id: string; readonly hash: string }

/** An absent field stays as it is. */
export type ClientChanges = { readonly name?: string; readonly scopes?: readonly string[] }

/** A client and the hashes of the secrets that are good now. */
export type ClientCredential = { readonly client: Client; readonly hashes: readonly string[] }

/** What came of registering the client that the settings name. */
export type Registration = 'created' | 'known' | 'deleted'

/**
 * Where service accounts are kept. Each method is one atomic decision; those that write throw Failure `unavailable`
 * when the database stays locked. A change that leaves everything as it was writes nothing. A deleted one is
 * `client_not_found` for ever, and nobody else gets its id.
 */
export type ClientStore = {
  /** @throws Failure `client_limit_reached`, `client_id_taken`. */
  insert(client: NewClient, context: AuditContext): Promise<Client>
  /** Makes a client that was never there; one that was stays as it is. The limit does not count here. */
  register(client: NewClient, context: AuditContext): Promise<Registration>
  find(id: string): Promise<Client | null>
  findCredential(id: string): Promise<ClientCredential | null>
  /** Oldest first. */
  list(filter: { readonly limit: number; readonly after: Position | null }): Promise<Page<Client>>
  /** @throws Failure `client_not_found`. */
  update(id: string, changes: ClientChanges, context: AuditContext): Promise<Client>
  /**
   * Access tokens that were issued until then stay no good when it is enabled again.
   *
   * @throws Failure `client_not_found`.
   */
  disable(id: string, context: AuditContext): Promise<Client>
  /** @throws Failure `client_not_found`. */
  enable(id: string, context: AuditContext): Promise<Client>
  /** @throws Failure `client_not_found`. */
  remove(id: string, context: AuditContext): Promise<void>
  /**
   * Gives a client another secret. The last one is good for `graceSeconds` more; one before it ends at once. Without
   * grace the access tokens end that were issued until then.
   *
   * @throws Failure `client_not_found`.
   */
  rotate(id: string, secret: NewSecret, graceSeconds: number, context: AuditContext): Promise<Client>
}

export type ClientStoreOptions = {
  readonly database: Database
  readonly clock: Clock
  readonly changes: Pick<ChangeLog, 'append'>
  readonly limit?: number
}

/**
 * Makes all access tokens no good that were issued until now. `iat` has whole seconds, so the rest of this one is lost
 * to them as well: the token endpoint waits for the next.
 */
const endTokens = (at: number) => ({ tokensSince: Math.floor(at / 1_000) + 1 })

/** Service accounts in SQLite, behind the port. */
export const createSqliteClientStore = ({
  database,
  clock,
  changes,
  limit = maxClients,
}: ClientStoreOptions): ClientStore => {
  const db = drizzle({ client: database })
  const write = <Result>(decide: (tx: UserTransaction, at: number) => Result): Promise<Result> =>
    retryBusy(() => db.transaction(tx => decide(tx, clock()), { behavior: 'immediate' }))

  // On the path of every request of a client. They share the connection with the transactions.
  const rowById = db
    .select()
    .from(clients)
    .where(eq(clients.id, sql.placeholder('id')))
    .prepare()
  const secretsOf = db
    .select()
    .from(clientSecrets)
    .where(
      and(
        eq(clientSecrets.clientId, sql.placeholder('id')),
        or(isNull(clientSecrets.expiresAt), gt(clientSecrets.expiresAt, sql.placeholder('now'))),
      ),
    )
    .orderBy(asc(clientSecrets.createdAt), asc(clientSecrets.id))
    .prepare()

  type Row = typeof clients.$inferSelect

  const credentialOf = (
    { status, ...row }: Row,
    live: readonly (typeof clientSecrets.$inferSelect)[],
  ): ClientCredential | null => {
    if (status === 'deleted') return null
    const secrets = live.map(({ id, createdAt, expiresAt }) => ({ id, createdAt, expiresAt }))
    return { client: { ...row, status, secrets }, hashes: live.map(({ hash }) => hash) }
  }

  const findCredential = (id: string): ClientCredential | null => {
    const row = rowById.get({ id })
    // Read also where nobody is found: a stranger should not learn from the time it takes which ids there are.
    const live = secretsOf.all({ id, now: clock() })
    return row === undefined ? null : credentialOf(row, live)
  }

  const getById = (id: string): Client => {
    const found = findCredential(id)
    if (found === null) throw new Failure<ClientErrorCode>('client_not_found')
    return found.client
  }

  const announce = (tx: UserTransaction, type: ChangeType, at: number, client: Client) =>
    changes.append(tx, [{ type, at, subjectId: client.id, state: subjectStateOf(client) }])

  const insert = (
    tx: UserTransaction,
    at: number,
    { secret, scopes, ...rest }: NewClient,
    context: AuditContext,
  ): Client => {
    tx.insert(clients)
      .values({
        ...rest,
        scopes: [...scopes],
        status: 'active',
        createdBy: context.actorId,
        createdAt: at,
        updatedAt: at,
      })
      .run()
    tx.insert(clientSecrets)
      .values({ ...secret, clientId: rest.id, createdAt: at })
      .run()
    const detail = { name: rest.name, scopes, secretId: secret.id }
    writeAudit(tx, { at, action: 'client.created', subjectId: rest.id, detail }, context)
    const client = getById(rest.id)
    announce(tx, changeTypes.accountCreated, at, client)
    return client
  }

  const setStatus = (id: string, status: ClientStatus, context: AuditContext): Promise<Client> =>
    write((tx, at) => {
      const before = getById(id)
      if (before.status === status) return before
      // What it held is not to be good again when it is enabled.
      tx.update(clients)
        .set({ status, updatedAt: at, ...(status === 'disabled' ? endTokens(at) : {}) })
        .where(eq(clients.id, id))
        .run()
      const client = getById(id)
      writeAudit(
        tx,
        { at, action: status === 'disabled' ? 'client.disabled' : 'client.enabled', subjectId: id },
        context,
      )
      const type = status === 'disabled' ? changeTypes.accountDisabled : changeTypes.accountEnabled
      announce(tx, type, at, client)
      return client
    })

  return {
    insert: (client, context) =>
      write((tx, at) => {
        if (rowById.get({ id: client.id }) !== undefined) {
          throw new Failure<ClientErrorCode>('client_id_taken')
        }
        const there = tx.select({ number: count() }).from(clients).where(ne(clients.status, 'deleted')).get()
        if ((there?.number ?? 0) >= limit) throw new Failure<ClientErrorCode>('client_limit_reached')
        return insert(tx, at, client, context)
      }),

    register: (client, context) =>
      write((tx, at) => {
        const status = rowById.get({ id: client.id })?.status
        if (status !== undefined) return status === 'deleted' ? 'deleted' : 'known'
        insert(tx, at, client, context)
        return 'created'
      }),

    find: async id => findCredential(id)?.client ?? null,

    findCredential: async id => findCredential(id),

    list: async ({ limit, after }) => {
      const now = clock()
      const rows = db
        .select()
        .from(clients)
        .where(
          and(
            ne(clients.status, 'deleted'),
            after === null
              ? undefined
              : sql`(${clients.createdAt}, ${clients.id}) > (${after.createdAt}, ${after.id})`,
          ),
        )
        .orderBy(clients.createdAt, clients.id)
        .limit(limit + 1)
        .all()
      return toPage(
        rows.flatMap(row => credentialOf(row, secretsOf.all({ id: row.id, now }))?.client ?? []),
        limit,
      )
    },

    update: (id, { name, scopes }, context) =>
      write((tx, at) => {
        const before = getById(id)
        const after = { name: name ?? before.name, scopes: scopes ?? before.scopes }
        const areScopesSame = isSameSet(after.scopes, before.scopes)
        if (after.name === before.name && areScopesSame) return before
        tx.update(clients)
          .set({ name: after.name, scopes: [...after.scopes], updatedAt: at })
          .where(eq(clients.id, id))
          .run()
        const detail = { before: { name: before.name, scopes: before.scopes }, after }
        writeAudit(tx, { at, action: 'client.changed', subjectId: id, detail }, context)
        const client = getById(id)
        if (!areScopesSame) announce(tx, changeTypes.claimsChanged, at, client)
        return client
      }),

    disable: (id, context) => setStatus(id, 'disabled', context),

    enable: (id, context) => setStatus(id, 'active', context),

    remove: (id, context) =>
      write((tx, at) => {
        getById(id)
        tx.delete(clientSecrets).where(eq(clientSecrets.clientId, id)).run()
        // Its row stays, so that what it owned can't come to belong to another.
        tx.update(clients)
          .set({ status: 'deleted', scopes: [], updatedAt: at })
          .where(eq(clients.id, id))
          .run()
        writeAudit(tx, { at, action: 'client.deleted', subjectId: id }, context)
        const state = { status: 'deleted', roles: [], scopes: [] } satisfies SubjectState
        changes.append(tx, [{ type: changeTypes.accountPurged, at, subjectId: id, state }])
      }),

    rotate: (id, secret, graceSeconds, context) =>
      write((tx, at) => {
        getById(id)
        const mine = eq(clientSecrets.clientId, id)
        // Whatever was on its way out, or is dead already: two at a time are enough.
        tx.delete(clientSecrets)
          .where(and(mine, isNotNull(clientSecrets.expiresAt)))
          .run()
        const expiresAt = at + graceSeconds * 1_000
        tx.update(clientSecrets).set({ expiresAt }).where(mine).run()
        tx.delete(clientSecrets)
          .where(and(mine, lte(clientSecrets.expiresAt, at)))
          .run()
        tx.insert(clientSecrets)
          .values({ ...secret, clientId: id, createdAt: at })
          .run()
        // Without grace somebody else has the secret, and so may have tokens by it.
        tx.update(clients)
          .set({ updatedAt: at, ...(graceSeconds === 0 ? endTokens(at) : {}) })
          .where(eq(clients.id, id))
          .run()
        const detail = { secretId: secret.id, graceSeconds }
        writeAudit(tx, { at, action: 'client.secret_rotated', subjectId: id, detail }, context)
        const client = getById(id)
        announce(tx, changeTypes.credentialChanged, at, client)
        return client
      }),
  }
}

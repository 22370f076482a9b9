import { and, asc, eq, gt, or, type SQL } from 'drizzle-orm'
import type { SQLiteColumn } from 'drizzle-orm/sqlite-core'
import type { SnapshotItem, SubjectState } from '../lib/changes-schema.ts'
import { listUserStates, readUserState, type UserTransaction } from '../userdb/index.ts'
import { subjectStateOf } from './client-model.ts'
import { type Section, sections } from './feed-cursor.ts'
import { feedTime } from './feed-time.ts'
import { clients, revokedTokens, sessions } from './schema.ts'
import { endingExpiry, haveTokens } from './session-endings.ts'

/** The last row that was told of a section; the start of one is before all rows. */
export type Place = { readonly section: Section; readonly time: number; readonly id: string }

export const firstPlace: Place = { section: sections[0], time: 0, id: '' }

type Row = { readonly item: SnapshotItem; readonly time: number; readonly id: string }
type Reading = { readonly after: Place; readonly limit: number; readonly now: number }

const isAfter = (time: SQLiteColumn, id: SQLiteColumn, after: Place): SQL | undefined =>
  or(gt(time, after.time), and(eq(time, after.time), gt(id, after.id)))

const clientState = {
  id: clients.id,
  status: clients.status,
  scopes: clients.scopes,
  tokensSince: clients.tokensSince,
}

const subject = (id: string, state: SubjectState): Row => ({
  item: { kind: 'subject', id, state },
  time: 0,
  id,
})

const readers: Record<Section, (tx: UserTransaction, reading: Reading) => Row[]> = {
  users: (tx, { after, limit }) =>
    listUserStates(tx, { afterId: after.id, limit }).map(({ id, status, roles }) =>
      subject(id, { status, roles, scopes: [] }),
    ),

  clients: (tx, { after, limit }) =>
    tx
      .select(clientState)
      .from(clients)
      .where(gt(clients.id, after.id))
      .orderBy(asc(clients.id))
      .limit(limit)
      .all()
      .map(({ id, ...client }) => subject(id, subjectStateOf(client))),

  sessions: (tx, { after, limit, now }) =>
    tx
      .select({ id: sessions.id, endedAt: sessions.endedAt })
      .from(sessions)
      .where(and(haveTokens(now), isAfter(sessions.endedAt, sessions.id, after)))
      .orderBy(asc(sessions.endedAt), asc(sessions.id))
      .limit(limit)
      .all()
      .flatMap(({ id, endedAt }) =>
        endedAt === null
          ? []
          : [
              {
                item: { kind: 'session', id, expiresAt: feedTime(endingExpiry(endedAt)) },
                time: endedAt,
                id,
              },
            ],
      ),

  tokens: (tx, { after, limit, now }) =>
    tx
      .select()
      .from(revokedTokens)
      .where(and(gt(revokedTokens.expiresAt, now), isAfter(revokedTokens.expiresAt, revokedTokens.id, after)))
      .orderBy(asc(revokedTokens.expiresAt), asc(revokedTokens.id))
      .limit(limit)
      .all()
      .map(({ id, expiresAt }) => ({
        item: { kind: 'token', id, expiresAt: feedTime(expiresAt) },
        time: expiresAt,
        id,
      })),
}

/** What comes after a place, as of a transaction, and where to go on; null at the end. Synchronous. */
export const readSnapshot = (
  tx: UserTransaction,
  { after, limit, now }: Reading,
): { items: SnapshotItem[]; next: Place | null } => {
  const items: SnapshotItem[] = []
  let place = after
  for (const section of sections.slice(sections.indexOf(after.section))) {
    if (place.section !== section) place = { section, time: 0, id: '' }
    const rows = readers[section](tx, { after: place, limit: limit - items.length, now })
    items.push(...rows.map(({ item }) => item))
    const last = rows.at(-1)
    if (last !== undefined) place = { section, time: last.time, id: last.id }
    if (items.length === limit) return { items, next: place }
  }
  return { items, next: null }
}

/** A user or service account, as of a transaction. Whatever is not there is deleted. */
export const readSubject = (tx: UserTransaction, id: string): SubjectState => {
  const user = readUserState(tx, id)
  if (user !== null) return { status: user.status, roles: user.roles, scopes: [] }
  const client = tx.select(clientState).from(clients).where(eq(clients.id, id)).get()
  return client === undefined ? { status: 'deleted', roles: [], scopes: [] } : subjectStateOf(client)
}

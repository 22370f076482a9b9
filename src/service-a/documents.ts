import type { Database } from 'bun:sqlite'
import { and, asc, count, eq, gt } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sqlite'
import { Elysia, status, t } from 'elysia'
import { type Clock, isoTime } from '../lib/clock.ts'
import { decodeNameCursor, encodeNameCursor } from '../lib/cursor.ts'
import { Failure } from '../lib/failure.ts'
import type { CheckRequest } from '../lib/guard.ts'
import { limitOf, pageQuery } from '../lib/page-query.ts'
import { matchesTag, mayChange } from '../lib/preconditions.ts'
import { retryBusy } from '../lib/sqlite.ts'
import type { ServiceCode } from './errors.ts'
import type { ServiceGuard } from './guard.ts'
import type { ServiceProblems } from './problems.ts'
import { documents } from './schema.ts'

const maxDocuments = 1_000
const namePattern = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,128}$/
const Entry = t.Object({ name: t.String(), etag: t.String(), createdAt: t.String(), updatedAt: t.String() })

type Listed = Omit<typeof documents.$inferSelect, 'ownerId' | 'content'>
const toEntry = ({ name, etag, createdAt, updatedAt }: Listed) => ({
  name,
  etag: `"${etag}"`,
  createdAt: isoTime(createdAt),
  updatedAt: isoTime(updatedAt),
})

const refuse = (code: ServiceCode) => new Failure<ServiceCode>(code)

// Elysia hands out null, whatever its types say, for a name whose percent-encoding is broken.
const checkName = (name: string | null): void => {
  if (name === null || !namePattern.test(name)) {
    const errors = [{ field: 'name', rule: 'must be 1 to 128 of A-Z a-z 0-9 . _ - and not . or ..' }]
    throw new Failure<ServiceCode>('document_name_invalid', { errors })
  }
}

// Before it is paid for: what is refused for its form costs nothing.
const checkWritten: CheckRequest = ({ params: { name = null }, body }) => {
  checkName(name)
  if (body === undefined) throw new Failure('malformed_body', { detail: 'There is no body.' })
}

export type DocumentsOptions = {
  readonly problems: ServiceProblems
  readonly guard: ServiceGuard
  readonly database: Database
  readonly clock: Clock
}

/** The business of this service: JSON documents by name, each owner's own. A person edits, machines read. */
export const documentRoutes = ({ problems, guard, database, clock }: DocumentsOptions) => {
  const db = drizzle({ client: database })
  const at = (ownerId: string, name: string) => and(eq(documents.ownerId, ownerId), eq(documents.name, name))
  const write = <Result>(decide: (tx: Parameters<Parameters<typeof db.transaction>[0]>[0]) => Result) =>
    retryBusy(() => db.transaction(decide, { behavior: 'immediate' }))

  return new Elysia({ name: 'service-a/documents', prefix: '/documents', tags: ['Documents'] })
    .use(problems)
    .use(guard)
    .get(
      '',
      ({ principal, query: { cursor, limit: wanted } }) => {
        const limit = limitOf({ limit: wanted })
        const after = cursor === undefined ? '' : decodeNameCursor(cursor, namePattern)
        const { name, etag, createdAt, updatedAt } = documents
        const rows = db
          .select({ name, etag, createdAt, updatedAt })
          .from(documents)
          .where(and(eq(documents.ownerId, principal.ownerId), gt(name, after)))
          .orderBy(asc(name))
          .limit(limit + 1)
          .all()
        const items = rows.slice(0, limit).map(toEntry)
        return { items, nextCursor: rows.length > limit ? encodeNameCursor(items.at(-1)?.name ?? '') : null }
      },
      {
        permission: 'documents:read',
        query: t.Object(pageQuery),
        response: { 200: t.Object({ items: t.Array(Entry), nextCursor: t.Nullable(t.String()) }) },
        detail: { summary: 'List documents, by name' },
      },
    )
    .get(
      '/:name',
      ({ principal, params, request, set }) => {
        const row = db.select().from(documents).where(at(principal.ownerId, params.name)).get()
        if (row === undefined) throw refuse('document_not_found')
        const { content, etag } = row
        set.headers.etag = `"${etag}"`
        set.headers['cache-control'] = 'private, no-cache'
        const isKnown = matchesTag(request.headers.get('if-none-match') ?? '', etag, 'weak')
        if (isKnown) return new Response(null, { status: 304 })
        return new Response(content, { headers: { 'content-type': 'application/json' } })
      },
      {
        permission: 'documents:read',
        response: { 200: t.Unknown() },
        detail: { summary: 'Read one' },
      },
    )
    .put(
      '/:name',
      async ({ principal: { ownerId }, params: { name }, body, request, set }) => {
        const content = JSON.stringify(body)
        const etag = new Bun.CryptoHasher('sha256').update(content).digest('base64url').slice(0, 22)
        const { row, isNew } = await write(tx => {
          const before = tx.select().from(documents).where(at(ownerId, name)).get()
          if (!mayChange(request.headers, before?.etag ?? null)) throw refuse('precondition_failed')
          const now = clock()
          if (before !== undefined) {
            tx.update(documents).set({ content, etag, updatedAt: now }).where(at(ownerId, name)).run()
            return { row: { ...before, etag, updatedAt: now }, isNew: false }
          }
          const owned = tx
            .select({ rows: count() })
            .from(documents)
            .where(eq(documents.ownerId, ownerId))
            .all()
          if ((owned[0]?.rows ?? 0) >= maxDocuments) throw refuse('document_limit_reached')
          const made = { ownerId, name, content, etag, createdAt: now, updatedAt: now }
          tx.insert(documents).values(made).run()
          return { row: made, isNew: true }
        })
        set.headers.etag = `"${row.etag}"`
        if (isNew) set.headers.location = `/documents/${name}`
        return status(isNew ? 201 : 200, toEntry(row))
      },
      {
        permission: 'documents:write',
        cost: 1,
        body: t.Unknown(),
        check: checkWritten,
        response: { 200: Entry, 201: Entry },
        detail: { summary: 'Write a document', description: 'Any JSON up to 64 KiB, on If-Match terms.' },
      },
    )
    .delete(
      '/:name',
      async ({ principal: { ownerId }, params: { name }, request }) => {
        await write(tx => {
          const before = tx.select().from(documents).where(at(ownerId, name)).get()
          if (before === undefined) throw refuse('document_not_found')
          if (!mayChange(request.headers, before.etag)) throw refuse('precondition_failed')
          tx.delete(documents).where(at(ownerId, name)).run()
        })
        return status(204, undefined)
      },
      {
        permission: 'documents:write',
        response: { 204: t.Void() },
        detail: { summary: 'Delete one' },
      },
    )
}

import type { Database } from 'bun:sqlite'
import type { SubjectState } from '../lib/changes-schema.ts'
import type { Lists, Subject } from './subjects-memory.ts'

type SubjectRow = {
  readonly id: string
  readonly status: SubjectState['status']
  readonly roles: string
  readonly scopes: string
  readonly tokens_since: number | null
  readonly sequence: number
  readonly epoch: number
  readonly changed_at: number
}

const columns = 'id, status, roles, scopes, tokens_since, sequence, epoch, changed_at'

/**
 * Reads what the feed told to an earlier process or another one, row by row: there can be a hundred thousand.
 */
export const createSubjectReader = (database: Database, listOf: Lists) => {
  function* read(rows: Iterable<SubjectRow>): Generator<Subject> {
    for (const { roles, scopes, tokens_since: tokensSince, changed_at: changedAt, ...row } of rows) {
      yield {
        ...row,
        roles: listOf(roles, JSON.parse),
        scopes: listOf(scopes, JSON.parse),
        ...(tokensSince === null ? {} : { tokensSince }),
        changedAt,
      }
    }
  }
  return {
    all: () => read(database.query<SubjectRow, []>(`SELECT ${columns} FROM subjects`).iterate()),
    /** Those that a snapshot of this epoch did not have, and that are not known to be gone. */
    unseen: (epoch: number): Subject[] => [
      ...read(
        database
          .query<SubjectRow, [number]>(
            `SELECT ${columns} FROM subjects WHERE epoch < ? AND status <> 'deleted'`,
          )
          .iterate(epoch),
      ),
    ],
    /** The last epoch that anything was written in. */
    lastEpoch: (): number =>
      database.query<{ epoch: number | null }, []>('SELECT max(epoch) AS epoch FROM subjects').get()?.epoch ??
      0,
    ended: () =>
      database
        .query<{ id: string; expiresAt: number }, []>(
          'SELECT id, expires_at AS expiresAt FROM ended_credentials',
        )
        .iterate(),
  }
}

export type SubjectReader = ReturnType<typeof createSubjectReader>

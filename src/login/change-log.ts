import type { Database } from 'bun:sqlite'
import type { ChangeType, SubjectState } from '../lib/changes-schema.ts'
import type { UserTransaction } from '../userdb/index.ts'
import { changes } from './schema.ts'

/** A change that services must hear of. Times are milliseconds since the epoch. */
export type NewChange = {
  readonly type: ChangeType
  readonly at: number
  /** A user, a service account, or the kid of a signing key. */
  readonly subjectId: string
  /** The subject as the change leaves it; absent where nothing about it changed. */
  readonly state?: SubjectState
  readonly sessionId?: string
  readonly tokenId?: string
  /** When the last access token of what ended has expired by itself. */
  readonly expiresAt?: number
}

export type ChangeLog = {
  /** Writes through the transaction of the change itself, so that they commit together or not at all. Synchronous. */
  append(tx: UserTransaction, list: readonly NewChange[]): void
  /** Calls back soon after anything may have been written, here or by another process. Returns how to stop it. */
  watch(listener: () => void): () => void
}

/** Another process on the same file, the command line say, is noticed within this time. */
const pollMilliseconds = 25

/** Rows of one statement: preparing one for each would cost more than the writing. */
const rowsAtOnce = 100

const createNonce = (): string => Buffer.from(crypto.getRandomValues(new Uint8Array(9))).toString('base64url')

/** What happened to users, service accounts, sessions and keys, in the order in which it was committed. */
export const createChangeLog = (database: Database): ChangeLog => {
  const listeners = new Set<() => void>()
  let timer: ReturnType<typeof setInterval> | null = null
  let isTelling = false

  const tell = (): void => {
    isTelling = false
    for (const listener of [...listeners]) listener()
  }

  // A transaction is synchronous, so by the time a microtask runs it has committed or was undone.
  const tellSoon = (): void => {
    if (isTelling || listeners.size === 0) return
    isTelling = true
    queueMicrotask(tell)
  }

  /** Null when the file can't be asked. */
  const versionOf = (): number | null => {
    try {
      return database.query<{ data_version: number }, []>('PRAGMA data_version').get()?.data_version ?? null
    } catch {
      return null
    }
  }
  let version: number | null = null

  const poll = (): void => {
    const now = versionOf()
    // Whoever waits finds out for themselves what is wrong with a file that can't be asked.
    if (now !== null && now === version) return
    version = now
    tell()
  }

  return {
    append: (tx, list) => {
      const rows = list.map(
        ({ state = null, sessionId = null, tokenId = null, expiresAt = null, ...rest }) => ({
          ...rest,
          nonce: createNonce(),
          state,
          sessionId,
          tokenId,
          expiresAt,
        }),
      )
      for (let start = 0; start < rows.length; start += rowsAtOnce) {
        tx.insert(changes)
          .values(rows.slice(start, start + rowsAtOnce))
          .run()
      }
      tellSoon()
    },
    watch: listener => {
      listeners.add(listener)
      if (timer === null) {
        version = versionOf()
        timer = setInterval(poll, pollMilliseconds)
        timer.unref()
      }
      return () => {
        listeners.delete(listener)
        if (listeners.size > 0 || timer === null) return
        clearInterval(timer)
        timer = null
      }
    },
  }
}

import type { Database } from 'bun:sqlite'
import { resolve as resolvePath } from 'node:path'

/**
 * Keeps the disk out of the way of small writes that come by the thousand and may be lost to a power cut. Elsewhere each
 * commit waits for the disk, and every thousandth page has SQLite copy the write-ahead log into the file, which takes
 * tens of milliseconds at best: all of that is time in which the event loop stands still. Here commits don't wait, and
 * the copying is done by another thread.
 */
export type Checkpoints = {
  /** Runs a synchronous write whose commit neither waits for the disk nor copies the log. */
  apart<Result>(write: () => Result): Result
  /** Runs a synchronous write whose commit waits for the disk as ever, but does not copy the log. */
  durably<Result>(write: () => Result): Result
  /** Tells how much was written so, in keys. Resolves when the log is short again, which is at once as a rule. */
  wrote(keys: number): Promise<void>
}

/** Keys after which the log is copied, of about three pages each: less than the 1,000 pages at which SQLite would. */
const keysBetween = 250

/** How long a thread may take, and how long it stays without work, milliseconds. */
const mostMilliseconds = 10_000
const idleMilliseconds = 1_000

/** A text and not a file of its own, which every bundle would have to carry along. */
const program = `
import { Database } from 'bun:sqlite'
self.onmessage = ({ data }) => {
  const database = new Database(data, { readwrite: true, create: false })
  try {
    database.run('PRAGMA busy_timeout = 0')
    database.query('PRAGMA wal_checkpoint(PASSIVE)').get()
  } finally {
    database.close()
  }
  self.postMessage('done')
}
`

/** A thread that copies the log of a file, and ends when nobody asks any more. */
const createThread = (path: string) => {
  let url: string | null = null
  let worker: Worker | null = null
  let idle: ReturnType<typeof setTimeout> | undefined

  const end = (): void => {
    worker?.terminate()
    worker = null
  }
  const start = (): Worker => {
    url ??= URL.createObjectURL(new Blob([program], { type: 'application/javascript' }))
    const made = new Worker(url)
    made.unref()
    return made
  }

  return {
    /** A passive checkpoint: it stands in nobody's way, and leaves to the next one what is still being read. */
    copy: async (): Promise<void> => {
      clearTimeout(idle)
      worker ??= start()
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      worker.onmessage = () => resolve()
      worker.onerror = ({ message }) => {
        end()
        reject(new Error(message))
      }
      const late = setTimeout(() => reject(new Error('The thread does not answer')), mostMilliseconds)
      try {
        worker.postMessage(path)
        // One that is late is not ended: it may hold a lock of the file.
        await promise
        idle = setTimeout(end, idleMilliseconds)
        idle.unref()
      } finally {
        clearTimeout(late)
      }
    },
  }
}

const numberOf = (database: Database, pragma: string): number => {
  const [value] = database.query<Record<string, unknown>, []>(`PRAGMA ${pragma}`).values().flat()
  return typeof value === 'number' ? value : 0
}

/** synchronous=NORMAL: nothing tears when the power goes, the last commits may be gone. */
const normal = 1

export const createCheckpoints = (database: Database): Checkpoints => {
  const isFile = !['', ':memory:'].includes(database.filename)
  const thread = createThread(resolvePath(database.filename))
  // In another mode of the journal the file itself would be at risk.
  const isLogged =
    isFile && database.query<Record<string, unknown>, []>('PRAGMA journal_mode').values().flat()[0] === 'wal'
  let isBroken = false
  let keys = 0
  let copying: Promise<void> | null = null

  const copy = async (): Promise<void> => {
    keys = 0
    try {
      await thread.copy()
    } catch {
      // Without a thread to do it SQLite has to, lest the log grow for ever.
      isBroken = true
    }
    copying = null
  }

  return {
    apart: write => {
      // In the midst of a transaction of the host's neither can be changed, and the write fails by itself.
      if (!isLogged || database.inTransaction) return write()
      const pages = numberOf(database, 'wal_autocheckpoint')
      const level = numberOf(database, 'synchronous')
      if (!isBroken) database.run('PRAGMA wal_autocheckpoint = 0')
      if (level > normal) database.run(`PRAGMA synchronous = ${normal}`)
      try {
        return write()
      } finally {
        database.run(`PRAGMA synchronous = ${level}`)
        database.run(`PRAGMA wal_autocheckpoint = ${pages}`)
      }
    },

    durably: write => {
      if (!isLogged || isBroken || database.inTransaction) return write()
      const pages = numberOf(database, 'wal_autocheckpoint')
      database.run('PRAGMA wal_autocheckpoint = 0')
      try {
        return write()
      } finally {
        database.run(`PRAGMA wal_autocheckpoint = ${pages}`)
      }
    },

    wrote: async count => {
      keys += count
      if (isLogged && !isBroken && keys >= keysBetween) copying ??= copy()
      await copying
    },
  }
}

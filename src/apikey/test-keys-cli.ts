import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../lib/clock.ts'
import { createSqliteKeyStore } from './store.ts'
import { openKeyDatabase } from './test-store.ts'
import { createTestTerminal } from './test-terminal.ts'

/** A database of a service in a folder of its own, and `latchkey keys …` on it. */
export const openKeysCli = () => {
  const folder = mkdtempSync(join(tmpdir(), 'keys-cli-'))
  const path = join(folder, 'service.sqlite')
  const database = openKeyDatabase(path)
  const store = createSqliteKeyStore({ database, clock: systemClock })
  const terminal = createTestTerminal({ DATABASE_PATH: path })

  return {
    folder,
    path,
    database,
    store,
    terminal,
    keys: (...args: string[]) => terminal.run(args),
    /** What the last command printed with `--json`. */
    printed: (): Record<string, unknown>[] =>
      terminal
        .output()
        .split('\n')
        .filter(line => line !== '')
        .map(line => JSON.parse(line)),
    /** The first column of what it printed without. */
    ids: (): string[] =>
      terminal
        .output()
        .split('\n')
        .filter(line => line !== '')
        .map(line => line.split('\t')[0] ?? ''),
    close: () => {
      terminal.restore()
      database.close()
      rmSync(folder, { recursive: true })
    },
  }
}

export type KeysCli = ReturnType<typeof openKeysCli>

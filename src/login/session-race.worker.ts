import { bySystem } from '../lib/audit.ts'
import { systemClock } from '../lib/clock.ts'
import { createChangeLog } from './change-log.ts'
import { createSqliteSessionStore } from './session-store.ts'
import { openLoginDatabase } from './test-login.ts'

declare const self: Worker

/** What a thread of the race is told to refresh, one after another. */
export type RaceOrder = { readonly path: string; readonly tokens: readonly string[] }

self.onmessage = async ({ data: { path, tokens } }: MessageEvent<RaceOrder>) => {
  const database = openLoginDatabase(path)
  const sessions = createSqliteSessionStore({
    database,
    clock: systemClock,
    changes: createChangeLog(database),
  })
  self.postMessage('ready')
  await new Promise(resolve => {
    self.onmessage = resolve
  })
  const outcomes: (string | null)[] = []
  for (const token of tokens) {
    outcomes.push((await sessions.refresh(token, bySystem))?.refreshToken ?? null)
  }
  database.close()
  self.postMessage(outcomes)
}

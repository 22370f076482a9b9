import { bySystem } from '../lib/audit.ts'
import { systemClock } from '../lib/clock.ts'
import { createSqliteUserStore } from './store.ts'
import { codeOf, newUser, openUserDatabase } from './test-store.ts'

declare const self: Worker

/** What a thread of the race is told to do to each subject, one after another. */
export type RaceOrder = {
  readonly path: string
  readonly action: 'disable' | 'demote' | 'remove' | 'insert'
  /** Ids, or the addresses to insert. */
  readonly subjects: readonly string[]
}

self.onmessage = async ({ data: { path, action, subjects } }: MessageEvent<RaceOrder>) => {
  const database = openUserDatabase(path)
  const store = createSqliteUserStore({ database, clock: systemClock })
  const act = {
    disable: (id: string) => store.disable(id, bySystem),
    demote: (id: string) => store.update(id, { roles: ['user'] }, bySystem),
    remove: (id: string) => store.remove(id, bySystem),
    insert: (email: string) => store.insert(newUser(email), bySystem),
  }[action]
  self.postMessage('ready')
  await new Promise(resolve => {
    self.onmessage = resolve
  })
  const outcomes: unknown[] = []
  for (const subject of subjects) outcomes.push(await codeOf(act(subject)))
  database.close()
  self.postMessage(outcomes)
}

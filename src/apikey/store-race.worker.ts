import { bySystem } from '../lib/audit.ts'
import { systemClock } from '../lib/clock.ts'
import { createSqliteKeyStore } from './store.ts'
import { codeOf, newKey, newMaterial, openKeyDatabase } from './test-store.ts'

declare const self: Worker

/** What a thread of the race is told to do to each subject, one after another. */
export type RaceOrder = {
  readonly path: string
  readonly action: 'insert' | 'rotate' | 'revoke' | 'transfer'
  /** Ids, or the owners to make a key for. */
  readonly subjects: readonly string[]
  /** Keys that one owner may have. */
  readonly limit: number
}

self.onmessage = async ({ data: { path, action, subjects, limit } }: MessageEvent<RaceOrder>) => {
  const database = openKeyDatabase(path)
  const store = createSqliteKeyStore({ database, clock: systemClock })
  const act = {
    insert: (ownerId: string) => store.insert(newKey(ownerId), limit, bySystem),
    rotate: (id: string) => store.rotate(id, 'all', newMaterial(), systemClock(), bySystem),
    revoke: (id: string) => store.revoke(id, 'all', bySystem),
    transfer: (id: string) =>
      store.transfer(
        { from: 'usr_ann', to: 'usr_bob', keyIds: [id], most: 100, limit, grantable: [] },
        bySystem,
      ),
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

import { join } from 'node:path'
import { now } from './clock.ts'
import { type Credential, type LoadPlan, Notice, type Order, parseMessage } from './messages.ts'
import type { Samples } from './samples.ts'

/** The load generator as whoever started it sees it. */
export type Generator = {
  /** Makes credentials known; they are used once it is their turn. */
  add(header: string, services: readonly number[]): number
  /** Says whose turns it is from now on, see `Order`. */
  turns(live: readonly number[], rest?: readonly number[]): void
  /** How far apart the clocks of the two processes are at most, milliseconds. */
  clockDifference(): Promise<number>
  end(): Promise<void>
}

/** Starts it with nobody's turn yet; every sample goes to `samples`. */
export const startGenerator = async (plan: LoadPlan, samples: Samples): Promise<Generator> => {
  let pong: (at: number) => void = () => {}
  let ready: () => void = () => {}
  const isReady = new Promise<void>(resolve => {
    ready = resolve
  })
  const child = Bun.spawn([process.execPath, join(import.meta.dir, 'load.ts'), JSON.stringify(plan)], {
    stdin: 'ignore',
    stdout: 'inherit',
    stderr: 'inherit',
    ipc: message => {
      const notice = parseMessage(Notice, message)
      if (notice.kind === 'samples') samples.take(notice.rows)
      if (notice.kind === 'pong') pong(notice.at)
      if (notice.kind === 'ready') ready()
    },
  })
  const died = child.exited.then(code => {
    throw new Error(`The load generator ended with ${code}`)
  })
  died.catch(() => {})
  const order = (given: Order): void => {
    child.send(given)
  }
  await Promise.race([isReady, died])

  let ids = 0
  return {
    add: (header, services) => {
      ids += 1
      const credential: Credential = { id: ids, header, services: [...services] }
      order({ kind: 'add', credentials: [credential] })
      return ids
    },
    turns: (live, rest = []) => order({ kind: 'turns', live: [...live], rest: [...rest] }),
    clockDifference: async () => {
      const differences: number[] = []
      for (let round = 0; round < 20; round += 1) {
        const sentAt = now()
        const answer = new Promise<number>(resolve => {
          pong = resolve
        })
        order({ kind: 'ping' })
        const at = await Promise.race([answer, died])
        // Had the clocks been one, `at` would lie between; by how much it does not is their difference.
        differences.push(Math.max(0, sentAt - at, at - now()))
      }
      return Math.max(...differences)
    },
    end: async () => {
      child.kill('SIGTERM')
      await child.exited
    },
  }
}

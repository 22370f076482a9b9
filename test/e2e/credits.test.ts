import type { Database } from 'bun:sqlite'
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { balanceOf, giveCredits } from '../../src/apikey/test-credits.ts'
import { openKeyDatabase } from '../../src/apikey/test-store.ts'

/** Two processes spend the credits of one key, on one file, with 32 hands each. */

const program = join(import.meta.dir, '..', 'support', 'credit-spender.ts')
const hands = 32
const cost = 3

type Spender = {
  /** How often it has told of something. */
  readonly count: (letter: string) => number
  readonly reached: (letter: string, times: number) => Promise<void>
  readonly go: () => void
  readonly kill: () => void
  /** When it is gone, and everything that it told has been read. */
  readonly ended: Promise<unknown>
}

let folder: string
let path: string
let database: Database
const started: Spender[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'latchkey-credits-'))
  path = join(folder, 'keys.sqlite')
  database = openKeyDatabase(path)
})
afterEach(async () => {
  for (const spender of started.splice(0)) {
    spender.kill()
    await spender.ended
  }
  database.close()
  rmSync(folder, { recursive: true })
})

const start = (refunds = 0): Spender => {
  const child = Bun.spawn([process.execPath, program, path, 'key_a', `${hands}`, `${cost}`, `${refunds}`], {
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'inherit',
  })
  const counts = new Map<string, number>()
  const count = (letter: string): number => counts.get(letter) ?? 0
  let listener = (): void => undefined
  const read = async (): Promise<void> => {
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      for (const letter of chunk) counts.set(letter, count(letter) + 1)
      listener()
    }
  }
  const all = read()
  const spender: Spender = {
    count,
    reached: (letter, times) =>
      new Promise(resolve => {
        listener = () => (count(letter) >= times ? resolve() : undefined)
        listener()
      }),
    go: () => {
      child.stdin.write('g')
      void child.stdin.end()
    },
    kill: () => child.kill('SIGKILL'),
    ended: Promise.all([child.exited, all]),
  }
  started.push(spender)
  return spender
}

/** Two that begin together. */
const startPair = async (refunds?: number): Promise<[Spender, Spender]> => {
  const pair: [Spender, Spender] = [start(refunds), start(refunds)]
  for (const spender of pair) await spender.reached('.', 1)
  for (const spender of pair) spender.go()
  return pair
}
const sum = (pair: readonly Spender[], letter: string): number =>
  pair.reduce((total, { count }) => total + count(letter), 0)
const left = (): number => balanceOf(database, 'key_a') ?? Number.NaN

test('64 spenders in two processes spend all that there is, and not one credit more', async () => {
  giveCredits(database, 'key_a', { remaining: 6_001 })
  const pair = await startPair()
  await Promise.all(pair.map(({ ended }) => ended))
  expect([sum(pair, 's'), sum(pair, 'x'), left()]).toEqual([2_000, 64, 1])
  for (const { count } of pair) expect(count('s')).toBeGreaterThan(0)
})

test('what they give back is there for the others, once each', async () => {
  giveCredits(database, 'key_a', { remaining: 6_001 })
  const pair = await startPair(5)
  await Promise.all(pair.map(({ ended }) => ended))
  expect(sum(pair, 'r')).toBeGreaterThan(100)
  expect((sum(pair, 's') - sum(pair, 'r')) * cost + left()).toBe(6_001)
})

test.each([1, 2, 3])(
  'of one that is killed in the midst every acknowledged credit is paid, and at most what was under way besides (%p)',
  async round => {
    const granted = 30_000
    giveCredits(database, 'key_a', { remaining: granted })
    const pair = await startPair()
    const [killed, other] = pair
    await killed.reached('s', 300 * round + 7)
    killed.kill()
    await killed.ended
    const atKill = other.count('s')
    // The file is whole and free: the other goes on, until there is nothing left.
    await other.ended
    expect(other.count('s')).toBeGreaterThan(atKill)
    expect([killed.count('x'), other.count('x')]).toEqual([0, hands])
    const unaccounted = granted - left() - sum(pair, 's') * cost
    expect(unaccounted).toBeGreaterThanOrEqual(0)
    expect(unaccounted).toBeLessThanOrEqual(hands * cost)
    expect(left()).toBeLessThan(cost)
    expect(database.query('PRAGMA integrity_check').values()).toEqual([['ok']])
  },
)

/**
 * A thousand changes under load: `bun run test revocation`. `LATCHKEY_CHANGES` makes it fewer, `LATCHKEY_SEED` repeats
 * a run, `LATCHKEY_BINARY` names a compiled binary to be used instead of the sources.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { describeBound, isLate, measureBound } from './bound.ts'
import { boundMs } from './measure.ts'
import { type Stand, startStand } from './stand.ts'

const changes = Number(process.env.LATCHKEY_CHANGES ?? 1_000)
const seed = Number(process.env.LATCHKEY_SEED ?? Math.floor(Math.random() * 2 ** 31))
const rate = 800

let stand: Stand
beforeAll(async () => {
  stand = await startStand({ staleModes: ['allow', 'deny'], maxStalenessSeconds: 30, rate, connections: 16 })
})
afterAll(() => stand.end())

test(`of ${changes} changes under load every one is obeyed by both services within ${boundMs} ms`, async () => {
  const measured = await measureBound(stand, { changes, seed, workers: 6 })
  process.stdout.write(`seed ${seed}, ${stand.samples.all.length} requests\n${describeBound(measured)}\n`)
  // What went wrong by itself, if anything did: nothing is damaged here.
  const complaints = [stand.site.login, ...stand.site.services].flatMap(node => node.lines())
  expect(complaints).toEqual([])

  expect(measured.filter(isLate)).toEqual([])
  expect(measured).toHaveLength(changes)
  expect(measured.flatMap(({ strange }) => strange)).toEqual([])
  expect(stand.bystanderTrouble()).toMatchObject({ refused: 0, failed: 0, first: null })
  // The load was there: else nothing was seen.
  const [first, last] = [stand.samples.all[0], stand.samples.all.at(-1)]
  const seconds = ((last?.dueAt ?? 0) - (first?.dueAt ?? 0)) / 1_000
  expect(stand.samples.all.length / seconds).toBeGreaterThan(300)
}, 120_000)

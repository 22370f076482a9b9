/** The short form of test/revocation: that suite makes a thousand changes, this one a few with each run. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { describeBound, isLate, measureBound } from '../revocation/bound.ts'
import { boundMs } from '../revocation/measure.ts'
import { type Stand, startStand } from '../revocation/stand.ts'

const seed = Number(process.env.LATCHKEY_SEED ?? Math.floor(Math.random() * 2 ** 31))

let stand: Stand
beforeAll(async () => {
  stand = await startStand({
    staleModes: ['allow', 'deny'],
    maxStalenessSeconds: 30,
    rate: 400,
    connections: 8,
  })
})
afterAll(() => stand.end())

test(`what is taken away on login is refused by two services under load within ${boundMs} ms`, async () => {
  const measured = await measureBound(stand, { changes: 60, seed, workers: 3 })
  const late = measured.filter(isLate)
  if (late.length > 0) process.stdout.write(`seed ${seed}\n${describeBound(measured)}\n`)
  expect(late).toEqual([])
  expect(measured).toHaveLength(60)
  expect(measured.flatMap(({ strange }) => strange)).toEqual([])
  expect(stand.bystanderTrouble()).toMatchObject({ refused: 0, failed: 0, first: null })
}, 60_000)

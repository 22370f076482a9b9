import { now } from './clock.ts'
import { aftermathOf, boundMs, quantile, worst } from './measure.ts'
import { outcomeOf } from './samples.ts'
import { type Stand, usesOf } from './stand.ts'
import { createTrials, type Trial } from './trials.ts'

/** What one change led to, the worst of all its credentials on all services. */
export type Measured = {
  readonly name: string
  readonly lastAcceptedMs: number | null
  readonly firstRefusedMs: number
  /** Refusals that its change does not explain. */
  readonly strange: readonly string[]
}

/** Whether the bound did not hold for a change. */
export const isLate = ({ firstRefusedMs, lastAcceptedMs }: Measured): boolean =>
  firstRefusedMs > boundMs || (lastAcceptedMs ?? 0) > boundMs

/** A random number from 0 to below 1 from a seed (mulberry32). */
const createRandom = (seed: number) => (): number => {
  seed = (seed + 0x6d2b79f5) | 0
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
}

/** So often each credential is seen in the state before a change, and in the one after. */
const sightings = 2

export type BoundOptions = {
  readonly changes: number
  readonly seed: number
  /** How many changes are under way at a time. */
  readonly workers: number
}

/** Makes random changes under load, several at a time, and measures each. */
export const measureBound = async (
  stand: Stand,
  { changes, seed, workers }: BoundOptions,
): Promise<Measured[]> => {
  const { samples, generator, bystander } = stand
  const random = createRandom(seed)
  const inUse = new Set(bystander.map(({ id }) => id))
  const tellTurns = (): void => generator.turns([...inUse])
  const results: Measured[] = []
  let started = 0

  const isSeen = ({ watched }: Trial, outcome: 'accepted' | 'refused', from: number): boolean =>
    usesOf(watched).every(
      ({ one, service }) =>
        samples.between(one.id, service, from).filter(sample => outcomeOf(sample) === outcome).length >=
        sightings,
    )

  const measure = async (trial: Trial): Promise<Measured> => {
    const readyAt = now()
    for (const { id } of trial.watched) inUse.add(id)
    tellTurns()
    await samples.until(`let in before: ${trial.name}`, () => isSeen(trial, 'accepted', readyAt), 10_000)
    const askedAt = now()
    const ackedAt = await trial.change()
    await samples.until(`refused after: ${trial.name}`, () => isSeen(trial, 'refused', ackedAt), 10_000)
    const until = now()
    for (const { id } of trial.watched) inUse.delete(id)
    tellTurns()
    const found = usesOf(trial.watched).map(({ one, service }) => ({
      one,
      after: aftermathOf(samples, one.id, service, { askedAt, from: ackedAt, until }),
    }))
    return {
      name: trial.name,
      lastAcceptedMs: worst(found.map(({ after }) => after.lastAcceptedMs)),
      firstRefusedMs: worst(found.map(({ after }) => after.firstRefusedMs)) ?? Number.POSITIVE_INFINITY,
      strange: found.flatMap(({ one: { refusal }, after }) =>
        after.answers.filter(answer => !refusal.codes.some(code => answer === `${refusal.status} ${code}`)),
      ),
    }
  }

  const work = async (): Promise<void> => {
    const trials = await createTrials(stand)
    // One that is late decides it; so many more at its pace would take for ever.
    while (started < changes && !results.some(isLate)) {
      started += 1
      const make = trials[Math.floor(random() * trials.length)]
      if (make === undefined) continue
      const trial = await make()
      results.push(await measure(trial))
      await trial.undo()
    }
  }
  await Promise.all(Array.from({ length: workers }, work))
  return results
}

/** A line for each kind and one for all: how many, and the median, 99th percentile and worst of both times. */
export const describeBound = (measured: readonly Measured[]): string => {
  const line = (name: string, list: readonly Measured[]): string => {
    const of = (times: readonly number[]): string =>
      [0.5, 0.99, 1]
        .map(share => (times.length === 0 ? 0 : quantile(times, share)).toFixed(1).padStart(7))
        .join(' ')
    const refused = list.map(({ firstRefusedMs }) => firstRefusedMs)
    const accepted = list.map(({ lastAcceptedMs }) => lastAcceptedMs ?? 0)
    return `${name.padEnd(26)}${String(list.length).padStart(5)}   ${of(refused)}   ${of(accepted)}`
  }
  const names = [...new Set(measured.map(({ name }) => name))].toSorted()
  return [
    `${''.padEnd(31)}   first refused, ms         last let in, ms`,
    `${''.padEnd(31)}       p50     p99     max       p50     p99     max`,
    ...names.map(name =>
      line(
        name,
        measured.filter(one => one.name === name),
      ),
    ),
    line('all', measured),
  ].join('\n')
}

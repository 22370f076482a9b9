import { now } from './clock.ts'
import { aftermathOf, countAccepted, isHeld, quantile, worst } from './measure.ts'
import { outcomeOf } from './samples.ts'
import { credentialsOf, type Stand, usesOf } from './stand.ts'
import type { ChangeRow } from './summary.ts'
import type { Kind, Victim, Watched } from './victims.ts'

/** Each credential is seen to be good this often, on each service, before it is taken away. */
export const leastAccepted = 100

/** A kind of change with those whom it will be done to. */
export type Group = { readonly name: string; readonly victims: readonly Victim[] }

/** A change that was made. */
export type Made = {
  readonly name: string
  readonly victim: Pick<Victim, 'watched' | 'spared'>
  readonly askedAt: number
  readonly ackedAt: number
}

/** Makes the victims of a kind, one after the other: passwords are hashed one at a time anyway. */
export const makeGroup = async (kind: Kind, count: number): Promise<Group> => {
  const victims: Victim[] = []
  for (let number = 0; number < count; number += 1) victims.push(await kind.make())
  return { name: kind.name, victims }
}

/** Waits until every credential of the groups has been let in often enough by every service. */
export const warmUp = async (
  { samples, generator, bystander }: Stand,
  groups: readonly Group[],
): Promise<void> => {
  const victims = groups.flatMap(group => group.victims)
  generator.turns([...credentialsOf(victims), ...bystander.map(({ id }) => id)])
  const uses = usesOf(victims.flatMap(({ watched }) => watched))
  await samples.until(
    'every credential let in often enough',
    () => uses.every(({ one, service }) => samples.of(one.id, service).length >= leastAccepted),
    60_000,
  )
}

/** Waits until each service has refused what was sent after a time with each of the credentials. */
export const untilRefused = (
  { samples }: Pick<Stand, 'samples'>,
  watched: readonly Watched[],
  from: number,
  patience?: number,
): Promise<void> =>
  samples.until(
    'every credential refused',
    () =>
      usesOf(watched).every(({ one, service }) =>
        samples.of(one.id, service).some(sample => sample.sentAt >= from && outcomeOf(sample) === 'refused'),
      ),
    patience,
  )

/** Makes one change and waits until both services act on it. */
export const make = async (stand: Stand, name: string, victim: Victim): Promise<Made> => {
  const askedAt = now()
  const ackedAt = await victim.change()
  await untilRefused(stand, victim.watched, ackedAt)
  return { name, victim, askedAt, ackedAt }
}

/** Makes all changes of the groups, one after the other; whoever is not concerned stays in use, more seldom. */
export const makeAll = async (stand: Stand, groups: readonly Group[]): Promise<Made[]> => {
  const made: Made[] = []
  for (const group of groups) {
    const live = [...credentialsOf(group.victims), ...stand.bystander.map(({ id }) => id)]
    const others = groups.filter(other => other !== group).flatMap(({ victims }) => credentialsOf(victims))
    stand.generator.turns(live, others)
    for (const victim of group.victims) made.push(await make(stand, group.name, victim))
  }
  return made
}

/** Median time between two uses of a credential on a service, around its change. */
export const resolutionOf = ({ samples }: Stand, made: readonly Made[]): number => {
  const gaps = made.flatMap(({ victim, ackedAt }) =>
    usesOf(victim.watched).flatMap(({ one, service }) => {
      const times = samples.between(one.id, service, ackedAt - 200, ackedAt + 200).map(({ sentAt }) => sentAt)
      return times.slice(1).map((time, index) => time - (times[index] ?? time))
    }),
  )
  return quantile(gaps, 0.5)
}

/**
 * What every change led to, up to now: a row for each kind of change and of credential.
 *
 * @param sparedUntil when those who were to be spared were spared no more.
 */
export const changeRows = (
  { samples, site }: Stand,
  made: readonly Made[],
  sparedUntil: number,
): ChangeRow[] => {
  const rows = new Map<string, { one: Watched; service: number; of: Made }[]>()
  for (const of of made) {
    for (const use of usesOf(of.victim.watched)) {
      const key = `${of.name}\n${use.one.kind}`
      rows.set(key, [...(rows.get(key) ?? []), { ...use, of }])
    }
  }
  return [...rows].map(([key, uses]) => {
    const [change = '', credential = ''] = key.split('\n')
    const found = uses.map(({ one, service, of }) => ({
      one,
      service,
      acceptedBefore: countAccepted(samples, one.id, service, of.askedAt),
      after: aftermathOf(samples, one.id, service, { askedAt: of.askedAt, from: of.ackedAt }),
    }))
    const spared = made
      .filter(({ name }) => name === change)
      .flatMap(({ victim, ackedAt }) =>
        usesOf(victim.spared).flatMap(({ one, service }) =>
          samples.between(one.id, service, ackedAt, sparedUntil),
        ),
      )
    return {
      change,
      credential,
      credentials: new Set(uses.map(({ one }) => one.id)).size,
      acceptedBefore: Math.min(...found.map(({ acceptedBefore }) => acceptedBefore)),
      after: site.services.map(({ name }, service) => {
        const here = found.filter(one => one.service === service).map(({ after }) => after)
        const refused = here.map(({ firstRefusedMs }) => firstRefusedMs)
        return {
          service: name,
          lastAcceptedMs: worst(here.map(({ lastAcceptedMs }) => lastAcceptedMs)),
          firstRefusedMs: refused.includes(null) ? null : worst(refused),
        }
      }),
      answer: [...new Set(found.flatMap(({ after }) => after.answers))].join(', '),
      held:
        found.every(
          ({ one, after, acceptedBefore }) => acceptedBefore >= leastAccepted && isHeld(one, after),
        ) && spared.every(sample => outcomeOf(sample) !== 'refused'),
    }
  })
}

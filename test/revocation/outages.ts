import type { Link } from '../support/link.ts'
import { type Group, make, untilRefused } from './changes.ts'
import { now } from './clock.ts'
import { aftermathOf, boundMs, isHeld, worst } from './measure.ts'
import { outcomeOf, type Sample } from './samples.ts'
import { credentialsOf, type Stand, usesOf } from './stand.ts'
import type { OutageRow } from './summary.ts'
import type { Victim } from './victims.ts'

/** A follower that lost `login` is back within this time of the mending: the longest pause between its attempts. */
const reconnectMs = 1_000

type Fault = { readonly name: string; readonly damage: (link: Link) => void }

const faults = {
  cut: { name: 'cut', damage: link => link.cut() },
  muted: { name: 'silent', damage: link => link.mute() },
  halved: { name: 'every answer cut in half', damage: link => link.halve() },
} as const satisfies Record<string, Fault>

/** How long the short faults last, milliseconds: with the way back, less than a service that denies may go unheard. */
const shortFault = 500
const delayMs = 100

const isBetween = ({ sentAt }: Sample, from: number, until: number): boolean =>
  sentAt >= from && sentAt < until

const useAll = ({ generator, bystander }: Stand, victims: readonly Victim[], rest: readonly Group[]): void =>
  generator.turns(
    [...credentialsOf(victims), ...bystander.map(({ id }) => id)],
    rest.flatMap(group => credentialsOf(group.victims)),
  )

type Phase = { readonly brokenAt: number; readonly ackedAt: number; readonly mendedAt: number }

/** What one service did about a victim and everybody else while its link was broken, and after. */
const rowOf = (
  stand: Stand,
  victim: Victim,
  index: number,
  { brokenAt, ackedAt, mendedAt }: Phase,
  told: { fault: string; toldMs: number | null },
  isCut: boolean,
  maxStalenessMs: number,
): OutageRow => {
  const { samples, site, bystander } = stand
  const service = site.services[index]
  const here = usesOf(victim.watched).filter(use => use.service === index)
  const after = here.map(({ one }) => aftermathOf(samples, one.id, index, { from: mendedAt }))
  const refused = after.map(({ firstRefusedMs }) => firstRefusedMs)
  const others = usesOf(bystander).filter(use => use.service === index)
  const everybody = [...here, ...others].flatMap(({ one }) => samples.of(one.id, index))
  const letIn = everybody.filter(sample => outcomeOf(sample) === 'accepted')
  const meanwhile = letIn
    .filter(sample => isBetween(sample, brokenAt, mendedAt))
    .map(({ sentAt }) => sentAt - brokenAt)
  const isDenied = isCut && service?.staleMode === 'deny'
  const served = others.map(({ one }) =>
    Math.min(
      ...letIn
        .filter(sample => sample.credential === one.id && sample.sentAt >= mendedAt)
        .map(({ sentAt }) => sentAt - mendedAt),
    ),
  )
  const stoppedMs = isDenied ? worst(meanwhile) : null
  const lastAcceptedMs = worst(after.map(one => one.lastAcceptedMs))
  const servedAgainMs = isDenied ? Math.max(...served) : null
  if (isDenied && stoppedMs !== null)
    stand.excuse(index, brokenAt + stoppedMs, mendedAt + Math.max(...served))
  return {
    ...told,
    service: service?.name ?? '',
    staleMode: service?.staleMode ?? '',
    acceptedMeanwhile: here
      .flatMap(({ one }) => samples.between(one.id, index, ackedAt, mendedAt))
      .filter(sample => outcomeOf(sample) === 'accepted').length,
    stoppedMs,
    lastAcceptedMs,
    firstRefusedMs: refused.includes(null) ? null : worst(refused),
    servedAgainMs,
    held:
      refused.every(time => time !== null && time <= reconnectMs + boundMs) &&
      (lastAcceptedMs ?? 0) <= reconnectMs + boundMs &&
      (!isDenied || (stoppedMs !== null && stoppedMs <= maxStalenessMs)) &&
      (!isCut || told.toldMs !== null) &&
      (servedAgainMs ?? 0) <= reconnectMs + boundMs,
  }
}

/** Cuts every link for longer than services may go unheard; a user is disabled meanwhile. */
const cutLinks = async (stand: Stand, victim: Victim, maxStalenessMs: number): Promise<OutageRow[]> => {
  const { site, samples, bystander } = stand
  const links = site.services.map(({ link }) => link)
  const brokenAt = now()
  for (const link of links) faults.cut.damage(link)
  const ackedAt = await victim.change()

  const told: (number | null)[] = site.services.map(() => null)
  const patience = brokenAt + maxStalenessMs + 3_000
  while (told.includes(null) && now() < patience) {
    await Bun.sleep(10)
    for (const [index, service] of site.services.entries()) {
      if (told[index] !== null) continue
      const { status, word } = await service.readyz()
      const isTold = service.staleMode === 'deny' ? status === 503 : status === 200 && word === 'degraded'
      if (isTold) told[index] = now() - brokenAt
    }
  }
  const toldAt = now()
  // A little longer, so that a service that lets somebody in again before it has heard of `login` would be seen.
  await samples.until('the bystander asked everywhere while the link was cut', () =>
    usesOf(bystander).every(({ one, service }) => samples.between(one.id, service, toldAt).length >= 5),
  )
  const mendedAt = now()
  for (const link of links) link.mend()
  await untilRefused(stand, victim.watched, mendedAt, 5_000)
  await samples.until('the bystander served again', () =>
    usesOf(bystander).every(({ one, service }) =>
      samples.between(one.id, service, mendedAt).some(sample => outcomeOf(sample) === 'accepted'),
    ),
  )
  return site.services.map((_, index) =>
    rowOf(
      stand,
      victim,
      index,
      { brokenAt, ackedAt, mendedAt },
      { fault: faults.cut.name, toldMs: told[index] ?? null },
      true,
      maxStalenessMs,
    ),
  )
}

/** Damages every link for a moment, in which a user is disabled. */
const damageLinks = async (stand: Stand, victim: Victim, fault: Fault): Promise<OutageRow[]> => {
  const links = stand.site.services.map(({ link }) => link)
  const brokenAt = now()
  for (const link of links) fault.damage(link)
  const ackedAt = await victim.change()
  await Bun.sleep(shortFault)
  const mendedAt = now()
  for (const link of links) link.mend()
  await untilRefused(stand, victim.watched, mendedAt, 5_000)
  return stand.site.services.map((_, index) =>
    rowOf(
      stand,
      victim,
      index,
      { brokenAt, ackedAt, mendedAt },
      { fault: fault.name, toldMs: null },
      false,
      0,
    ),
  )
}

/** Slows every link down: the bound holds without it being mended. */
const delayLinks = async (stand: Stand, victim: Victim): Promise<OutageRow[]> => {
  const links = stand.site.services.map(({ link }) => link)
  const brokenAt = now()
  for (const link of links) link.delay(delayMs)
  const { ackedAt } = await make(stand, 'delay', victim)
  const rows = stand.site.services.map((_, index) =>
    rowOf(
      stand,
      victim,
      index,
      { brokenAt, ackedAt, mendedAt: ackedAt },
      { fault: `${delayMs} ms slower each way`, toldMs: null },
      false,
      0,
    ),
  )
  for (const link of links) link.mend()
  const isWithin = victim.watched.every(one =>
    one.services.every(service =>
      isHeld(one, aftermathOf(stand.samples, one.id, service, { from: ackedAt })),
    ),
  )
  return rows.map(row => ({ ...row, acceptedMeanwhile: null, held: row.held && isWithin }))
}

/** How many users {@link runOutages} disables. */
export const outageVictims = 4

/** Damages the links in four ways, one after the other, each with a user disabled meanwhile. */
export const runOutages = async (
  stand: Stand,
  { victims }: Group,
  rest: readonly Group[],
  maxStalenessSeconds: number,
): Promise<OutageRow[]> => {
  const [first, second, third, fourth] = victims
  if (!first || !second || !third || !fourth) throw new Error(`${outageVictims} victims are needed`)
  useAll(stand, victims, rest)
  return [
    ...(await delayLinks(stand, first)),
    ...(await damageLinks(stand, second, faults.muted)),
    ...(await damageLinks(stand, third, faults.halved)),
    ...(await cutLinks(stand, fourth, maxStalenessSeconds * 1_000)),
  ]
}

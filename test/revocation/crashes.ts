import { type Group, untilRefused } from './changes.ts'
import { now } from './clock.ts'
import { aftermathOf, boundMs, worst } from './measure.ts'
import { outcomeOf } from './samples.ts'
import { untilReady } from './site.ts'
import { credentialsOf, type Stand, usesOf } from './stand.ts'
import type { CrashRow } from './summary.ts'
import type { Watched } from './victims.ts'

/** How many users {@link runCrashes} disables. */
export const crashVictims = 2

const row = (
  { samples, site }: Stand,
  watched: readonly Watched[],
  index: number,
  { killed, since, from, atMostMs }: { killed: string; since: string; from: number; atMostMs: number },
): CrashRow => {
  const after = usesOf(watched)
    .filter(({ service }) => service === index)
    .map(({ one, service }) => aftermathOf(samples, one.id, service, { from }))
  const refused = after.map(({ firstRefusedMs }) => firstRefusedMs)
  const lastAcceptedMs = worst(after.map(one => one.lastAcceptedMs))
  const firstRefusedMs = refused.includes(null) ? null : worst(refused)
  return {
    killed,
    service: site.services[index]?.name ?? '',
    since,
    lastAcceptedMs,
    firstRefusedMs,
    held: firstRefusedMs !== null && firstRefusedMs <= boundMs && (lastAcceptedMs ?? 0) <= atMostMs,
  }
}

const indexes = ({ site }: Stand): number[] => [...site.services.keys()]

/**
 * Kills `login`, then a service, each right after `login` acknowledged that a user was disabled; at last all of them,
 * and starts the services without `login`: what they had heard holds from their first answer on.
 */
export const runCrashes = async (
  stand: Stand,
  { victims }: Group,
  rest: readonly Group[],
): Promise<CrashRow[]> => {
  const { site, samples, bystander, generator } = stand
  const { login, services } = site
  const [first, second] = victims
  const [broken] = services
  if (!first || !second || !broken) throw new Error(`${crashVictims} victims and a service are needed`)
  generator.turns(
    [...credentialsOf(victims), ...bystander.map(({ id }) => id)],
    rest.flatMap(group => credentialsOf(group.victims)),
  )
  const rows: CrashRow[] = []

  await first.change()
  await login.kill()
  await login.start()
  const loginBackAt = now()
  await untilRefused(stand, first.watched, loginBackAt, 10_000)
  const afterLogin = { killed: 'login', since: 'login answers again', from: loginBackAt, atMostMs: boundMs }
  rows.push(...indexes(stand).map(index => row(stand, first.watched, index, afterLogin)))

  const ackedAt = await second.change()
  const downAt = now()
  await broken.kill()
  await broken.start()
  const backAt = now()
  await untilRefused(stand, second.watched, backAt, 10_000)
  await untilReady(broken)
  stand.excuse(0, downAt, now())
  const since = 'the service answers again'
  rows.push(row(stand, second.watched, 0, { killed: broken.name, since, from: backAt, atMostMs: boundMs }))
  for (const index of indexes(stand).slice(1)) {
    const unharmed = { killed: broken.name, since: 'the acknowledgement', from: ackedAt, atMostMs: boundMs }
    rows.push(row(stand, second.watched, index, unharmed))
  }

  const allDownAt = now()
  await Promise.all([login, ...services].map(node => node.kill()))
  const silentAt = now()
  await Promise.all(services.map(service => service.start()))
  // Tokens are not judged yet, for want of signing keys; keys are.
  const keys = second.watched.filter(({ kind }) => kind === 'API key')
  await untilRefused(stand, keys, silentAt, 5_000)
  const aloneUntil = now()
  const allRows = indexes(stand).map(index =>
    row(stand, keys, index, {
      killed: 'all three, login stays down',
      since: 'the kill',
      from: silentAt,
      atMostMs: 0,
    }),
  )
  await login.start()
  await Promise.all(services.map(untilReady))
  await untilRefused(stand, second.watched, now(), 10_000)
  const isServed = usesOf(bystander)
  const servedFrom = now()
  await samples.until('the bystander served again', () =>
    isServed.every(({ one, service }) =>
      samples.between(one.id, service, servedFrom).some(sample => outcomeOf(sample) === 'accepted'),
    ),
  )
  for (const index of indexes(stand)) stand.excuse(index, allDownAt, servedFrom)
  // Not one request of either was let in from the kill to now.
  const letIn = usesOf([...first.watched, ...second.watched]).flatMap(({ one, service }) =>
    samples.between(one.id, service, silentAt).filter(sample => outcomeOf(sample) === 'accepted'),
  )
  rows.push(
    ...allRows.map((one, index) => ({
      ...one,
      held: one.held && aloneUntil > silentAt && letIn.every(({ service }) => service !== index),
    })),
  )
  return rows
}

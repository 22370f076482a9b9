import { type Accounts, createAccounts } from './accounts.ts'
import { type Generator, startGenerator } from './generator.ts'
import { createSamples, outcomeOf, type Samples } from './samples.ts'
import { type Site, type StaleMode, startSite } from './site.ts'
import { createKinds, type Kinds, type Victim, type Watched } from './victims.ts'

/** A site under load, with a bystander whom nothing is done to. */
export type Stand = {
  readonly site: Site
  readonly accounts: Accounts
  readonly generator: Generator
  readonly samples: Samples
  readonly kinds: Kinds
  readonly bystander: readonly Watched[]
  /** What each credential of the bystander met with that was not let in, but for what was excused. */
  bystanderTrouble(until?: number): {
    accepted: number
    refused: number
    failed: number
    first: string | null
  }
  /** Says that a service could not answer from a time to another. Refusing a bystander is never excused. */
  excuse(service: number, from: number, until: number): void
  end(options?: { readonly keep: boolean }): Promise<void>
}

export type StandOptions = {
  readonly staleModes: readonly StaleMode[]
  readonly maxStalenessSeconds: number
  /** Requests a second in all. */
  readonly rate: number
  readonly connections: number
}

/** Starts services, load generator and the bystander, whose turn it is at once. */
export const startStand = async ({ rate, connections, ...options }: StandOptions): Promise<Stand> => {
  const site = await startSite(options)
  let generator: Generator | null = null
  try {
    const samples = createSamples()
    const started = await startGenerator(
      {
        rate,
        connections,
        services: site.services.map(({ port }) => ({ port, path: '/documents?limit=1' })),
      },
      samples,
    )
    generator = started
    const accounts = createAccounts(site)
    await accounts.signInAdmin()
    const kinds = createKinds(accounts, started, [...site.services.keys()])
    const bystander = await kinds.bystander()
    started.turns(bystander.map(({ id }) => id))
    const excuses: { service: number; from: number; until: number }[] = []

    return {
      site,
      accounts,
      generator: started,
      samples,
      kinds,
      bystander,
      excuse: (service, from, until) => excuses.push({ service, from, until }),
      bystanderTrouble: (until = Number.POSITIVE_INFINITY) => {
        const count = { accepted: 0, refused: 0, failed: 0 }
        let first: string | null = null
        for (const { id, services } of bystander) {
          for (const sample of services.flatMap(service => samples.between(id, service, 0, until))) {
            const outcome = outcomeOf(sample)
            const isExcused = excuses.some(
              ({ service, from, until: to }) =>
                service === sample.service && sample.answeredAt >= from && sample.sentAt <= to,
            )
            if (outcome === 'failed' && isExcused) continue
            count[outcome] += 1
            if (outcome !== 'accepted')
              first ??= `${sample.status} ${sample.code} on service ${sample.service + 1}`
          }
        }
        return { ...count, first }
      },
      end: async options => {
        await started.end()
        await site.end(options)
      },
    }
  } catch (error) {
    await generator?.end()
    await site.end()
    throw error
  }
}

/** The credentials of some victims. */
export const credentialsOf = (victims: readonly Pick<Victim, 'watched' | 'spared'>[]): number[] =>
  victims.flatMap(({ watched, spared }) => [...watched, ...spared].map(({ id }) => id))

/** Each use of a watched credential: on every service that it is good for. */
export const usesOf = (watched: readonly Watched[]): { one: Watched; service: number }[] =>
  watched.flatMap(one => one.services.map(service => ({ one, service })))

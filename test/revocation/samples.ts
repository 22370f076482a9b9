import type { SampleRow } from './messages.ts'

/** One request of the load generator. Times are milliseconds since the epoch. */
export type Sample = {
  readonly credential: number
  readonly service: number
  /** When it was to be sent. */
  readonly dueAt: number
  readonly sentAt: number
  readonly answeredAt: number
  /** 0 where no answer came. */
  readonly status: number
  readonly code: string
}

/** Let in, turned away as a caller, or neither: 5xx and no answer. */
export type Outcome = 'accepted' | 'refused' | 'failed'

export const outcomeOf = ({ status }: Sample): Outcome =>
  status >= 200 && status < 300 ? 'accepted' : status >= 400 && status < 500 ? 'refused' : 'failed'

export type Samples = {
  readonly all: readonly Sample[]
  take(rows: readonly SampleRow[]): void
  /** Of one credential on one service, in the order of their answers. */
  of(credential: number, service: number): readonly Sample[]
  /** Those that were sent from a time on, and before another. */
  between(credential: number, service: number, from: number, until?: number): Sample[]
  /** Waits for what new samples can make true. @throws Error that says for what, after `patience` milliseconds. */
  until(what: string, isSo: () => boolean, patience?: number): Promise<void>
}

const keyOf = (credential: number, service: number): string => `${credential} ${service}`

export const createSamples = (): Samples => {
  const all: Sample[] = []
  const byUse = new Map<string, Sample[]>()
  const listeners = new Set<() => void>()
  const of = (credential: number, service: number): readonly Sample[] =>
    byUse.get(keyOf(credential, service)) ?? []

  return {
    all,
    of,
    take: rows => {
      for (const [credential, service, dueAt, sentAt, answeredAt, status, code] of rows) {
        const sample = { credential, service, dueAt, sentAt, answeredAt, status, code }
        all.push(sample)
        const list = byUse.get(keyOf(credential, service))
        if (list === undefined) byUse.set(keyOf(credential, service), [sample])
        else list.push(sample)
      }
      for (const listener of [...listeners]) listener()
    },
    between: (credential, service, from, until = Number.POSITIVE_INFINITY) =>
      of(credential, service).filter(({ sentAt }) => sentAt >= from && sentAt < until),
    until: (what, isSo, patience = 20_000) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (!isSo()) return
          listeners.delete(look)
          clearTimeout(timer)
          resolve()
        }
        const timer = setTimeout(() => {
          listeners.delete(look)
          reject(new Error(`In ${patience} ms it was not seen: ${what}`))
        }, patience)
        listeners.add(look)
        look()
      }),
  }
}

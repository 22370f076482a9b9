import { outcomeOf, type Samples } from './samples.ts'
import type { Watched } from './victims.ts'

/** The bound: milliseconds from the acknowledgement of a change to its refusal everywhere. */
export const boundMs = 1_000

/** What one credential met with on one service after a time. */
export type Aftermath = {
  /** To the sending of the last request that was let in; null where none was that was sent after it. */
  readonly lastAcceptedMs: number | null
  /** To the sending of the first request that was refused; negative where that was before. */
  readonly firstRefusedMs: number | null
  /** Statuses and codes of all that was neither let in nor without an answer. */
  readonly answers: readonly string[]
}

/** What requests met with from a time on; a refusal counts from when its change was asked for. */
export const aftermathOf = (
  samples: Samples,
  credential: number,
  service: number,
  { askedAt, from, until = Number.POSITIVE_INFINITY }: { askedAt?: number; from: number; until?: number },
): Aftermath => {
  const sent = samples.between(credential, service, askedAt ?? from, until)
  const times = (outcome: 'accepted' | 'refused'): number[] =>
    sent.filter(sample => outcomeOf(sample) === outcome).map(({ sentAt }) => sentAt - from)
  const accepted = times('accepted').filter(time => time >= 0)
  const refused = times('refused')
  const answers = new Set(
    sent.filter(sample => outcomeOf(sample) === 'refused').map(({ status, code }) => `${status} ${code}`),
  )
  return {
    lastAcceptedMs: accepted.length === 0 ? null : Math.max(...accepted),
    firstRefusedMs: refused.length === 0 ? null : Math.min(...refused),
    answers: [...answers],
  }
}

/** Whether a credential was refused by what its change ends it with, and by nothing else, within the bound. */
export const isHeld = (
  { refusal }: Watched,
  { lastAcceptedMs, firstRefusedMs, answers }: Aftermath,
): boolean =>
  firstRefusedMs !== null &&
  firstRefusedMs <= boundMs &&
  (lastAcceptedMs ?? 0) <= boundMs &&
  answers.every(answer => refusal.codes.some(code => answer === `${refusal.status} ${code}`))

export const countAccepted = (
  samples: Samples,
  credential: number,
  service: number,
  until = Number.POSITIVE_INFINITY,
): number =>
  samples.between(credential, service, 0, until).filter(sample => outcomeOf(sample) === 'accepted').length

/** The worst of several times; null only where all are. */
export const worst = (times: readonly (number | null)[]): number | null => {
  const known = times.filter(time => time !== null)
  return known.length === 0 ? null : Math.max(...known)
}

/** The value below which this share of all lies. */
export const quantile = (values: readonly number[], share: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}

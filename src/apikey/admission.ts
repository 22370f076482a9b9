import type { Clock } from '../lib/clock.ts'
import type { Windows } from '../lib/limiter.ts'
import { Refusal } from '../lib/problem-answer.ts'
import { rateLimit, rateLimitPolicy } from '../lib/rate-limit-fields.ts'
import type { CredentialCode } from './errors.ts'
import type { KeyEvent } from './events.ts'
import type { KeyUse } from './key-use.ts'
import type { Charge, Ledger, Paid } from './ledger.ts'

/** Headers of an answer, as Elysia has them. */
export type AnswerHeaders = Record<string, string | number | string[] | undefined>

export type AdmissionOptions = {
  readonly ledger: () => Ledger
  readonly clock: Clock
  readonly emit: ((event: KeyEvent) => void) | undefined
}

/** Why a key is not let in that would be at another time. */
type Refused = Extract<CredentialCode, 'rate_limited' | 'credits_exhausted'>

export type Admitted =
  | { readonly ok: true; readonly paid: Paid | null }
  | { readonly ok: false; readonly refusal: Refusal<Refused> }

export type Admissions = {
  /** Counts a use that costs nothing within its limits. Synchronous: it is on the path of nearly every request. */
  admit(use: KeyUse): Admitted
  /** Takes what a use costs, and counts it within its limits: both or neither. @throws Failure `unavailable` */
  charge(use: KeyUse, cost: number): Promise<Admitted>
  /** Writes into an answer what its caller should know of the key. */
  tell(use: KeyUse, paid: Paid | null, headers: AnswerHeaders): void
}

const admitted: Admitted = { ok: true, paid: null }

const limitFields = (windows: Windows): { 'ratelimit-policy': string; ratelimit: string } => ({
  'ratelimit-policy': rateLimitPolicy(windows.limits),
  ratelimit: rateLimit(windows.status()),
})

const rateLimited = (windows: Windows | null): Admitted => ({
  ok: false,
  refusal: new Refusal(
    'rate_limited',
    windows === null ? {} : limitFields(windows),
    windows === null ? {} : { retryAfterSeconds: windows.retryAfterSeconds() },
  ),
})

/** The share of a full balance below which it is low. */
const lowShare = 0.1

/** The last step before a handler: what a use of a key counts for and costs. */
export const createAdmissions = ({ ledger, clock, emit }: AdmissionOptions): Admissions => {
  const exhausted = (
    cost: number,
    { remaining, refillsAt }: Extract<Charge, { code: 'credits_exhausted' }>,
  ): Admitted => {
    const wait = refillsAt === null ? {} : { retryAfterSeconds: secondsUntil(refillsAt) }
    const detail = `needs ${cost} of the key's credits, and there ${remaining === 1 ? 'is' : 'are'} ${remaining}`
    return {
      ok: false,
      refusal: new Refusal(
        'credits_exhausted',
        { 'x-credits-remaining': String(remaining) },
        { ...wait, detail },
      ),
    }
  }

  const secondsUntil = (time: number): number => Math.max(1, Math.ceil((time - clock()) / 1_000))

  /** Told where this very use brought it below. */
  const tellLow = ({ keyId, ownerId, name }: KeyUse, cost: number, { remaining, full }: Paid): void => {
    if (emit === undefined || remaining === null || full === null) return
    const low = full * lowShare
    if (remaining >= low || remaining + cost < low) return
    emit({ type: 'api_key.credits_low', at: clock(), keyId, ownerId, name, remaining })
  }

  const admit: Admissions['admit'] = ({ windows }) =>
    windows === null || windows.take() ? admitted : rateLimited(windows)

  return {
    admit,

    charge: async (use, cost) => {
      if (cost === 0 || !use.isMetered) return admit(use)
      const charge = await ledger().charge(use.lineageId, cost, use.windows ?? undefined)
      if (!charge.ok)
        return charge.code === 'rate_limited' ? rateLimited(use.windows) : exhausted(cost, charge)
      tellLow(use, cost, charge)
      return { ok: true, paid: charge }
    },

    tell: ({ windows, tellsLimits, replaced }, paid, headers) => {
      if (tellsLimits && windows !== null) Object.assign(headers, limitFields(windows))
      if (replaced !== null) Object.assign(headers, replaced)
      if (paid !== null && paid.remaining !== null) headers['x-credits-remaining'] = String(paid.remaining)
    },
  }
}

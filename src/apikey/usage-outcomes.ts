import type { ApikeyCode } from './errors.ts'

/** Why a key is refused to who holds its secret, and so what is counted. Of anything else there is no key to count for. */
export const refusedOutcomes = [
  'api_key_revoked',
  'api_key_disabled',
  'api_key_expired',
  'api_key_owner_inactive',
  'api_key_network_not_allowed',
  'insufficient_permission',
  'rate_limited',
  'credits_exhausted',
] as const satisfies readonly ApikeyCode[]

export type RefusedOutcome = (typeof refusedOutcomes)[number]

/** What can become of the use of a key. */
export const usageOutcomes = ['accepted', ...refusedOutcomes] as const

export type UsageOutcome = (typeof usageOutcomes)[number]

const known: ReadonlySet<string> = new Set(usageOutcomes)

export const isUsageOutcome = (text: string): text is UsageOutcome => known.has(text)

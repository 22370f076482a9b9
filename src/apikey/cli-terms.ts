import { isoTime, systemClock } from '../lib/clock.ts'
import { type readArguments, UsageError } from '../lib/command-line.ts'
import { maxAdmissions } from '../lib/sliding-window.ts'
import { mostNetworks } from './allowed-networks.ts'
import { createCeilings } from './ceilings.ts'
import { readMetadata } from './cli-metadata.ts'
import { given, lengthOf, type OptionWords, wholeNumber } from './cli-options.ts'
import { mostCredits } from './credit-rows.ts'
import { parseLimit } from './limit-text.ts'
import { maxLimits, maxWindowSeconds } from './limits-model.ts'

/** What the operator gives is bound by no ceiling, as what a manager gives over HTTP. */
export const noCeilings = createCeilings({})(true)

/** Options for the terms of a key, of those who make one and those who change one. */
export const termForms = {
  permission: { type: 'string', multiple: true },
  'expires-in': { type: 'string' },
  'expires-at': { type: 'string' },
  metadata: { type: 'string' },
  network: { type: 'string', multiple: true },
  limit: { type: 'string', multiple: true },
  credits: { type: 'string' },
  'refill-daily': { type: 'string' },
  'refill-monthly': { type: 'string' },
} as const

type TermValues = ReturnType<typeof readArguments<typeof termForms>>['values']

export const termUsage = `  --permission P     what the key may do, where its owner may: resource:action, * for any
  --expires-in N     a number with s, m, h, d or w
  --expires-at TIME  ISO 8601 with a zone
  --metadata JSON    an object, or @ and the name of a file with one
  --network CIDR     where it may be used from, up to ${mostNetworks} times
  --limit LIMIT      name=100/60s: so many requests in any such time (s, m, h, d), up to ${maxLimits} times
  --credits N        what it may spend, with --refill-daily N, or --refill-monthly N[@DAY], at
                     00:00 UTC: the balance is set to N where it is lower
`

export const termWords: OptionWords = {
  name: ['--name', 'takes 1 to 100 characters that can be printed'],
  permissions: ['--permission', 'takes resource:action in lower case, * for any, up to 100 times'],
  expiresAt: ['--expires-at', 'takes ISO 8601 with a zone, such as 2030-01-31T12:00:00Z'],
  metadata: ['--metadata', 'takes a JSON object, without a member named __proto__'],
  allowedNetworks: ['--network', `takes an address or a network (CIDR), up to ${mostNetworks} times`],
  limits: [
    '--limit',
    `takes name=100/60s, up to ${maxLimits} times: a name of a-z, 0-9 and -, 1 to ${maxAdmissions} requests, at most ${maxWindowSeconds / 86_400}d`,
  ],
  credits: [
    '--credits',
    `takes 0 to ${mostCredits}, and a refill 1 to ${mostCredits}, with @ and a day from 1 to 31 if it is monthly`,
  ],
}

const expiryOf = (values: TermValues): string | undefined => {
  const { 'expires-in': life, 'expires-at': time } = values
  if (life === undefined) return time
  if (time !== undefined) throw new UsageError('--expires-in and --expires-at say the same: give one.')
  const length = lengthOf(life)
  if (length === null) throw new UsageError('--expires-in takes a number with s, m, h, d or w, such as 90d.')
  const later = isoTime(systemClock() + length)
  // Beyond the year 9999 it has a sign, and is no time that HTTP takes.
  if (!/^\d/.test(later)) throw new UsageError('--expires-in goes too far.')
  return later
}

const toMonthly = (text: string) => {
  const [amount = '', day, ...rest] = text.split('@')
  return {
    amount: rest.length > 0 ? Number.NaN : wholeNumber(amount),
    interval: 'monthly',
    ...given('dayOfMonth', day, wholeNumber),
  }
}

const creditsOf = (values: TermValues): object | undefined => {
  const { credits, 'refill-daily': daily, 'refill-monthly': monthly } = values
  if (daily !== undefined && monthly !== undefined) {
    throw new UsageError('--refill-daily and --refill-monthly exclude each other: give one.')
  }
  const refill = daily ?? monthly
  if (credits === undefined) {
    if (refill === undefined) return undefined
    throw new UsageError('A refill needs --credits, what there is at first.')
  }
  return {
    remaining: wholeNumber(credits),
    ...given('refill', daily, amount => ({ amount: wholeNumber(amount), interval: 'daily' })),
    ...given('refill', monthly, toMonthly),
  }
}

/** Terms as the body of a request would have them, for a schema to look at. @throws UsageError */
export const termsOf = (values: TermValues): Readonly<Record<string, unknown>> => ({
  ...given('permissions', values.permission, permissions => permissions),
  ...given('expiresAt', expiryOf(values), time => time),
  ...given('metadata', values.metadata, readMetadata),
  ...given('allowedNetworks', values.network, networks => networks),
  ...given('limits', values.limit, limits => limits.map(parseLimit)),
  ...given('credits', creditsOf(values), credits => credits),
})

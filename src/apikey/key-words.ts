import { forTerminal } from '../lib/text.ts'
import type { KeyCredits } from './credit-model.ts'
import type { KeyLimit } from './key-record.ts'
import { formatLimit } from './limit-text.ts'
import type { Refill } from './refill.ts'

const keyTexts = /_[0-9A-Za-z]{65}/g

/** Text that others chose, a name of a key or a file, for a terminal: somebody may have put a key there. */
export const nameOf = (name: string): string => forTerminal(name).replaceAll(keyTexts, '_…')

/** Null for the limits that the service gives to keys without. */
export const limitsText = (limits: readonly KeyLimit[] | null): string => {
  if (limits === null) return 'those of the service'
  return limits.length === 0 ? 'none' : limits.map(formatLimit).join(' ')
}

export const networksText = (networks: readonly string[] | null): string =>
  networks === null ? 'anywhere' : networks.join(' ') || 'none'

const refillText = ({ amount, interval, dayOfMonth }: Refill): string =>
  `${amount} ${interval}${dayOfMonth === null ? '' : `@${dayOfMonth}`}`

/** Balance, refill and when that comes next; null for a key that spends none. */
export const creditsText = (credits: KeyCredits | null, separator = ', '): string => {
  if (credits === null || credits.remaining === null) return 'unmetered'
  const { remaining, refill, nextRefillAt } = credits
  const parts = refill === null ? ['no refill'] : [refillText(refill), `next ${nextRefillAt}`]
  return [remaining, ...parts].join(separator)
}

/** A key among those before and after it. */
export const lineageText = (ids: readonly string[], id: string | null): string =>
  ids.map(one => (one === id ? `[${one}]` : one)).join(' > ')

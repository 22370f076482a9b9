import { isoTimeOrNull } from '../lib/clock.ts'
import type { KeyCredits } from './credit-model.ts'
import { type KeyRecord, type KeyState, stateOf } from './key-record.ts'
import { creditsText, limitsText, lineageText, nameOf, networksText } from './key-words.ts'
import { type ApiKey, toApiKey } from './model.ts'

/** As HTTP has it, and what only the operator sees: keys that are revoked. */
export type KeyView = ApiKey & { readonly state: KeyState; readonly revokedAt: string | null }

export const viewOf = (key: KeyRecord, now: number): KeyView => ({
  ...toApiKey(key),
  state: stateOf(key, now),
  revokedAt: isoTimeOrNull(key.revokedAt),
})

/** A key in one line, for people and `cut`. */
export const lineOf = ({ id, state, ownerId, expiresAt, permissions, name }: KeyView): string =>
  `${[id, state, nameOf(ownerId), expiresAt ?? 'never', permissions.join(' ') || '-', nameOf(name)].join('\t')}\n`

const textOf = (value: unknown): string => {
  if (value === null) return '-'
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** A key in full. */
export const pageOf = (view: KeyView, credits: KeyCredits | null, lineage: readonly string[]): string =>
  Object.entries({
    ...view,
    permissions: view.permissions.join(' ') || '-',
    allowedNetworks: networksText(view.allowedNetworks),
    limits: limitsText(view.limits),
    credits: creditsText(credits),
    lineage: lineageText(lineage, view.id),
  })
    .map(([member, value]) => `${member}\t${nameOf(textOf(value))}\n`)
    .join('')

export const jsonOf = (value: Readonly<Record<string, unknown>>): string => `${JSON.stringify(value)}\n`

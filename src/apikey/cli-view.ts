import { isoTimeOrNull } from '../lib/clock.ts'
import { forTerminal } from '../lib/text.ts'
import { type KeyRecord, type KeyState, stateOf } from './key-record.ts'
import { type ApiKey, toApiKey } from './model.ts'

/** As HTTP has it, and what only the operator sees: keys that are revoked. */
export type KeyView = ApiKey & { readonly state: KeyState; readonly revokedAt: string | null }

export const viewOf = (key: KeyRecord, now: number): KeyView => ({
  ...toApiKey(key),
  state: stateOf(key, now),
  revokedAt: isoTimeOrNull(key.revokedAt),
})

const keyTexts = /_[0-9A-Za-z]{65}/g

/** A name that others chose, of a key or a file, for a terminal: somebody may have put a key there. */
export const nameOf = (name: string): string => forTerminal(name).replaceAll(keyTexts, '_…')

/** A key in one line, for people and `cut`. */
export const lineOf = ({ id, state, ownerId, expiresAt, permissions, name }: KeyView): string =>
  `${[id, state, nameOf(ownerId), expiresAt ?? 'never', permissions.join(' ') || '-', nameOf(name)].join('\t')}\n`

/** A key in full. */
export const pageOf = (view: KeyView): string =>
  Object.entries(view)
    .map(([member, value]) => {
      const isText = typeof value === 'string'
      return `${member}\t${value === null ? '-' : nameOf(isText ? value : JSON.stringify(value))}\n`
    })
    .join('')

export const jsonOf = (value: Readonly<Record<string, unknown>>): string => `${JSON.stringify(value)}\n`

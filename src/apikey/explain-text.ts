import { forTerminal } from '../lib/text.ts'
import type { Check, Explanation } from './explain.ts'

const listOf = (words: readonly string[]): string => (words.length === 0 ? 'none' : words.join(' '))

const sinceOf = ({ since }: Check): string => (since === null ? '' : ` since ${since}`)

const lineOf = (check: Check): string => {
  const { outcome, alsoFails, detail } = check
  const told = outcome === 'not reached' && !alsoFails ? '' : `${detail}${sinceOf(check)}`
  const text = alsoFails ? `also: ${told}` : told
  return `  ${check.check.padEnd(12)}${outcome.padEnd(13)}${text}`.trimEnd()
}

const permissionLines = ({ permissions, feed }: Explanation): string[] => {
  if (permissions === null) return []
  const { key, ownerRoles, ownerScopes, effective } = permissions
  const lines = [`permissions of the key: ${listOf(key)}`]
  if (ownerRoles !== null) {
    lines.push(`roles of its owner: ${listOf(ownerRoles)} (the service narrows the key to what they allow)`)
  }
  if (ownerScopes !== null) lines.push(`scopes of its owner: ${listOf(ownerScopes)}`)
  if (effective !== null) lines.push(`permissions now: ${listOf(effective)}`)
  if (!feed.followed) lines.push('owner: not followed, so the key has all of its permissions')
  return lines
}

const feedLine = ({ feed: { followed, generation, heardAt, secondsSince, stale } }: Explanation): string => {
  if (!followed) return 'change feed: not followed'
  if (heardAt === null) return 'change feed: login was never heard'
  const age = `heard ${secondsSince} s ago (${heardAt}; written every 10 s or so)`
  return `change feed: ${age}, generation ${generation ?? 'none yet'}${stale ? ', STALE' : ''}`
}

/** An explanation for people. */
export const formatExplanation = (explanation: Explanation): string => {
  const { keyId, accepted, status, code, checks, allowedNetworks, key, lineage } = explanation
  const verdict = accepted ? 'accepted' : `refused with ${status} ${code}`
  const lines = [`${keyId ?? 'what was given'}: ${verdict}`, '', ...checks.map(lineOf), '']
  if (key !== null) {
    lines.push(
      `name: ${key.name}`,
      `owner: ${key.ownerId}; made ${key.createdAt} by ${key.createdBy}`,
      `last used: ${key.lastUsedAt ?? 'never, as far as is written'}`,
    )
    lines.push(`allowed networks: ${allowedNetworks === null ? 'anywhere' : listOf(allowedNetworks)}`)
    if (lineage.length > 1) {
      lines.push(`rotations: ${lineage.map(({ id }) => (id === keyId ? `[${id}]` : id)).join(' > ')}`)
    }
  }
  lines.push(...permissionLines(explanation), feedLine(explanation))
  return `${lines.map(forTerminal).join('\n')}\n`
}

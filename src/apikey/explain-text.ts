import type { Explanation } from './explain.ts'
import type { Check } from './explain-checks.ts'
import { creditsText, limitsText, lineageText, nameOf, networksText } from './key-words.ts'

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
  const { keyId, accepted, status, code, checks, allowedNetworks, limits, credits, metadata, key, lineage } =
    explanation
  const verdict = accepted ? 'accepted' : `refused with ${status} ${code}`
  const lines = [`${keyId ?? 'what was given'}: ${verdict}`, '', ...checks.map(lineOf), '']
  if (key !== null) {
    lines.push(
      `name: ${key.name}`,
      `owner: ${key.ownerId}; made ${key.createdAt} by ${key.createdBy}`,
      `last used: ${key.lastUsedAt ?? 'never, as far as is written'}`,
    )
    lines.push(
      `allowed networks: ${networksText(allowedNetworks)}`,
      `limits: ${limitsText(limits)}`,
      `credits: ${creditsText(credits)}`,
    )
    if (metadata !== null) lines.push(`metadata: ${JSON.stringify(metadata)}`)
    if (lineage.length > 1) {
      lines.push(
        `rotations: ${lineageText(
          lineage.map(({ id }) => id),
          keyId,
        )}`,
      )
    }
  }
  lines.push(...permissionLines(explanation), feedLine(explanation))
  return `${lines.map(nameOf).join('\n')}\n`
}

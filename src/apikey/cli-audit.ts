import { readArguments, UsageError } from '../lib/command-line.ts'
import { maximumLimit } from '../lib/cursor.ts'
import { type AuditEntry, AuditListQuery, toAuditEntry } from './audit-model.ts'
import { openParts } from './cli-database.ts'
import { rowLimitOf } from './cli-list.ts'
import { checked, given, inOptions, type OptionWords, timeAgo } from './cli-options.ts'
import { isOwnerId } from './cli-owner.ts'
import { keyIdOf } from './cli-read.ts'
import type { Verb } from './cli-verb.ts'
import { jsonOf } from './cli-view.ts'
import { nameOf } from './key-words.ts'
import { toTime } from './model.ts'
import { type AuditPosition, createAuditTrail } from './store-audit.ts'

const words: OptionWords = {
  action: ['--action', 'takes the name of one, such as api_key.revoked'],
  since: ['--since', 'takes ISO 8601 with a zone, or how long ago: 30d'],
  until: ['--until', 'takes ISO 8601 with a zone, or how long ago: 30d'],
}

/** What was changed, in short: members that say nothing are left out. */
const changesOf = ({ before, after, detail }: AuditEntry): string => {
  const told = Object.entries({ before, after, ...detail }).filter(([, value]) => value !== null)
  return told.length === 0 ? '-' : JSON.stringify(Object.fromEntries(told))
}

const lineOf = (entry: AuditEntry): string => {
  const { at, action, keyId, actorId, address } = entry
  const columns = [at, action, keyId ?? '-', actorId ?? '-', address ?? '-', changesOf(entry)]
  return `${columns.map(nameOf).join('\t')}\n`
}

export const auditVerb: Verb = {
  usage: `Usage: latchkey keys audit [key_...] [--actor ID] [--action api_key.revoked]
         [--since TIME] [--until TIME] [--limit N] [--json]

Tells who did what to keys, or to one, the last first, one a line: time, action, key, who,
from where, and what changed, with tabs between them; with --json an object a line. Who is
not known, on the command line say, is a dash.

  --since TIME, --until TIME   at or after, and before: ISO 8601 with a zone, or how long
                               ago, as 30d (s, m, h, d, w)
`,
  prepare: args => {
    const { values, positionals } = readArguments(args, {
      json: { type: 'boolean' },
      actor: { type: 'string' },
      action: { type: 'string' },
      since: { type: 'string' },
      until: { type: 'string' },
      limit: { type: 'string' },
    })
    const { json = false, actor: actorId } = values
    const keyId = positionals.length === 0 ? undefined : keyIdOf(positionals)
    if (actorId !== undefined && !isOwnerId(actorId)) {
      throw new UsageError('--actor takes the id of a user, a service account or a key.')
    }
    const most = rowLimitOf(values.limit)
    const query = checked(
      AuditListQuery,
      {
        ...given('action', values.action, action => action),
        ...given('since', values.since, timeAgo),
        ...given('until', values.until, timeAgo),
      },
      words,
    )
    const filter = inOptions(words, () => ({
      ownerId: null,
      keyId,
      actorId,
      action: query.action,
      since: toTime('since', query.since),
      until: toTime('until', query.until),
    }))

    return async ({ env, print }) => {
      using parts = openParts(env, 'read')
      const { list } = createAuditTrail({ database: parts.database })
      let left = most
      let after: AuditPosition | null = null
      do {
        const page: Awaited<ReturnType<typeof list>> = await list({
          ...filter,
          limit: Math.min(maximumLimit, left),
          after,
        })
        const entries = page.items.map(row => toAuditEntry(row, null))
        if (entries.length > 0) await print(entries.map(json ? jsonOf : lineOf).join(''))
        left -= entries.length
        after = page.next
      } while (after !== null && left > 0)
      return 0
    }
  },
}

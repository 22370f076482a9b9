import { systemClock } from '../lib/clock.ts'
import { readArguments, UsageError } from '../lib/command-line.ts'
import { maximumLimit, type Position } from '../lib/cursor.ts'
import { openParts } from './cli-database.ts'
import { checked, given, inOptions, type OptionWords, timeAgo, timeAhead } from './cli-options.ts'
import { isOwnerId } from './cli-owner.ts'
import type { Verb } from './cli-verb.ts'
import { jsonOf, lineOf, viewOf } from './cli-view.ts'
import { keyStatuses } from './list-filter.ts'
import { ListQuery, toFilter } from './list-model.ts'

const mostListed = 1_000_000_000

/** How many rows are asked for at most. @throws UsageError */
export const rowLimitOf = (text: string | undefined): number => {
  if (text === undefined) return mostListed
  const limit = /^\d{1,9}$/.test(text) ? Number(text) : 0
  if (limit > 0) return limit
  throw new UsageError('--limit takes a number from 1.')
}

const times = 'takes ISO 8601 with a zone, or how long'

const words: OptionWords = {
  status: ['--status', `takes one of ${keyStatuses.join(', ')} and all`],
  name: ['--name', 'takes 1 to 100 characters that can be printed'],
  permission: ['--permission', 'takes resource:action in lower case'],
  expiringBefore: ['--expiring-before', `${times} from now: 30d`],
  unusedSince: ['--unused-since', `${times} ago: 30d`],
  usedSince: ['--used-since', `${times} ago: 30d`],
}

export const listVerb: Verb = {
  usage: `Usage: latchkey keys list [--owner ID] [--status active|disabled|expired|rotated|revoked|all]
         [--name TEXT] [--permission resource:action] [--expiring-before TIME]
         [--never-used] [--unused-since TIME] [--used-since TIME] [--limit N] [--json]

Lists keys, the oldest first, one a line: id, state, owner, expiry, permissions, name, with
tabs between them; with --json an object a line. What is given must hold together.

  --status S              without it all that are not revoked; rotated are those that were
                          replaced, good for some time more or not
  --name TEXT             part of the name, in any case of its letters
  --permission P          what the key may do by its own permissions
  --expiring-before TIME  ISO 8601 with a zone, or in how long, as 30d (s, m, h, d, w)
  --unused-since TIME     last used before, or made before and never used: what may be
                          superfluous. ISO 8601 with a zone, or how long ago, as 90d
  --used-since TIME       good now and used since: what would be missed

When a key was used, a running service writes within a minute or so.
`,
  prepare: args => {
    const { values, positionals } = readArguments(args, {
      json: { type: 'boolean' },
      owner: { type: 'string' },
      limit: { type: 'string' },
      status: { type: 'string' },
      name: { type: 'string' },
      permission: { type: 'string' },
      'expiring-before': { type: 'string' },
      'never-used': { type: 'boolean' },
      'unused-since': { type: 'string' },
      'used-since': { type: 'string' },
    })
    const { json = false, owner: ownerId, limit, status, name, permission } = values
    if (positionals.length > 0) throw new UsageError('list takes options alone.')
    if (ownerId !== undefined && !isOwnerId(ownerId)) {
      throw new UsageError('--owner takes the id of a user or a service account.')
    }
    const most = rowLimitOf(limit)
    const scope = ownerId === undefined ? 'all' : { ownerId }
    const query = checked(
      ListQuery,
      {
        ...given('status', status, text => text),
        ...given('name', name, text => text),
        ...given('permission', permission, text => text),
        ...given('neverUsed', values['never-used'], String),
        ...given('expiringBefore', values['expiring-before'], timeAhead),
        ...given('unusedSince', values['unused-since'], timeAgo),
        ...given('usedSince', values['used-since'], timeAgo),
      },
      words,
    )
    const filter = inOptions(words, () => toFilter(query))

    return async ({ env, print }) => {
      using parts = openParts(env, 'read')
      let left = most
      let after: Position | null = null
      do {
        const page: Awaited<ReturnType<typeof parts.store.list>> = await parts.store.list({
          ...filter,
          scope,
          limit: Math.min(maximumLimit, left),
          after,
        })
        const now = systemClock()
        const lines = page.items.map(key => (json ? jsonOf : lineOf)(viewOf(key, now)))
        if (lines.length > 0) await print(lines.join(''))
        left -= page.items.length
        after = page.next
      } while (after !== null && left > 0)
      return 0
    }
  },
}

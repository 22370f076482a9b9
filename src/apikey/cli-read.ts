import { systemClock } from '../lib/clock.ts'
import { readArguments, UsageError } from '../lib/command-line.ts'
import { maximumLimit, type Position } from '../lib/cursor.ts'
import { Failure } from '../lib/failure.ts'
import { openParts } from './cli-database.ts'
import { isOwnerId } from './cli-owner.ts'
import type { Verb } from './cli-verb.ts'
import { jsonOf, lineOf, pageOf, viewOf } from './cli-view.ts'
import type { KeyCode } from './errors.ts'

const idForm = /^key_[0-9A-Za-z]{16}$/

export const isKeyId = (text: string | undefined): text is string => text !== undefined && idForm.test(text)

/** The one id that stands after a verb. @throws UsageError, which does not repeat it: it may be a key. */
export const keyIdOf = (positionals: readonly string[]): string => {
  const [id, ...rest] = positionals
  if (rest.length === 0 && isKeyId(id)) return id
  throw new UsageError('There must be one id of a key: key_ and 16 characters.')
}

const mostListed = 1_000_000_000

const limitOf = (text: string | undefined): number => {
  if (text === undefined) return mostListed
  const limit = /^\d{1,9}$/.test(text) ? Number(text) : 0
  if (limit > 0) return limit
  throw new UsageError('--limit takes a number from 1.')
}

export const listVerb: Verb = {
  usage: `Usage: latchkey keys list [--owner ID] [--limit N] [--json]

Lists keys that are not revoked, the oldest first, one a line: id, state, owner, expiry,
permissions, name, with tabs between them; with --json an object a line.
`,
  prepare: args => {
    const { values, positionals } = readArguments(args, {
      json: { type: 'boolean' },
      owner: { type: 'string' },
      limit: { type: 'string' },
    })
    const { json = false, owner: ownerId, limit } = values
    if (positionals.length > 0) throw new UsageError('list takes options alone.')
    if (ownerId !== undefined && !isOwnerId(ownerId)) {
      throw new UsageError('--owner takes the id of a user or a service account.')
    }
    const most = limitOf(limit)
    const scope = ownerId === undefined ? 'all' : { ownerId }

    return async ({ env, print }) => {
      using parts = openParts(env, 'read')
      let listed = 0
      let after: Position | null = null
      do {
        const page: Awaited<ReturnType<typeof parts.store.list>> = await parts.store.list({
          scope,
          limit: Math.min(maximumLimit, most - listed),
          after,
        })
        const now = systemClock()
        const lines = page.items.map(key => (json ? jsonOf : lineOf)(viewOf(key, now)))
        if (lines.length > 0) await print(lines.join(''))
        listed += page.items.length
        after = page.next
      } while (after !== null && listed < most)
      return 0
    }
  },
}

export const showVerb: Verb = {
  usage: `Usage: latchkey keys show key_... [--json]

Shows a key, revoked or not. The key itself is nowhere kept.
`,
  prepare: args => {
    const { values, positionals } = readArguments(args, { json: { type: 'boolean' } })
    const id = keyIdOf(positionals)
    return async ({ env, print }) => {
      using parts = openParts(env, 'read')
      const found = await parts.store.findCredential(id)
      if (found === null) throw new Failure<KeyCode>('api_key_not_found')
      const view = viewOf(found.key, systemClock())
      await print(values.json ? jsonOf(view) : pageOf(view))
      return 0
    }
  },
}

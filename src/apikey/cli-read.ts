import { systemClock } from '../lib/clock.ts'
import { readArguments, UsageError } from '../lib/command-line.ts'
import { Failure } from '../lib/failure.ts'
import { openParts } from './cli-database.ts'
import type { Verb } from './cli-verb.ts'
import { jsonOf, pageOf, viewOf } from './cli-view.ts'
import { toKeyCredits } from './credit-model.ts'
import type { KeyCode } from './errors.ts'

const idForm = /^key_[0-9A-Za-z]{16}$/

export const isKeyId = (text: string | undefined): text is string => text !== undefined && idForm.test(text)

/** The one id that stands after a verb. @throws UsageError, which does not repeat it: it may be a key. */
export const keyIdOf = (positionals: readonly string[]): string => {
  const [id, ...rest] = positionals
  if (rest.length === 0 && isKeyId(id)) return id
  throw new UsageError('There must be one id of a key: key_ and 16 characters.')
}

export const showVerb: Verb = {
  usage: `Usage: latchkey keys show key_... [--json]

Shows a key, revoked or not, with what it may spend now and what it was rotated from and
into. The key itself is nowhere kept.
`,
  prepare: args => {
    const { values, positionals } = readArguments(args, { json: { type: 'boolean' } })
    const id = keyIdOf(positionals)
    return async ({ env, print }) => {
      using parts = openParts(env, 'read')
      const found = await parts.store.findCredential(id)
      if (found === null) throw new Failure<KeyCode>('api_key_not_found')
      const now = systemClock()
      const view = viewOf(found.key, now)
      const balance = parts.rows.credits(found.key, now)
      const credits = balance === null ? null : toKeyCredits(balance)
      const lineage = parts.rows.lineage(found.key).map(key => key.id)
      await print(values.json ? jsonOf({ ...view, credits, lineage }) : pageOf(view, credits, lineage))
      return 0
    }
  },
}

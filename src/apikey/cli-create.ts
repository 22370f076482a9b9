import { bySystem } from '../lib/audit.ts'
import { systemClock } from '../lib/clock.ts'
import { readArguments, UsageError } from '../lib/command-line.ts'
import { openParts } from './cli-database.ts'
import { checked, inOptions } from './cli-options.ts'
import { checkOwner, everything, isOwnerId } from './cli-owner.ts'
import { noCeilings, termForms, termsOf, termUsage, termWords } from './cli-terms.ts'
import type { Verb } from './cli-verb.ts'
import { jsonOf, viewOf } from './cli-view.ts'
import { nameOf } from './key-words.ts'
import { CreateKeyBody, toExpiry } from './model.ts'
import { toTerms } from './terms.ts'

const usage = `Usage: latchkey keys create --name NAME --owner ID [--permission resource:action]...
         [--expires-in 90d | --expires-at TIME] [--metadata JSON|@FILE] [--network CIDR]...
         [--limit NAME=100/60s]... [--credits N [--refill-daily N | --refill-monthly N[@DAY]]]
         [--json]

Makes a key and prints it on standard output, this once; what else there is to say goes to
standard error. Without an expiry it never expires, without a network it may be used from
anywhere, without limits it has those of the service, without credits it spends none.

  --owner ID         usr_... or cli_...: one who is active, as far as the service has heard
${termUsage}`

export const createVerb: Verb = {
  usage,
  prepare: args => {
    const { values, positionals } = readArguments(args, {
      ...termForms,
      json: { type: 'boolean' },
      name: { type: 'string' },
      owner: { type: 'string' },
    })
    const { json = false, name = '', owner: ownerId } = values
    if (positionals.length > 0) throw new UsageError('create takes options alone.')
    if (!isOwnerId(ownerId)) throw new UsageError('--owner takes the id of a user or a service account.')
    const body = checked(CreateKeyBody, { name, ownerId, ...termsOf(values) }, termWords)
    const { permissions = [], expiresAt, ...others } = body
    const input = inOptions(termWords, () => ({
      ...toTerms(others, noCeilings),
      ownerId,
      permissions,
      expiresAt: toExpiry(expiresAt, systemClock) ?? null,
    }))

    return async ({ env, print, note }) => {
      using parts = openParts(env, 'write')
      for (const line of checkOwner(parts.rows, ownerId, permissions)) note(line)
      const { key, text } = await parts.keys.create(input, everything, bySystem)
      // Before the key itself: should that reach nobody, this one can be revoked.
      note(`${key.id} for ${nameOf(key.ownerId)}`)
      await print(json ? jsonOf({ ...viewOf(key, systemClock()), key: text }) : `${text}\n`)
      return 0
    }
  },
}

import { Value } from '@sinclair/typebox/value'
import { bySystem } from '../lib/audit.ts'
import { isoTime, systemClock } from '../lib/clock.ts'
import { readArguments, UsageError } from '../lib/command-line.ts'
import { Failure } from '../lib/failure.ts'
import { isPermission } from '../lib/permission.ts'
import { openParts } from './cli-database.ts'
import { checkOwner, everything, isOwnerId } from './cli-owner.ts'
import type { Verb } from './cli-verb.ts'
import { jsonOf, nameOf, viewOf } from './cli-view.ts'
import { CreateKeyBody, toExpiry } from './model.ts'

const usage = `Usage: latchkey keys create --name NAME --owner ID [--permission resource:action]...
         [--expires-in 90d | --expires-at TIME] [--json]

Makes a key and prints it on standard output, this once; what else there is to say goes to
standard error.

  --owner ID         usr_... or cli_...: one who is active, as far as the service has heard
  --permission P     what the key may do, where its owner may: resource:action, * for any
  --expires-in N     a number with s, m, h, d or w; without it the key never expires
  --expires-at TIME  ISO 8601 with a zone
`

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 }

const toLater = (text: string): string | null => {
  const [, number, unit = ''] = /^([1-9]\d{0,5})([smhdw])$/.exec(text) ?? []
  return number === undefined
    ? null
    : isoTime(systemClock() + Number(number) * (unitSeconds[unit] ?? 0) * 1_000)
}

/** ISO 8601; null for never. */
const expiryOf = (life: string | undefined, time: string | undefined): string | null => {
  if (life !== undefined && time !== undefined) {
    throw new UsageError('--expires-in and --expires-at say the same: give one.')
  }
  if (life === undefined) return time ?? null
  const later = toLater(life)
  if (later === null) throw new UsageError('--expires-in takes a number with s, m, h, d or w, such as 90d.')
  return later
}

const toTime = (expiresAt: string | null): number | null => {
  try {
    return toExpiry(expiresAt, systemClock) ?? null
  } catch (error) {
    if (error instanceof Failure) throw new UsageError('--expires-at takes a time that is yet to come.')
    throw error
  }
}

export const createVerb: Verb = {
  usage,
  prepare: args => {
    const { values, positionals } = readArguments(args, {
      json: { type: 'boolean' },
      name: { type: 'string' },
      owner: { type: 'string' },
      permission: { type: 'string', multiple: true },
      'expires-in': { type: 'string' },
      'expires-at': { type: 'string' },
    })
    const { json = false, name, owner: ownerId, permission: permissions = [] } = values
    if (positionals.length > 0) throw new UsageError('create takes options alone.')
    if (!isOwnerId(ownerId)) throw new UsageError('--owner takes the id of a user or a service account.')
    if (!permissions.every(isPermission)) {
      throw new UsageError('--permission takes resource:action in lower case, * for any.')
    }
    const expiresAt = expiryOf(values['expires-in'], values['expires-at'])
    // What HTTP takes, by the same schema.
    const [fault] = Value.Errors(CreateKeyBody, { name, ownerId, permissions, expiresAt })
    const option: Readonly<Record<string, string>> = {
      '/name': '--name takes 1 to 100 characters that can be printed.',
      '/permissions': '--permission can be given 100 times.',
      '/expiresAt': '--expires-at takes ISO 8601 with a zone, such as 2030-01-31T12:00:00Z.',
    }
    if (fault !== undefined || name === undefined) {
      throw new UsageError(
        option[fault?.path ?? '/name'] ?? 'There is an option with a value that can not be.',
      )
    }
    const input = { name, ownerId, permissions, expiresAt: toTime(expiresAt) }

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

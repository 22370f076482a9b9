import { bySystem } from '../lib/audit.ts'
import { systemClock } from '../lib/clock.ts'
import { readArguments, UsageError } from '../lib/command-line.ts'
import { allows } from '../lib/permission.ts'
import { openParts } from './cli-database.ts'
import { checked, given, inOptions } from './cli-options.ts'
import { checkOwner, everything } from './cli-owner.ts'
import { keyIdOf } from './cli-read.ts'
import { noCeilings, termForms, termsOf, termUsage, termWords } from './cli-terms.ts'
import type { Verb } from './cli-verb.ts'
import { jsonOf, lineOf, viewOf } from './cli-view.ts'
import { ChangeKeyBody, toExpiry } from './model.ts'
import { toTerms } from './terms.ts'

const usage = `Usage: latchkey keys change key_... [--name NAME] [--enable | --disable]
         [--permission resource:action]... [--expires-in 90d | --expires-at TIME]
         [--metadata JSON|@FILE] [--network CIDR]... [--limit NAME=100/60s]...
         [--credits N [--refill-daily N | --refill-monthly N[@DAY]]] [--json]

Changes what is named and keeps the rest. What can be given several times takes the place of
all that was there. Each has an option that clears it:

  --no-permissions   it may do nothing
  --no-expiry        it never expires
  --no-metadata
  --no-networks      it may be used from anywhere
  --no-limits        it has the limits of the service
  --no-credits       it spends none

${termUsage}
--credits sets the refill too: without one there is none. \`latchkey keys credits\` keeps it.
`

/** What an option without a value puts in the place of a member: null clears. */
const clearing = [
  ['no-permissions', 'permissions', []],
  ['no-expiry', 'expiresAt', null],
  ['no-metadata', 'metadata', null],
  ['no-networks', 'allowedNetworks', null],
  ['no-limits', 'limits', null],
  ['no-credits', 'credits', null],
] as const

const flag = { type: 'boolean' } as const

/** The body that PATCH would have. @throws UsageError for a mistake, or where nothing is to be changed. */
const readChanges = (args: readonly string[]) => {
  const { values, positionals } = readArguments(args, {
    ...termForms,
    json: flag,
    name: { type: 'string' },
    enable: flag,
    disable: flag,
    'no-permissions': flag,
    'no-expiry': flag,
    'no-metadata': flag,
    'no-networks': flag,
    'no-limits': flag,
    'no-credits': flag,
  })
  const { json = false, name, enable, disable } = values
  const id = keyIdOf(positionals)
  if (enable && disable) throw new UsageError('--enable and --disable exclude each other: give one.')
  const terms = termsOf(values)
  const cleared = clearing.filter(([option]) => values[option])
  for (const [option, member] of cleared) {
    if (!Object.hasOwn(terms, member)) continue
    throw new UsageError(`--${option} and ${termWords[member]?.[0]} exclude each other: give one.`)
  }
  const body = {
    ...terms,
    ...given('name', name, text => text),
    ...given('enabled', enable ?? (disable ? false : undefined), enabled => enabled),
    ...Object.fromEntries(cleared.map(([, member, value]) => [member, value])),
  }
  if (Object.keys(body).length === 0) throw new UsageError('There is nothing to change.')
  return { id, json, body: checked(ChangeKeyBody, body, termWords) }
}

export const changeVerb: Verb = {
  usage,
  prepare: args => {
    const { id, json, body } = readChanges(args)
    const { expiresAt, ...others } = body
    const changes = inOptions(termWords, () => ({
      ...toTerms(others, noCeilings),
      ...(expiresAt === undefined ? {} : { expiresAt: toExpiry(expiresAt, systemClock) ?? null }),
    }))
    const { permissions: wanted = [] } = body

    return async ({ env, print, note }) => {
      using parts = openParts(env, 'write')
      const { ownerId, permissions } = await parts.store.find(id, 'all')
      // To take away must be possible for a key whose owner is gone, too.
      if (!wanted.every(permission => allows(permissions, permission))) {
        for (const line of checkOwner(parts.rows, ownerId, wanted)) note(line)
      }
      const key = await parts.keys.change(id, { ownerId }, changes, everything, bySystem)
      await print((json ? jsonOf : lineOf)(viewOf(key, systemClock())))
      return 0
    }
  },
}

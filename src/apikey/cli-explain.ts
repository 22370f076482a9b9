import { systemClock } from '../lib/clock.ts'
import { readArguments, readShort, UsageError } from '../lib/command-line.ts'
import type { Env } from '../lib/config.ts'
import { parseAddress } from '../lib/networks.ts'
import { isPermission } from '../lib/permission.ts'
import { openParts } from './cli-database.ts'
import { wholeNumber } from './cli-options.ts'
import { keyIdOf } from './cli-read.ts'
import type { Verb } from './cli-verb.ts'
import { explainKey } from './explain.ts'
import type { Presented } from './explain-checks.ts'
import { formatExplanation } from './explain-text.ts'

const usage = `Usage: latchkey keys explain [key_...] [--permission resource:action]
                                   [--address IP] [--cost N] [--json]

Says of a key what the service does with it now: each check in order, passed or failed, and
since when. The key itself comes on standard input, never as an argument, where others on
the machine could read it; a name (key_...) is explained without a look at the secret.
A key with allowed networks is judged by them for a caller at --address, and one with credits
by its balance for a request that costs N. What its limits have counted is not known here.

Exit code: 0 for a key that is let in, 1 for one that is not, 2 where that can't be said.
`

/** What is no key at all is explained as well. */
const mostInput = 65_536

const maxStalenessOf = ({ MAX_STALENESS_SECONDS: text = '' }: Env): number =>
  /^\d{1,9}$/.test(text) ? Number(text) : 300

export const explainVerb: Verb = {
  usage,
  prepare: args => {
    const { values, positionals } = readArguments(args, {
      json: { type: 'boolean' },
      permission: { type: 'string' },
      address: { type: 'string' },
      cost: { type: 'string' },
    })
    const { json = false, permission = null, address = null } = values
    if (address !== null && parseAddress(address) === null) {
      throw new UsageError('--address takes one IPv4 or IPv6 address.')
    }
    if (permission !== null && !isPermission(permission)) {
      throw new UsageError('--permission takes resource:action in lower case.')
    }
    const cost = values.cost === undefined ? null : wholeNumber(values.cost)
    if (Number.isNaN(cost)) throw new UsageError('--cost takes a number of credits, from 0.')
    const id = positionals.length === 0 ? null : keyIdOf(positionals)

    return async ({ env, stdin, print }) => {
      const text = id === null ? await readShort(stdin, mostInput) : null
      if (id === null && (text === null || text === '')) {
        throw new UsageError('There is no key on standard input.')
      }
      const presented: Presented = id === null ? { text: text ?? '' } : { id }
      using parts = openParts(env, 'read')
      const explanation = await explainKey(presented, {
        rows: parts.rows,
        clock: systemClock,
        permission,
        address,
        cost,
        maxStalenessSeconds: maxStalenessOf(env),
        staleMode: env.STALE_MODE === 'deny' ? 'deny' : 'allow',
      })
      await print(json ? `${JSON.stringify(explanation, null, 2)}\n` : formatExplanation(explanation))
      return explanation.accepted ? 0 : 1
    }
  },
}

import { bySystem } from '../lib/audit.ts'
import { readArguments, UsageError } from '../lib/command-line.ts'
import { Failure } from '../lib/failure.ts'
import { openParts, type Parts } from './cli-database.ts'
import { checked, given, inOptions, type OptionWords, wholeNumber } from './cli-options.ts'
import { keyIdOf } from './cli-read.ts'
import type { Verb } from './cli-verb.ts'
import { jsonOf } from './cli-view.ts'
import { ChangeCreditsBody, toCreditChange, toKeyCredits } from './credit-model.ts'
import { mostCredits } from './credit-rows.ts'
import { creditsText } from './key-words.ts'
import type { CreditChange, Credits } from './store-credits.ts'

const words: OptionWords = {
  set: ['--set', `takes a number from 0 to ${mostCredits}`],
  add: ['--add', `takes a number from 1 to ${mostCredits}`],
  subtract: ['--subtract', `takes a number from 1 to ${mostCredits}`],
  body: ['Of --set, --add and --subtract', 'one can be given'],
}

/** What the balance itself does not allow is no mistake of the command line, and yet told by its option. */
const apply = async ({ store }: Parts, id: string, change: CreditChange): Promise<Credits | null> => {
  try {
    return await store.changeCredits(id, 'all', change, bySystem)
  } catch (error) {
    if (!(error instanceof Failure) || error.code !== 'invalid_request') throw error
    const errors = error.errors?.map(({ field, rule }) => ({ field: words[field]?.[0] ?? field, rule })) ?? []
    throw new Failure(error.code, { errors, cause: error })
  }
}

export const creditsVerb: Verb = {
  usage: `Usage: latchkey keys credits key_... [--set N | --add N | --subtract N] [--json]

Tells what a key and its successors may still spend, or changes it: id, balance, refill and
when that comes next, with tabs between them. --subtract ends at 0. The refill stays as it
is; \`latchkey keys change\` sets it. A key without credits gets them by --set.
`,
  prepare: args => {
    const { values, positionals } = readArguments(args, {
      json: { type: 'boolean' },
      set: { type: 'string' },
      add: { type: 'string' },
      subtract: { type: 'string' },
    })
    const id = keyIdOf(positionals)
    const body = checked(
      ChangeCreditsBody,
      {
        ...given('set', values.set, wholeNumber),
        ...given('add', values.add, wholeNumber),
        ...given('subtract', values.subtract, wholeNumber),
      },
      words,
    )
    if (Object.keys(body).length > 1) throw new UsageError('Of --set, --add and --subtract one can be given.')
    const change = Object.keys(body).length === 0 ? null : inOptions(words, () => toCreditChange(body))

    return async ({ env, print }) => {
      using parts = openParts(env, change === null ? 'read' : 'write')
      const credits = change === null ? await parts.store.credits(id, 'all') : await apply(parts, id, change)
      const told = toKeyCredits(credits)
      await print(values.json ? jsonOf({ id, ...told }) : `${id}\t${creditsText(told, '\t')}\n`)
      return 0
    }
  },
}

import type { Static, TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { isoTime, systemClock } from '../lib/clock.ts'
import { UsageError } from '../lib/command-line.ts'
import { Failure } from '../lib/failure.ts'

/** The options behind the members of a body or a query of HTTP: their names, and what they take. */
export type OptionWords = Readonly<Record<string, readonly [option: string, takes: string]>>

const memberOf = (path: string): string => path.replace(/^\//, '').split('/')[0] ?? ''

/** What HTTP takes, by the same schema. @throws UsageError that names the option, and repeats no value. */
export const checked = <Schema extends TSchema>(
  schema: Schema,
  value: unknown,
  words: OptionWords,
): Static<Schema> => {
  if (Value.Check(schema, value)) return value
  const [fault] = Value.Errors(schema, value)
  const told = words[memberOf(fault?.path ?? '')]
  throw new UsageError(
    told === undefined ? 'There is an option with a value that can not be.' : `${told.join(' ')}.`,
  )
}

/** What code of HTTP refuses, told as a mistake of the command line. @throws UsageError that names the option. */
export const inOptions = <Result>(words: OptionWords, read: () => Result): Result => {
  try {
    return read()
  } catch (error) {
    const [fault] = error instanceof Failure ? (error.errors ?? []) : []
    const [option] = words[memberOf(fault?.field ?? '')] ?? []
    if (fault === undefined || option === undefined) throw error
    throw new UsageError(`${option} ${fault.rule}.`)
  }
}

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 }

/** A length of time, as in `90d`, in milliseconds; null for anything else. */
export const lengthOf = (text: string): number | null => {
  const [, number, unit = ''] = /^([1-9]\d{0,5})([smhdw])$/.exec(text) ?? []
  return number === undefined ? null : Number(number) * (unitSeconds[unit] ?? 0) * 1_000
}

/** A time, or how long it is from now, as text that a schema looks at. */
const timeFromNow = (text: string, direction: 1 | -1): string => {
  const length = lengthOf(text)
  return length === null ? text : isoTime(systemClock() + direction * length)
}

/** A time that is ahead: `30d` is in 30 days. */
export const timeAhead = (text: string): string => timeFromNow(text, 1)

/** A time that has been: `30d` is 30 days ago. */
export const timeAgo = (text: string): string => timeFromNow(text, -1)

/** Only what was given. */
export const given = <Name extends string, Given, Value>(
  name: Name,
  value: Given | undefined,
  read: (value: Given) => Value,
): { readonly [Key in Name]?: Value } => {
  const members: { [Key in Name]?: Value } = {}
  if (value !== undefined) members[name] = read(value)
  return members
}

/** A whole number from 0, of at most 13 digits; else NaN, which no schema takes. */
export const wholeNumber = (text: string): number => (/^\d{1,13}$/.test(text) ? Number(text) : Number.NaN)

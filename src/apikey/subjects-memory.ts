import type { SubjectState } from '../lib/changes-schema.ts'
import type { Subjects } from './subjects.ts'

/** A subject as the feed left it. Lists are shared between subjects: never change one. */
export type Subject = SubjectState & {
  readonly id: string
  /** The change that left it so, within its epoch. */
  readonly sequence: number
  readonly epoch: number
  /** When that was heard of here, milliseconds since the epoch. */
  readonly changedAt: number
}

const maxLists = 10_000

/** Gives the list that a text stands for, the same one for the same text. */
export type Lists = (text: string, parse: (text: string) => string[]) => string[]

/** Makes equal lists one object: a hundred thousand users have a handful of sets of roles. */
export const createLists = (): Lists => {
  const lists = new Map<string, string[]>()
  return (text, parse) => {
    const known = lists.get(text)
    if (known !== undefined) return known
    const made = parse(text)
    // What is in use stays with those who use it.
    if (lists.size >= maxLists) lists.clear()
    lists.set(text, made)
    return made
  }
}

/** Whether something told in this epoch and by this change is newer than what is known. */
export const isNewer = (
  known: Pick<Subject, 'epoch' | 'sequence'> | undefined,
  { epoch, sequence }: Pick<Subject, 'epoch' | 'sequence'>,
): boolean =>
  known === undefined || known.epoch < epoch || (known.epoch === epoch && known.sequence < sequence)

/** All that the feed told, as it is asked for on the path of every request. */
export type SubjectMemory = Subjects & {
  readonly subjects: Map<string, Subject>
  /** Ids of what ended, and until when (milliseconds since the epoch) that has to be remembered. */
  readonly ended: Map<string, number>
}

export const createSubjectMemory = (): SubjectMemory => {
  const subjects = new Map<string, Subject>()
  const ended = new Map<string, number>()
  return {
    subjects,
    ended,
    find: id => subjects.get(id) ?? null,
    isEnded: id => ended.has(id),
  }
}

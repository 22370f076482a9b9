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

/** Whether what a subject may do is the same: lists are shared, so equal ones are one. */
export const isSameState = (before: Subject | undefined, after: Omit<Subject, 'changedAt'>): boolean =>
  before?.status === after.status &&
  before.roles === after.roles &&
  before.scopes === after.scopes &&
  before.tokensSince === after.tokensSince

/** All that the feed told, as it is asked for on the path of every request. */
export type SubjectMemory = Subjects & {
  readonly subjects: ReadonlyMap<string, Subject>
  /** Ids of what ended, and until when (milliseconds since the epoch) that has to be remembered. */
  readonly ended: ReadonlyMap<string, number>
  set(subject: Subject): void
  end(id: string, expiresAt: number): void
  forget(id: string): void
  clearSubjects(): void
}

/**
 * Told of what no longer stands as it did, in the step that changes it: a subject, or what ended, by its id; null where
 * that may be anything.
 */
export type ChangeListener = (id: string | null) => void

export const createSubjectMemory = (onChange: ChangeListener): SubjectMemory => {
  const subjects = new Map<string, Subject>()
  const ended = new Map<string, number>()
  return {
    subjects,
    ended,
    find: id => subjects.get(id) ?? null,
    isEnded: id => ended.has(id),
    set: subject => {
      const isSame = isSameState(subjects.get(subject.id), subject)
      subjects.set(subject.id, subject)
      if (!isSame) onChange(subject.id)
    },
    end: (id, expiresAt) => {
      const isNew = !ended.has(id)
      ended.set(id, expiresAt)
      if (isNew) onChange(id)
    },
    forget: id => {
      ended.delete(id)
    },
    clearSubjects: () => {
      subjects.clear()
      onChange(null)
    },
  }
}

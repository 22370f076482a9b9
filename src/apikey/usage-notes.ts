import { type RefusedOutcome, refusedOutcomes, type UsageOutcome } from './usage-outcomes.ts'
import type { KeyUses } from './usage-store.ts'

/** What is not written yet of the uses of a key on one day. It is changed in place: nothing is made on the path of a request. */
export type Note = {
  accepted: number
  /** Milliseconds; null where it was only refused. */
  lastUsedAt: number | null
  lastUsedAddress: string | null
  refused: Partial<Record<RefusedOutcome, number>> | null
}

export const dayMilliseconds = 86_400_000

export const dayOf = (milliseconds: number): number => Math.floor(milliseconds / dayMilliseconds)

/** The notes of a day (UTC) by key, oldest first. */
export type Sheet = {
  readonly day: number
  readonly startsAt: number
  readonly endsAt: number
  readonly notes: Map<string, Note>
  /** Where {@link takeOldest} is: to look from the start would be to step over all that was taken before. */
  reader: Iterator<[string, Note]>
}

export const createSheet = (day: number): Sheet => {
  const notes = new Map<string, Note>()
  const startsAt = day * dayMilliseconds
  return { day, startsAt, endsAt: startsAt + dayMilliseconds, notes, reader: notes.entries() }
}

export const createNote = (): Note => ({
  accepted: 0,
  lastUsedAt: null,
  lastUsedAddress: null,
  refused: null,
})

export const addUse = (note: Note, outcome: UsageOutcome, address: string | null, now: number): void => {
  if (outcome === 'accepted') {
    note.accepted += 1
    // The clock may have been put back.
    if (note.lastUsedAt !== null && now < note.lastUsedAt) return
    note.lastUsedAt = now
    note.lastUsedAddress = address
    return
  }
  note.refused ??= {}
  note.refused[outcome] = (note.refused[outcome] ?? 0) + 1
}

/** Takes the note that was begun first off a sheet; null when there is none. */
export const takeOldest = (sheet: Sheet): [string, Note] | null => {
  let next = sheet.reader.next()
  if (next.done === true) {
    // One that came to its end stays there, whatever is added.
    sheet.reader = sheet.notes.entries()
    next = sheet.reader.next()
  }
  if (next.done === true) return null
  sheet.notes.delete(next.value[0])
  return next.value
}

const refusals = ({ refused }: Note): { outcome: RefusedOutcome; uses: number }[] =>
  refused === null
    ? []
    : refusedOutcomes.flatMap(outcome => {
        const uses = refused[outcome]
        return uses === undefined ? [] : [{ outcome, uses }]
      })

/** Puts a note back that could not be written. Since it was taken another may have been begun, which then has both. */
export const putBack = ({ notes }: Sheet, id: string, note: Note): void => {
  const later = notes.get(id)
  if (later === undefined) {
    notes.set(id, note)
    return
  }
  later.accepted += note.accepted
  if (later.lastUsedAt === null) {
    later.lastUsedAt = note.lastUsedAt
    later.lastUsedAddress = note.lastUsedAddress
  }
  for (const { outcome, uses } of refusals(note)) {
    later.refused ??= {}
    later.refused[outcome] = (later.refused[outcome] ?? 0) + uses
  }
}

/** How many uses a note stands for. */
export const usesIn = (note: Note): number =>
  refusals(note).reduce((sum, { uses }) => sum + uses, note.accepted)

/** A note as the store takes it. */
export const toKeyUses = (id: string, day: number, note: Note): KeyUses => ({
  id,
  day,
  lastUsedAt: note.lastUsedAt,
  lastUsedAddress: note.lastUsedAddress,
  counts: [
    ...(note.accepted === 0 ? [] : [{ outcome: 'accepted' as const, uses: note.accepted }]),
    ...refusals(note),
  ],
})

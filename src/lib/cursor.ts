import { Failure } from './failure.ts'

/** The last row of a page, by which the next one starts: keyset paging on (createdAt, id). */
export type Position = { readonly createdAt: number; readonly id: string }

export type Page<Item> = { readonly items: readonly Item[]; readonly next: Position | null }

export const defaultLimit = 50
export const maximumLimit = 200

const invalid = () =>
  new Failure('cursor_invalid', { errors: [{ field: 'cursor', rule: 'must be a nextCursor of this list' }] })

/** Opaque to callers, so that what pages are made of can change. */
export const encodeCursor = ({ createdAt, id }: Position): string =>
  Buffer.from(`${createdAt.toString(36)}.${id}`).toString('base64url')

/** @throws Failure `cursor_invalid` for anything that {@link encodeCursor} did not write. */
export const decodeCursor = (cursor: string): Position => {
  const match = /^([0-9a-z]{1,11})\.([0-9A-Za-z_.-]{1,160})$/.exec(
    Buffer.from(cursor, 'base64url').toString(),
  )
  const [, time, id] = match ?? []
  const position =
    time === undefined || id === undefined ? null : { createdAt: Number.parseInt(time, 36), id }
  // Decoding base64url forgives much, so that one position would have many texts.
  if (position === null || encodeCursor(position) !== cursor) {
    throw invalid()
  }
  return position
}

/** A cursor of a list that is in the order of names. */
export const encodeNameCursor = (name: string): string => Buffer.from(name).toString('base64url')

/** @throws Failure `cursor_invalid` for a text that no name in this form makes. */
export const decodeNameCursor = (cursor: string, form: RegExp): string => {
  const name = Buffer.from(cursor, 'base64url').toString()
  if (form.test(name) && encodeNameCursor(name) === cursor) return name
  throw invalid()
}

/** Cuts one row more than asked for into a page and the position after it. */
export const toPage = <Item extends Position>(rows: readonly Item[], limit: number): Page<Item> => {
  const items = rows.slice(0, limit)
  const last = items.at(-1)
  return { items, next: rows.length > limit && last ? { createdAt: last.createdAt, id: last.id } : null }
}

import { decodeCursor, encodeCursor, type Position } from '../lib/cursor.ts'
import { Failure } from '../lib/failure.ts'

const invalid = () =>
  new Failure('cursor_invalid', {
    errors: [{ field: 'cursor', rule: 'must be a nextCursor of this list, with the same filters' }],
  })

/**
 * Cursors of one list: of these filters, and of whose rows it is. It keeps nobody from anything, since every page looks
 * at who asks; it tells a mistake, where pages of two lists would be put together as one.
 */
export const createListCursor = (list: Readonly<Record<string, unknown>>) => {
  const named = Object.entries(list).filter(([, value]) => value !== undefined)
  const text = JSON.stringify(named.toSorted(([one], [other]) => (one < other ? -1 : 1)))
  const mark = new Bun.CryptoHasher('sha256').update(text).digest('base64url').slice(0, 16)

  return {
    encode: (position: Position | null): string | null =>
      position === null ? null : `${encodeCursor(position)}.${mark}`,

    /** @throws Failure `cursor_invalid` for what is no cursor of this list. */
    decode: (cursor: string | undefined): Position | null => {
      if (cursor === undefined) return null
      const [place = '', given, ...rest] = cursor.split('.')
      if (given !== mark || rest.length > 0) throw invalid()
      return decodeCursor(place)
    },
  }
}

import { t } from 'elysia'
import { defaultLimit, maximumLimit } from './cursor.ts'
import { Failure } from './failure.ts'

/**
 * `?limit=` and `?cursor=` of a list. The bounds of the limit are not in the schema: Elysia names no field when a
 * number in a query is out of bounds.
 */
export const pageQuery = {
  limit: t.Optional(t.Integer({ description: `1 to ${maximumLimit}; ${defaultLimit} when absent` })),
  cursor: t.Optional(t.String({ maxLength: 256, description: 'nextCursor of the page before' })),
}

/** @throws Failure `invalid_request` for a limit out of bounds. */
export const limitOf = ({ limit = defaultLimit }: { readonly limit?: number | undefined }): number => {
  if (limit >= 1 && limit <= maximumLimit) return limit
  throw new Failure('invalid_request', { errors: [{ field: 'limit', rule: `must be 1 to ${maximumLimit}` }] })
}

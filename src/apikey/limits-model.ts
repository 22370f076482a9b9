import { Type } from '@sinclair/typebox'
import { t } from 'elysia'
import { Failure } from '../lib/failure.ts'
import { maxAdmissions } from '../lib/sliding-window.ts'
import type { KeyLimit } from './key-record.ts'

export const maxLimits = 5
export const maxWindowSeconds = 30 * 86_400

const KeyLimitBody = t.Object(
  {
    name: t.String({ pattern: '^[a-z][a-z0-9-]{0,31}$', description: 'What it is called in answers' }),
    limit: Type.Integer({ minimum: 1, maximum: maxAdmissions, description: 'Requests that it lets in' }),
    windowSeconds: Type.Integer({
      minimum: 1,
      maximum: maxWindowSeconds,
      description: 'In any time of that length',
    }),
  },
  { additionalProperties: false },
)

/** The limits of a key, as people give them. That no two have one name, {@link checkLimits} looks at. */
export const KeyLimits = t.Array(KeyLimitBody, {
  maxItems: maxLimits,
  description: 'All of them apply to each request',
})

/** @throws Failure `invalid_request` when two limits have the same name, with the place of the second. */
export const checkLimits = (limits: readonly KeyLimit[], field = 'limits'): void => {
  const second = limits.findIndex(
    ({ name }, index) => limits.findIndex(other => other.name === name) !== index,
  )
  if (second === -1) return
  throw new Failure('invalid_request', {
    errors: [{ field: `${field}/${second}/name`, rule: 'must differ from the other names' }],
  })
}

/**
 * Whether limits keep to a ceiling whatever comes: for each limit of it there is one that lets in no more in its time.
 * A time has in it so many windows of one that is shorter, which all may be full; both are closed, and the clock has whole
 * milliseconds. So it may say no to limits that would keep to it only together.
 */
export const isWithinCeiling = (limits: readonly KeyLimit[], ceiling: readonly KeyLimit[]): boolean =>
  ceiling.every(most =>
    limits.some(({ limit, windowSeconds }) => {
      const windows = Math.ceil((most.windowSeconds * 1_000 + 1) / (windowSeconds * 1_000 + 1))
      return limit * windows <= most.limit
    }),
  )

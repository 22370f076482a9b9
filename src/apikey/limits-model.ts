import { Type } from '@sinclair/typebox'
import { t } from 'elysia'
import type { KeyLimit as Limit } from './key-record.ts'

export const KeyLimit = t.Object(
  {
    name: t.String({ pattern: '^[a-z][a-z0-9-]{0,31}$' }),
    limit: Type.Integer({ minimum: 1, maximum: 10_000 }),
    windowSeconds: Type.Integer({ minimum: 1, maximum: 2_592_000 }),
  },
  { additionalProperties: false },
)
export const KeyLimits = t.Array(KeyLimit, { maxItems: 5 })

/** Whether whoever holds to these limits holds to the ceiling as well. */
export const isWithinCeiling = (limits: readonly Limit[], ceiling: readonly Limit[]): boolean =>
  ceiling.every(most =>
    limits.some(({ limit, windowSeconds }) => limit <= most.limit && windowSeconds >= most.windowSeconds),
  )

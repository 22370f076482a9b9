import { t } from 'elysia'
import { Failure } from '../lib/failure.ts'
import type { KeyMetadata } from './key-record.ts'

/** Bytes of JSON in UTF-8. */
export const maxMetadataBytes = 4_096

/** Any but the one that would be lost on the way: a copy of an object takes it for its prototype. */
const MemberName = t.String({ pattern: '^(?!__proto__$)' })

export const Metadata = t.Record(MemberName, t.Unknown(), {
  additionalProperties: false,
  description: `An object of the owner's own, of at most ${maxMetadataBytes} bytes as JSON`,
})

/** @throws Failure `invalid_request` for more than that. */
export const checkMetadata = (metadata: KeyMetadata | null | undefined): void => {
  if (metadata === null || metadata === undefined) return
  if (Buffer.byteLength(JSON.stringify(metadata)) <= maxMetadataBytes) return
  const rule = `must be at most ${maxMetadataBytes} bytes as JSON`
  throw new Failure('invalid_request', { errors: [{ field: 'metadata', rule }] })
}

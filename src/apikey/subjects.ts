import type { SubjectState } from '../lib/changes-schema.ts'

/**
 * What the change feed has told so far, from memory: asked on the path of every request, so each answer is one look
 * into a map.
 */
export type Subjects = {
  /** A user or service account; null for one that the feed never told of. */
  find(id: string): SubjectState | null
  /** Whether a session (`sid`) or a token (`jti`) ended before its time. */
  isEnded(id: string): boolean
}

/** The id by which the end of a signing key is remembered, beside sessions and tokens. */
export const revokedKeyId = (kid: string): string => `kid:${kid}`

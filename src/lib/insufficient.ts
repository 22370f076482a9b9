import { Refusal } from './problem-answer.ts'
import { type Requirement, sayNeed } from './requirement.ts'

/** The refusals of callers who hold too little, by the kind of their credential. */
export type Insufficient = { readonly key: Refusal; readonly token: Refusal }

/**
 * Made once for a requirement, since they are thrown in floods. They say what is needed, which the description of the
 * API says to anybody; to a token also as scopes (RFC 6750 section 3.1).
 */
export const createInsufficient = (requirement: Requirement): Insufficient => {
  const detail = `needs ${sayNeed([requirement])}`
  const challenge = `Bearer error="insufficient_scope", scope="${requirement.permissions.join(' ')}"`
  return {
    key: new Refusal('insufficient_permission', {}, { detail }),
    token: new Refusal('insufficient_permission', { 'www-authenticate': challenge }, { detail }),
  }
}

import { Failure } from '../lib/failure.ts'
import type { UserErrorCode } from './errors.ts'

// Other (control, format, unassigned, surrogate), separators (white space), and what draws nothing though it is a letter or
// a mark, such as U+3164: two addresses that look alike must not differ by such a character.
const invisible = /[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}]/u

// A local part is made of what HTML's `<input type=email>` takes (RFC 5322 atext and dots, no quoted string),
// and by RFC 6531 of anything beyond ASCII.
const localPart = /^[a-z0-9.!#$%&'*+/=?^_`{|}~\u{80}-\u{10FFFF}-]+$/u
const domainLabel = /^(?!-)[\p{L}\p{M}\p{N}-]+(?<!-)$/u

const octets = (text: string): number => Buffer.byteLength(text)

/**
 * The one form in which an address is stored, looked up and compared: NFKC and lower case. Null when it is no
 * address; nothing is trimmed or taken out to make it one. Lengths are in octets (RFC 5321 section 4.5.3.1).
 */
export const normalizeEmail = (text: string): string | null => {
  // Once more after lower case, which can leave what composes: J with a caron exists as a small letter only.
  const email = text.normalize('NFKC').toLowerCase().normalize('NFKC')
  const [local = '', domain = '', ...rest] = email.split('@')
  const sound =
    rest.length === 0 &&
    !invisible.test(email) &&
    octets(email) <= 254 &&
    octets(local) <= 64 &&
    localPart.test(local) &&
    domain.split('.').every(label => octets(label) <= 63 && domainLabel.test(label))
  return sound ? email : null
}

/** @throws Failure `email_invalid`, where {@link normalizeEmail} says null. */
export const requireEmail = (text: string): string => {
  const email = normalizeEmail(text)
  if (email === null) {
    throw new Failure<UserErrorCode>('email_invalid', {
      errors: [{ field: 'email', rule: 'must be an email address, without spaces or invisible characters' }],
    })
  }
  return email
}

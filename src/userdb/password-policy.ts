import type { FieldError } from '../lib/failure.ts'
import { maximumPasswordLength } from './model.ts'

/** Whose password it is to be, since a password must not be made of what others know of its owner. */
export type PasswordOwner = { readonly email: string; readonly displayName: string | null }

/** What is wrong with a new password; empty when it will do. */
export type PasswordPolicy = (password: string, owner: PasswordOwner) => FieldError[]

/** Bounds of the configurable minimum length, code points: NIST SP 800-63B-4 section 3.1.1.2 has no less than 8. */
export const minimumLengthBounds = { lowest: 8, highest: 64 } as const

const serviceName = 'latchkey'
/** Shorter names and local parts turn up in good passwords by chance. */
const shortestWord = 4

const fold = (text: string): string => text.normalize('NFKC').toLowerCase()

const namesOwner = (folded: string, { email, displayName }: PasswordOwner): boolean =>
  [email, email.split('@')[0] ?? '', displayName ?? '']
    .map(fold)
    .some(word => [...word].length >= shortestWord && folded.includes(word))

const isMostlyServiceName = (folded: string): boolean =>
  folded.replaceAll(serviceName, '').length * 2 < folded.length

/**
 * Length and content of new passwords (NIST SP 800-63B-4 section 3.1.1.2): nothing about kinds of characters,
 * nothing trimmed. Length is in code points of the NFC form, which is what gets hashed.
 *
 * @throws RangeError when `minimumLength` is not within {@link minimumLengthBounds}.
 */
export const createPasswordPolicy = (minimumLength: number): PasswordPolicy => {
  const { lowest, highest } = minimumLengthBounds
  if (!Number.isInteger(minimumLength) || minimumLength < lowest || minimumLength > highest) {
    throw new RangeError(`minimumLength must be an integer from ${lowest} to ${highest}`)
  }
  const broken = (rule: string): FieldError[] => [{ field: 'password', rule }]

  return (password, owner) => {
    // Lone surrogates all become U+FFFD in UTF-8: different passwords would have one hash.
    if (!password.isWellFormed()) return broken('must be well-formed Unicode text')
    const length = [...password.normalize('NFC')].length
    if (length < minimumLength) return broken(`must have at least ${minimumLength} characters`)
    if (length > maximumPasswordLength) return broken(`must have at most ${maximumPasswordLength} characters`)
    const folded = fold(password)
    if (namesOwner(folded, owner)) return broken('must not contain the email address or the display name')
    if (isMostlyServiceName(folded)) return broken('must not be mostly the name of this service')
    return []
  }
}

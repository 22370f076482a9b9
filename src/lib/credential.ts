/** What a request presents, before anybody has looked whether it is good. */
export type Presented =
  | { readonly kind: 'bearer'; readonly text: string }
  | { readonly kind: 'key'; readonly text: string }
  | {
      readonly kind: 'refused'
      readonly code: 'credential_missing' | 'credential_unsupported' | 'credential_ambiguous'
    }

const missing: Presented = { kind: 'refused', code: 'credential_missing' }
const unsupported: Presented = { kind: 'refused', code: 'credential_unsupported' }
const ambiguous: Presented = { kind: 'refused', code: 'credential_ambiguous' }

/**
 * Finds the one credential of a request: `Authorization: Bearer` (RFC 6750 section 2.1; the scheme compares
 * without case, RFC 9110 section 11.1) or `X-API-Key`. Query, form and cookies never carry one.
 *
 * Repeated headers arrive joined by commas, which neither a token nor a key contains: they are ambiguous,
 * like the two headers together.
 */
export const readCredential = (headers: Headers, isKey: (text: string) => boolean): Presented => {
  const authorization = headers.get('authorization')
  const key = headers.get('x-api-key')
  if (key !== null) {
    if (authorization !== null || key.includes(',')) return ambiguous
    return key === '' ? missing : { kind: 'key', text: key }
  }
  if (authorization === null || authorization === '') return missing
  if (authorization.includes(',')) return ambiguous
  const space = authorization.indexOf(' ')
  const scheme = space === -1 ? authorization : authorization.slice(0, space)
  if (scheme.toLowerCase() !== 'bearer') return unsupported
  const token = space === -1 ? '' : authorization.slice(space + 1).trim()
  if (token === '') return missing
  return isKey(token) ? { kind: 'key', text: token } : { kind: 'bearer', text: token }
}

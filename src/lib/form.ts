import { RefusedBody, readText } from './body.ts'
import { Failure } from './failure.ts'

/** Parameters of a form by name, each with all its values in order. */
export type Form = ReadonlyMap<string, readonly string[]>

export const formMediaType = 'application/x-www-form-urlencoded'

export type FormLimits = {
  /** Bytes of the body as it arrives. */
  readonly maxBytes: number
  readonly maxParameters: number
}

/** Undoes the encoding of a form (RFC 6749 appendix B). Null for what no encoder writes. */
export const decodeFormText = (text: string): string | null => {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return null
  }
}

const malformed = (detail: string) => new RefusedBody(new Failure('malformed_body', { detail }))

/** Parses form-encoded text; a {@link RefusedBody} with `malformed_body` for any other. */
export const parseForm = (text: string, maxParameters: number): Form | RefusedBody => {
  const form = new Map<string, string[]>()
  // One more than allowed is enough to know.
  const pairs = text.split('&', maxParameters + 1)
  if (pairs.length > maxParameters) return malformed(`A form may have ${maxParameters} parameters.`)
  for (const pair of pairs) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    const name = decodeFormText(equals === -1 ? pair : pair.slice(0, equals))
    const value = decodeFormText(equals === -1 ? '' : pair.slice(equals + 1))
    if (name === null || value === null) return malformed('The body is not form-encoded.')
    const values = form.get(name)
    if (values === undefined) form.set(name, [value])
    else values.push(value)
  }
  return form
}

/**
 * Reads a form-encoded body within limits; an empty form where there is none. A {@link RefusedBody} with
 * `unsupported_media_type` (415), `body_too_large` (413) or `malformed_body` (400) when it can't be taken.
 */
export const readForm = async (
  request: Request,
  { maxBytes, maxParameters }: FormLimits,
): Promise<Form | RefusedBody> => {
  const text = await readText(request, formMediaType, maxBytes)
  return text instanceof RefusedBody ? text : parseForm(text ?? '', maxParameters)
}

import { Elysia } from 'elysia'
import { Failure } from './failure.ts'

export type BodyLimits = {
  /** Bytes of the body as it arrives. */
  readonly maxBytes: number
  /** Arrays and objects inside one another. */
  readonly maxDepth: number
}

export const defaultBodyLimits: BodyLimits = { maxBytes: 65_536, maxDepth: 32 }

type BodyCode = 'malformed_body' | 'body_too_large' | 'unsupported_media_type'

const malformed = (detail: string) => new Failure<BodyCode>('malformed_body', { detail })

/**
 * Whether the headers promise this media type in UTF-8 and in the clear, which is all that is read (for JSON, RFC 8259
 * section 8.1). Media types and charsets compare without case (RFC 9110 section 8.3).
 */
const isPlain = (headers: Headers, mediaType: string): boolean => {
  const encoding = headers.get('content-encoding')
  if (encoding !== null && encoding.toLowerCase() !== 'identity') return false
  const [type = '', ...parameters] = (headers.get('content-type') ?? '').toLowerCase().split(';')
  if (type.trim() !== mediaType) return false
  return parameters
    .map(parameter => parameter.trim())
    .every(parameter => !parameter.startsWith('charset=') || /^charset="?utf-8"?$/.test(parameter))
}

/** Reads at most `maxBytes`; null when there is more. `Content-Length` settles most bodies before a byte is read. */
const readBytes = async (request: Request, maxBytes: number): Promise<Uint8Array | null> => {
  const declared = request.headers.get('content-length')
  if (declared !== null) {
    return Number(declared) > maxBytes ? null : new Uint8Array(await request.arrayBuffer())
  }
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of request.body ?? []) {
    size += chunk.byteLength
    if (size > maxBytes) return null
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Whether JSON text nests deeper than allowed. Asked before parsing, which costs stack for each level. */
export const isDeeperThan = (text: string, maxDepth: number): boolean => {
  let depth = 0
  let inString = false
  for (let index = 0; index < text.length; index += 1) {
    const character = text.charCodeAt(index)
    if (inString) {
      if (character === 0x5c) index += 1
      else if (character === 0x22) inString = false
    } else if (character === 0x22) inString = true
    else if (character === 0x5b || character === 0x7b) {
      depth += 1
      if (depth > maxDepth) return true
    } else if (character === 0x5d || character === 0x7d) depth -= 1
  }
  return false
}

/** A number beyond any double would become infinite, and null when it is written again (RFC 8259 section 6). */
const refuseInfinity = (_key: string, value: unknown): unknown => {
  if (value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY) {
    throw new RangeError('The body has a number that is too large.')
  }
  return value
}

/** A body that was turned away, on its way from the parse hook (where a throw becomes a 400) to the next one. */
export class RefusedBody {
  readonly failure: Failure
  constructor(failure: Failure) {
    this.failure = failure
  }
}

/**
 * Reads the text of a body that has this media type. Undefined when there is none; a {@link RefusedBody} with
 * `unsupported_media_type` (415), `body_too_large` (413) or `malformed_body` (400) when it can't be taken.
 */
export const readText = async (
  request: Request,
  mediaType: string,
  maxBytes: number,
): Promise<string | RefusedBody | undefined> => {
  if (request.body === null) return undefined
  if (!isPlain(request.headers, mediaType)) {
    return new RefusedBody(
      new Failure<BodyCode>('unsupported_media_type', {
        detail: `Send ${mediaType} in UTF-8, not compressed.`,
      }),
    )
  }
  let bytes: Uint8Array | null
  try {
    bytes = await readBytes(request, maxBytes)
  } catch {
    return new RefusedBody(malformed('The body broke off.'))
  }
  if (bytes === null) {
    return new RefusedBody(
      new Failure<BodyCode>('body_too_large', { detail: `A body may have ${maxBytes} bytes.` }),
    )
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return new RefusedBody(malformed('The body is not UTF-8.'))
  }
}

/** Reads JSON text within limits. @throws Failure `malformed_body` */
export const parseJson = (text: string, { maxDepth }: Pick<BodyLimits, 'maxDepth'>): unknown => {
  if (isDeeperThan(text, maxDepth)) throw malformed(`Arrays and objects may nest ${maxDepth} deep.`)
  try {
    // A reviver is slow, and few texts have a number that could be that large.
    return /\d[eE]|\d{300}/.test(text) ? JSON.parse(text, refuseInfinity) : JSON.parse(text)
  } catch (error) {
    throw malformed(error instanceof RangeError ? error.message : 'The body is not JSON.')
  }
}

/** Reads a JSON body within limits. Undefined when there is none; a {@link RefusedBody} as of {@link readText}. */
export const readJson = async (request: Request, limits: BodyLimits): Promise<unknown> => {
  const text = await readText(request, 'application/json', limits.maxBytes)
  if (typeof text !== 'string') return text
  try {
    return parseJson(text, limits)
  } catch (error) {
    if (error instanceof Failure) return new RefusedBody(error)
    throw error
  }
}

/** Bounded JSON bodies for routes that anyone may call; guarded routes get the same from their guard. */
export const jsonBody = (limits: BodyLimits = defaultBodyLimits) =>
  new Elysia({ name: 'latchkey/json-body', seed: `${limits.maxBytes}/${limits.maxDepth}` })
    .onParse({ as: 'scoped' }, async ({ request }) => readJson(request, limits))
    .onTransform({ as: 'scoped' }, ({ body }) => {
      if (body instanceof RefusedBody) throw body.failure
    })

import type { Static, TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

/**
 * What a request for a bounded answer has to say: that it comes as it is. A small body could otherwise become a large
 * one before anybody counts its bytes.
 */
export const plainAnswer = {
  decompress: false,
  headers: { 'accept-encoding': 'identity' },
} as const

/**
 * Reads a body of at most `maxBytes`, so that no server can fill our memory. Ask for it with {@link plainAnswer}.
 *
 * @throws Error beyond that, for one that is compressed, or when the connection breaks off.
 */
export const readBounded = async (response: Response, maxBytes: number): Promise<string> => {
  const encoding = response.headers.get('content-encoding')
  if (encoding !== null && encoding.toLowerCase() !== 'identity') {
    await response.body?.cancel()
    throw new Error('The answer is compressed')
  }
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength
    if (size > maxBytes) throw new Error(`The answer has more than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/**
 * Reads a bounded body as JSON of this schema; members that it does not name are let through.
 *
 * @throws Error for any other body, without a word of what is in it: it may hold a secret.
 */
export const readChecked = async <Schema extends TSchema>(
  response: Response,
  schema: Schema,
  maxBytes: number,
): Promise<Static<Schema>> => {
  const text = await readBounded(response, maxBytes)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new Error('The answer is not JSON')
  }
  if (!Value.Check(schema, value)) throw new Error('The answer is not of the form that was expected')
  return value
}

import type { Static, TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

/**
 * Reads a body of at most `maxBytes`, so that no server can fill our memory.
 *
 * @throws Error beyond that, or when the connection breaks off.
 */
export const readBounded = async (response: Response, maxBytes: number): Promise<string> => {
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

import { decodeTimes } from '../../src/lib/admission-times.ts'
import { type Answer, call } from './http.ts'
import { member } from './json.ts'
import { type Key, makeKey, type Site } from './site.ts'
import { readValue, withDatabase } from './sqlite-file.ts'
import { exchange, type RawAnswer, requestHead } from './tcp.ts'

/** A key that is counted and charged, so that it shows what a request took of it. */
export type MeteredKey = Key & { readonly ownerId: string }

export const burst = (limit: number) => ({ name: 'burst', limit, windowSeconds: 300 })

/** Made by an administrator, who alone gives credits. */
export const makeMeteredKey = async (
  site: Site,
  adminToken: string,
  ownerId: string,
  body: Readonly<Record<string, unknown>> = {},
): Promise<MeteredKey> => {
  const made = await makeKey(site, adminToken, {
    ownerId,
    limits: [burst(3)],
    credits: { remaining: 5 },
    ...body,
  })
  return { ...made, ownerId }
}

/** Sends a request on a connection of its own, with a body of JSON unless the headers say another type. */
export const send = async (
  site: Site,
  line: string,
  headers: readonly string[],
  body?: string,
): Promise<RawAnswer> => {
  const isTyped = headers.some(header => /^content-type:/i.test(header))
  const described =
    body === undefined
      ? []
      : [...(isTyped ? [] : ['Content-Type: application/json']), `Content-Length: ${Buffer.byteLength(body)}`]
  const parts = body === undefined ? [] : [body]
  const answer = await exchange(site.service.port, [requestHead(line, [...headers, ...described]), ...parts])
  if (answer === null) throw new Error(`No answer to ${line}`)
  return answer
}

/** The balance of a key as it is on the disk: also of one that nobody may ask about any more. */
export const balanceOf = (file: string, { id }: Pick<Key, 'id'>): unknown =>
  readValue(file, 'SELECT remaining FROM api_key_credits WHERE lineage_id = ?', id)

/** A document as it is on the disk; undefined where there is none. */
export const contentOf = (file: string, ownerId: string, name: string): unknown =>
  readValue(file, 'SELECT content FROM documents WHERE owner_id = ? AND name = ?', ownerId, name)

/** How often each key was let in, as far as a limit still counts it: what a service leaves behind that was stopped. */
export const carriedWindows = (file: string): Map<string, number> =>
  withDatabase(file, database => {
    const counts = new Map<string, number>()
    const rows = database
      .query<{ id: string; admitted: Uint8Array }, []>(
        'SELECT lineage_id AS id, admitted FROM api_key_windows',
      )
      .all()
    for (const { id, admitted } of rows) {
      counts.set(id, (counts.get(id) ?? 0) + (decodeTimes(admitted)?.length ?? Number.NaN))
    }
    return counts
  })

/** How often a key was let in and refused, by reason. */
export const usageOf = async (site: Site, token: string, { id }: Pick<Key, 'id'>): Promise<unknown> =>
  member((await call(`${site.service.url}/api-keys/${id}/usage`, { token })).body, 'total')

export const writeWith = (url: string, key: string, name: string, json: unknown): Promise<Answer> =>
  call(`${url}/documents/${name}`, { key, method: 'PUT', json })

import { parseJson } from './json.ts'

export type Answer = {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** Of JSON bodies; undefined for others. */
  readonly body: unknown
}

export type CallOptions = {
  /** An access token, sent as Bearer. */
  readonly token?: string
  /** An API key, sent as X-API-Key. */
  readonly key?: string
  readonly json?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly method?: string
}

/** Sends one request and reads the whole answer. The method is GET, or POST where there is a body. */
export const call = async (
  url: string,
  { token, key, json, headers = {}, method }: CallOptions = {},
): Promise<Answer> => {
  const response = await fetch(url, {
    method: method ?? (json === undefined ? 'GET' : 'POST'),
    redirect: 'manual',
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(key === undefined ? {} : { 'x-api-key': key }),
      ...(json === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(json === undefined ? {} : { body: JSON.stringify(json) }),
    signal: AbortSignal.timeout(20_000),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, body: parseJson(text) }
}

import type { Answer } from './http.ts'
import { parseJson, textOf } from './json.ts'

/** A service account and its secret. */
export type Client = { readonly id: string; readonly secret: string }

/** RFC 6749 section 2.3.1: both parts are form-encoded before they are joined. */
const basic = ({ id, secret }: Client): string => {
  const encode = (text: string): string => new URLSearchParams({ '': text }).toString().slice(1)
  return `Basic ${Buffer.from(`${encode(id)}:${encode(secret)}`).toString('base64')}`
}

/** Posts a form, as a service account unless that is null. */
export const postForm = async (
  url: string,
  fields: Readonly<Record<string, string>>,
  client: Client | null,
): Promise<Answer> => {
  const response = await fetch(url, {
    method: 'POST',
    redirect: 'manual',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      ...(client === null ? {} : { authorization: basic(client) }),
    },
    body: new URLSearchParams({ ...fields }).toString(),
    signal: AbortSignal.timeout(20_000),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, body: parseJson(text) }
}

/** Asks for an access token that is good at service-a, unless other fields say otherwise. */
export const askForToken = (
  login: string,
  client: Client,
  fields: Readonly<Record<string, string>> = { audience: 'service-a' },
): Promise<Answer> =>
  postForm(`${login}/oauth/token`, { grant_type: 'client_credentials', ...fields }, client)

/** @throws Error when there is no token in the answer. */
export const clientToken = async (
  login: string,
  client: Client,
  fields?: Readonly<Record<string, string>>,
): Promise<string> => textOf((await askForToken(login, client, fields)).body, 'access_token')

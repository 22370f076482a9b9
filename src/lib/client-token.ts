import { Type } from '@sinclair/typebox'
import { plainAnswer, readBounded, readChecked } from './bounded-response.ts'
import type { Clock } from './clock.ts'

/** What the token endpoint answers, RFC 6749 section 5.1. */
const TokenAnswer = Type.Object({
  access_token: Type.String({ minLength: 1, maxLength: 8_192, pattern: '^[\\w.~+/-]+=*$' }),
  token_type: Type.String({ pattern: '^[Bb][Ee][Aa][Rr][Ee][Rr]$' }),
  expires_in: Type.Integer({ minimum: 1, maximum: 86_400 }),
})

export type Fetch = (url: string, init: RequestInit) => Promise<Response>

export type ClientTokensOptions = {
  /** Address of the issuer, without a slash at its end. */
  readonly url: string
  readonly clientId: string
  readonly clientSecret: string
  /** What is asked for, words separated by spaces. */
  readonly scope: string
  readonly clock: Clock
  readonly fetch?: Fetch
  readonly timeoutMilliseconds?: number
}

/** Access tokens of a service account. */
export type ClientTokens = {
  /** A token that is good for some time yet. @throws Error when none is to be had. */
  get(): Promise<string>
  /** Forgets a token that was refused, so that the next call asks for another. */
  drop(token: string): void
}

const maxBytes = 65_536

/** `application/x-www-form-urlencoded`, which RFC 6749 section 2.3.1 asks for before Basic. */
const formEncode = (text: string): string => new URLSearchParams({ '': text }).toString().slice(1)

/**
 * Client credentials (RFC 6749 section 4.4) by `client_secret_basic`: one request at a time, and its token serves until
 * shortly before it expires.
 */
export const createClientTokens = ({
  url,
  clientId,
  clientSecret,
  scope,
  clock,
  fetch = globalThis.fetch,
  timeoutMilliseconds = 3_000,
}: ClientTokensOptions): ClientTokens => {
  const credentials = Buffer.from(`${formEncode(clientId)}:${formEncode(clientSecret)}`).toString('base64')
  let cached: { readonly token: string; readonly from: number; readonly until: number } | null = null
  let running: Promise<string> | null = null

  const request = async (): Promise<string> => {
    const askedAt = clock()
    const response = await fetch(`${url}/oauth/token`, {
      ...plainAnswer,
      // It is a while since the last one: a connection that was kept may have died without a word.
      keepalive: false,
      method: 'POST',
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMilliseconds),
      headers: {
        ...plainAnswer.headers,
        authorization: `Basic ${credentials}`,
        'content-type': 'application/x-www-form-urlencoded',
        accept: 'application/json',
      },
      body: new URLSearchParams({ grant_type: 'client_credentials', scope }).toString(),
    })
    if (response.status !== 200) {
      await readBounded(response, maxBytes)
      throw new Error(`The token endpoint answered ${response.status}`)
    }
    const { access_token: token, expires_in: seconds } = await readChecked(response, TokenAnswer, maxBytes)
    // A fifth of its life, or half a minute, is left for requests that are on their way when it ends.
    cached = { token, from: askedAt, until: askedAt + (seconds - Math.min(30, seconds / 5)) * 1_000 }
    return token
  }

  return {
    get: () => {
      const now = clock()
      // A clock that was set back must not make a token live longer than its issuer said.
      if (cached !== null && now >= cached.from && now < cached.until) return Promise.resolve(cached.token)
      running ??= request().finally(() => {
        running = null
      })
      return running
    },
    drop: token => {
      if (cached?.token === token) cached = null
    },
  }
}

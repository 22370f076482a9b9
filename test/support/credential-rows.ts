import { expect } from 'bun:test'
import { call } from './http.ts'
import { unknownKey, withOtherSecret } from './key-text.ts'
import { expectProblem } from './problem.ts'
import { keyOf, makeKey, type Site } from './site.ts'
import type { RawAnswer } from './tcp.ts'

/** Credentials of one person. Token and key are good; of the others each lacks something. */
export type Given = {
  readonly token: string
  readonly key: string
  /** Reads documents, and does not write them. */
  readonly reader: string
  readonly revoked: string
  readonly disabled: string
  readonly expired: string
  readonly rotated: string
}

/** Makes one key of each kind. */
export const makeGiven = async (site: Site, token: string): Promise<Given> => {
  const keys = `${site.service.url}/api-keys`
  const make = (body: Readonly<Record<string, unknown>> = {}) => makeKey(site, token, body)
  const soon = Date.now() + 300
  const expired = await make({ expiresAt: new Date(soon).toISOString() })
  const [key, reader] = [await make(), await make({ permissions: ['documents:read'] })]
  const [revoked, disabled, rotated] = [await make(), await make(), await make()]
  await call(`${keys}/${revoked.id}`, { token, method: 'DELETE' })
  await call(`${keys}/${disabled.id}`, { token, method: 'PATCH', json: { enabled: false } })
  keyOf(site, await call(`${keys}/${rotated.id}/rotate`, { token, json: { graceSeconds: 0 } }))
  await Bun.sleep(soon - Date.now() + 1)
  return {
    token,
    key: key.key,
    reader: reader.key,
    revoked: revoked.key,
    disabled: disabled.key,
    expired: expired.key,
    rotated: rotated.key,
  }
}

/** What a request carries, and what it gets for it. */
export type Row = {
  readonly carries: string
  readonly headers: (given: Given) => readonly string[]
  readonly status: number
  readonly code: string
  /** `WWW-Authenticate`. */
  readonly challenge: string | null
}

export const bearer = (text: string): string => `Authorization: Bearer ${text}`
export const apiKey = (text: string): string => `X-API-Key: ${text}`

type Plain = readonly [carries: string, headers: Row['headers']]
type Refusal = Pick<Row, 'status' | 'code' | 'challenge'>

const rows = (refusal: Refusal, plain: readonly Plain[]): Row[] =>
  plain.map(([carries, headers]) => ({ carries, headers, ...refusal }))

const basic = 'Authorization: Basic YW5uOnB3'

/** What no route can judge: 400, with the schemes that the route takes. */
export const unclear = (challenge: string): Row[] => [
  ...rows({ status: 400, code: 'credential_missing', challenge }, [
    ['nothing', () => []],
    ['an empty Authorization', () => ['Authorization:']],
    ['Bearer without a token', () => ['Authorization: Bearer']],
    ['Bearer and spaces', () => ['Authorization: Bearer    ']],
    ['an empty X-API-Key', () => ['X-API-Key:']],
    ['a key in a cookie', ({ key }) => [`Cookie: api_key=${key}; X-API-Key=${key}`]],
    ['a token in Proxy-Authorization', ({ token }) => [`Proxy-${bearer(token)}`]],
  ]),
  ...rows({ status: 400, code: 'credential_unsupported', challenge }, [
    ['Basic', () => [basic]],
    ['Digest', () => ['Authorization: Digest username="ann"']],
    ['a bare token', ({ token }) => [`Authorization: ${token}`]],
    ['a bare key', ({ key }) => [`Authorization: ${key}`]],
    ['a scheme of its own', ({ key }) => [`Authorization: ApiKey ${key}`]],
  ]),
  ...rows({ status: 400, code: 'credential_ambiguous', challenge }, [
    ['a good token and a good key', ({ token, key }) => [bearer(token), apiKey(key)]],
    ['a good key and Basic', ({ key }) => [apiKey(key), basic]],
    ['a good key twice', ({ key }) => [apiKey(key), apiKey(key)]],
    ['a good key and an empty one', ({ key }) => [apiKey(key), apiKey('')]],
    ['a good key before a comma', ({ key }) => [apiKey(`${key},`)]],
    ['a good token twice', ({ token }) => [bearer(token), bearer(token)]],
    ['a good token, then Basic', ({ token }) => [bearer(token), basic]],
    ['Basic, then a good token', ({ token }) => [basic, bearer(token)]],
  ]),
]

export const tokenInvalid: Refusal = {
  status: 401,
  code: 'token_invalid',
  challenge: 'Bearer error="invalid_token"',
}

/** What claims to be a token and is none. */
export const noTokens: Row[] = rows(tokenInvalid, [
  ['text that is no token', () => [bearer('nonsense')]],
  ['two words', ({ token }) => [bearer(`${token} more`)]],
  ['a token without its signature', ({ token }) => [bearer(token.replace(/[^.]+$/, ''))]],
  ['a key of another prefix as Bearer', () => [bearer(unknownKey('sk'))]],
])

const withTypo = (key: string): string => `${key.slice(0, -1)}${key.endsWith('a') ? 'b' : 'a'}`

/** Keys that never were. */
export const invalidKeys: Row[] = rows({ status: 403, code: 'api_key_invalid', challenge: null }, [
  ['text that is no key', () => [apiKey('nonsense')]],
  ['a key with a typo', ({ key }) => [apiKey(withTypo(key))]],
  ['a key with a letter too many', ({ key }) => [apiKey(`${key}a`)]],
  ['a key in capitals', ({ key }) => [apiKey(key.toUpperCase())]],
  ['a key of another prefix', () => [apiKey(unknownKey('sk'))]],
  ['a key that nobody made', () => [apiKey(unknownKey())]],
  ['a key of the wrong secret', ({ key }) => [apiKey(withOtherSecret(key))]],
  ['a revoked key of the wrong secret', ({ revoked }) => [apiKey(withOtherSecret(revoked))]],
  ['a disabled key of the wrong secret', ({ disabled }) => [apiKey(withOtherSecret(disabled))]],
  ['a token as key', ({ token }) => [apiKey(token)]],
  ['a typo of a key as Bearer', ({ key }) => [bearer(`${key}a`)]],
  ['a wrong secret as Bearer', ({ key }) => [bearer(withOtherSecret(key))]],
])

/** Keys of the right secret that are good no more. */
export const deadKeys: Row[] = [
  ...rows({ status: 403, code: 'api_key_revoked', challenge: null }, [
    ['a revoked key', ({ revoked }) => [apiKey(revoked)]],
    ['a revoked key as Bearer', ({ revoked }) => [bearer(revoked)]],
  ]),
  ...rows({ status: 403, code: 'api_key_disabled', challenge: null }, [
    ['a disabled key', ({ disabled }) => [apiKey(disabled)]],
  ]),
  ...rows({ status: 403, code: 'api_key_expired', challenge: null }, [
    ['an expired key', ({ expired }) => [apiKey(expired)]],
    ['a key that was replaced', ({ rotated }) => [apiKey(rotated)]],
  ]),
]

/** Keys, good or not, where only a token will do. */
export const keysForTokens: Row[] = rows({ status: 403, code: 'jwt_required', challenge: null }, [
  ['a good key', ({ key }) => [apiKey(key)]],
  ['a revoked key', ({ revoked }) => [apiKey(revoked)]],
  ['a key that nobody made', () => [apiKey(unknownKey())]],
  ['text that is no key', () => [apiKey('nonsense')]],
  ['a token as key', ({ token }) => [apiKey(token)]],
  ['a good key as Bearer', ({ key }) => [bearer(key)]],
  ['a typo of a key as Bearer', () => [bearer('lk_typo')]],
])

/** Expects the answer that a row names, with its challenge and not to be cached. */
export const expectRow = (answer: RawAnswer | null, { status, code, challenge }: Row): void => {
  expectProblem(answer, status, code)
  expect(answer?.headers.get('www-authenticate') ?? null).toBe(challenge)
  expect(answer?.headers.get('cache-control')).toBe('no-store')
}

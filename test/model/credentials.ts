import { decodeJwt } from 'jose'
import { call } from '../support/http.ts'
import { member, textOf } from '../support/json.ts'
import type { LinkedSite } from '../support/linked-site.ts'
import { type Credentials, createPassword, type Site, type Tokens } from '../support/site.ts'
import type { Credential, Permission } from './state.ts'

/** How a credential is called in reports, which hold nothing of it. */
export const nameOf = (credential: Credential): string => {
  if (credential.kind === 'key') return credential.keyId
  const { subject, kind } = credential
  return kind === 'user' ? `token of ${subject} in ${credential.session}` : `token of ${subject}`
}

/** What a token names itself and its session by. */
export const claimsOf = (token: string): { readonly session: string; readonly tokenId: string } => {
  const { sid, jti = '' } = decodeJwt(token)
  return { session: String(sid), tokenId: jti }
}

/** What came of a request: `200`, whatever kind of success it was, or a status and a code such as `403 api_key_revoked`. */
export type Outcome = { readonly status: number; readonly text: string }

/** Reads or writes a document with a credential. @throws what fetch throws when nobody answers. */
export const useCredential = async (
  site: LinkedSite,
  credential: Credential,
  needed: Permission,
): Promise<Outcome> => {
  const given = credential.kind === 'key' ? { key: credential.text } : { token: credential.token }
  const { status, body } =
    needed === 'documents:read'
      ? await site.use('/documents?limit=1', given)
      : await site.use('/documents/probe', { ...given, method: 'PUT', json: 1 })
  if (status === 200 || status === 201) return { status, text: '200' }
  return { status, text: `${status} ${String(member(body, 'code'))}` }
}

/** Signs in a user who is active. @throws Error when `login` refuses. */
export const signInAs = async (
  { login }: Pick<Site, 'login'>,
  { email, password }: Credentials,
): Promise<Tokens> => {
  const { status, body } = await call(`${login.url}/auth/login`, { json: { email, password } })
  if (status !== 200) throw new Error(`Sign-in of an active user is answered with ${status}`)
  return { accessToken: textOf(body, 'access_token'), refreshToken: textOf(body, 'refresh_token') }
}

export const newCredentials = (name: string): Credentials => ({
  email: `${name}@example.com`,
  password: createPassword(),
})

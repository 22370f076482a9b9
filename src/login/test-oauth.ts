import { expect } from 'bun:test'
import { bySystem } from '../lib/audit.ts'
import { formMediaType } from '../lib/form.ts'
import type { Answer } from '../lib/test-http.ts'
import type { TestLogin } from './test-login.ts'

/** Name and value, in order: a form may have a name twice. */
export type Pairs = Readonly<Record<string, string>> | readonly (readonly [string, string])[]

const encode = (text: string): string => encodeURIComponent(text).replaceAll('%20', '+')

export const formText = (pairs: Pairs): string =>
  (Array.isArray(pairs) ? pairs : Object.entries(pairs))
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .join('&')

/** Client credentials as RFC 6749 section 2.3.1 has them: each form-encoded, then Basic. */
export const basic = (id: string, secret: string): Record<string, string> => ({
  authorization: `Basic ${Buffer.from(`${encode(id)}:${encode(secret)}`).toString('base64')}`,
})

export const sendForm = (
  login: TestLogin,
  path: string,
  form: Pairs | string,
  headers: Record<string, string> = {},
): Promise<Answer> =>
  login.send('POST', path, {
    headers: { 'content-type': formMediaType, ...headers },
    raw: typeof form === 'string' ? form : formText(form),
  })

/** A service account that is made as administrators make them. */
export const addService = async (login: TestLogin, scopes: readonly string[] = ['changes:read']) => {
  const { client, secret } = await login.registry.create({ name: 'A service', scopes }, bySystem)
  return { id: client.id, secret, headers: basic(client.id, secret) }
}
export type Service = Awaited<ReturnType<typeof addService>>

const member = (answer: Answer, name: string): unknown => {
  const body = answer.json()
  return typeof body === 'object' && body !== null
    ? Object.getOwnPropertyDescriptor(body, name)?.value
    : undefined
}

export const tokenOf = async (
  login: TestLogin,
  { headers }: Pick<Service, 'headers'>,
  form: Pairs = { grant_type: 'client_credentials' },
): Promise<string> => {
  const answer = await sendForm(login, '/oauth/token', form, headers)
  const token = member(answer, 'access_token')
  if (typeof token !== 'string') throw new Error(`Asking for a token came to ${answer.text}`)
  return token
}

/** RFC 6749 section 5.2: the form of every error, which holds nothing that was sent. */
export const expectOAuthError = (
  answer: Answer,
  status: number,
  code: string,
  lacks: readonly string[] = [],
): void => {
  expect([answer.status, member(answer, 'error')]).toEqual([status, code])
  expect(answer.json()).toEqual({
    error: code,
    // Its characters are those of section 5.2.
    error_description: expect.stringMatching(/^[\x20\x21\x23-\x5b\x5d-\x7e]{1,200}$/),
  })
  expect(answer.headers.get('content-type')).toMatch(/^application\/json/)
  expect(answer.headers.get('cache-control')).toBe('no-store')
  expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
  expect(answer.headers.get('www-authenticate')).toBe(status === 401 ? 'Basic realm="latchkey"' : null)
  for (const text of lacks) expect(answer.text).not.toContain(text)
}

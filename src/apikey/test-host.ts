import { Elysia } from 'elysia'
import { type Answer, type Ask, ask } from '../lib/test-http.ts'
import type { Owner } from './owners.ts'
import { problems } from './problems.ts'
import { apikeyRoutes } from './routes.ts'
import { type TestAuthOptions, testAuth } from './testing.ts'

const roles = {
  user: ['notes:read', 'notes:write'],
  reader: ['notes:read'],
  admin: ['notes:*', 'api-keys:*'],
} as const

export type HostOptions = Omit<
  TestAuthOptions<'notes:read' | 'notes:write' | 'notes:*' | 'api-keys:*'>,
  'roles'
> & {
  readonly normalize?: boolean | 'typebox'
  readonly withProblems?: boolean
  readonly findOwner?: (ownerId: string) => Promise<Owner | null>
}

/** An app that hosts the management routes and two routes of its own, and ways to call it. */
export const createHost = ({
  normalize = true,
  withProblems = true,
  findOwner,
  ...options
}: HostOptions = {}) => {
  const { auth, as, key } = testAuth({ ...options, roles })
  const unexpected: unknown[] = []
  const ran: string[] = []
  const problem = problems({ onUnexpected: error => unexpected.push(error) })
  const app = new Elysia({ normalize, handler: { standardHostname: false } })
    .use(withProblems ? problem : new Elysia())
    .use(auth)
    .use(apikeyRoutes(auth, findOwner === undefined ? {} : { findOwner }))
    .get('/notes', () => ran.push('notes'), { permission: 'notes:read' })
    .get('/whoami', ({ principal }) => principal, { permission: 'any' })

  return {
    app,
    auth,
    as,
    key,
    ran,
    unexpected,
    /** Asks as a user of this name, by role `user` unless another is given. */
    by: async (user: string, method: string, path: string, given: Ask = {}, role = 'user'): Promise<Answer> =>
      ask(app, method, path, { ...given, headers: { ...(await as(role, user)), ...given.headers } }),
    /** Asks with the text of a key. */
    with: (text: string, method: string, path: string, given: Ask = {}): Promise<Answer> =>
      ask(app, method, path, { ...given, headers: { 'x-api-key': text, ...given.headers } }),
  }
}

export type Host = ReturnType<typeof createHost>

/** The members of a JSON answer, or none. */
export const members = (answer: Answer): Record<string, unknown> => {
  const body = answer.json()
  return typeof body === 'object' && body !== null ? { ...body } : {}
}

/** A member that is a text, or the empty one. */
export const text = (answer: Answer, name: string): string => {
  const value = members(answer)[name]
  return typeof value === 'string' ? value : ''
}

import { now } from '../revocation/clock.ts'
import { call } from './http.ts'
import { requestWith, type Use } from './key-watch.ts'
import type { Role } from './role.ts'
import { type Key, keyOf, makeKey, type Person, type Site } from './site.ts'

/** One change of one key by one of several processes, to be seen by all of them. */
export type Trial = {
  readonly use: Use
  /** Makes the change by this service. Resolves with the time from which it counts, once it is acknowledged. */
  change(service: Role): Promise<number>
  /** What must hold on every service as soon as the change is acknowledged; null for nothing else. */
  readonly also: () => { readonly request: string; readonly result: string } | null
  /**
   * When the change takes effect by itself, milliseconds since the epoch, and when it was acknowledged that it will;
   * null for changes that count at once.
   */
  readonly instant: () => { readonly at: number; readonly acknowledgedAt: number } | null
  readonly key: Key
}

export type TrialContext = {
  readonly site: Site
  /** Token of an administrator, who may do all of it. */
  readonly token: string
  readonly owner: Person
  /** Has a document of the name `other`, which the owner has not. */
  readonly other: Person
}

const read = '/documents?limit=1'

type Kind = (context: TrialContext) => Promise<Omit<Trial, 'use'> & { readonly use: Omit<Use, 'what'> }>

/** @throws Error for an answer that is not of this status. */
const expected = async (status: number, answer: ReturnType<typeof call>) => {
  const got = await answer
  const at = now()
  if (got.status !== status) throw new Error(`${got.status} instead of ${status}: ${got.text.slice(0, 300)}`)
  return { at, got }
}

const keyUrl = ({ url }: Role, { id }: Key): string => `${url}/api-keys/${id}`

/** A change by PATCH, of a key with these permissions. */
const patch =
  (
    use: {
      readonly method?: string
      readonly path?: string
      readonly before: string
      readonly after: string
    },
    json: Readonly<Record<string, unknown>>,
    permissions: readonly string[] = ['documents:read', 'documents:write'],
    first: Readonly<Record<string, unknown>> | null = null,
  ): Kind =>
  async ({ site, token, owner }) => {
    const key = await makeKey(site, owner.accessToken, { permissions })
    if (first !== null) {
      await expected(200, call(keyUrl(site.service, key), { token, method: 'PATCH', json: first }))
    }
    const { method = 'GET', path = read, before, after } = use
    return {
      key,
      use: { request: requestWith(key.key, method, path), before, after },
      change: async service =>
        (await expected(200, call(keyUrl(service, key), { token, method: 'PATCH', json }))).at,
      also: () => null,
      instant: () => null,
    }
  }

const revoked: Kind = async ({ site, token, owner }) => {
  const key = await makeKey(site, owner.accessToken)
  return {
    key,
    use: { request: requestWith(key.key, 'GET', read), before: '200', after: '403 api_key_revoked' },
    change: async service =>
      (await expected(204, call(keyUrl(service, key), { token, method: 'DELETE' }))).at,
    also: () => null,
    instant: () => null,
  }
}

/** So far away every process has heard of it when it comes; on a busy disk a change may take longer than that. */
const expiryLeadsMs = [250, 1_000, 4_000]

const expiring: Kind = async ({ site, token, owner }) => {
  const key = await makeKey(site, owner.accessToken)
  let instant: ReturnType<Trial['instant']> = null
  return {
    key,
    use: { request: requestWith(key.key, 'GET', read), before: '200', after: '403 api_key_expired' },
    change: async service => {
      for (const lead of expiryLeadsMs) {
        const at = Date.now() + lead
        const json = { expiresAt: new Date(at).toISOString() }
        const { status } = await call(keyUrl(service, key), { token, method: 'PATCH', json })
        const acknowledgedAt = now()
        if (status === 200) {
          instant = { at, acknowledgedAt }
          return Math.max(at, acknowledgedAt)
        }
        // 422: that was no longer in the future.
        if (status !== 422) throw new Error(`${status} instead of 200`)
      }
      throw new Error('No time of expiry lay in the future')
    },
    also: () => null,
    instant: () => instant,
  }
}

const rotated: Kind = async ({ site, token, owner }) => {
  const key = await makeKey(site, owner.accessToken)
  let next: Key | null = null
  return {
    key,
    use: { request: requestWith(key.key, 'GET', read), before: '200', after: '403 api_key_expired' },
    change: async service => {
      const json = { graceSeconds: 0 }
      const { at, got } = await expected(201, call(`${keyUrl(service, key)}/rotate`, { token, json }))
      next = keyOf(site, got)
      return at
    },
    also: () => (next === null ? null : { request: requestWith(next.key, 'GET', read), result: '200' }),
    instant: () => null,
  }
}

const transferred: Kind = async ({ site, token, owner, other }) => {
  const key = await makeKey(site, owner.accessToken)
  return {
    key,
    use: {
      request: requestWith(key.key, 'GET', '/documents/other'),
      before: '404 document_not_found',
      after: '200',
    },
    change: async service => {
      const json = { from: owner.id, to: other.id, keyIds: [key.id] }
      return (await expected(200, call(`${service.url}/api-keys/transfer`, { token, json }))).at
    },
    also: () => null,
    instant: () => null,
  }
}

const insufficient = '403 insufficient_permission'

export const kinds: Readonly<Record<string, Kind>> = {
  revoked,
  disabled: patch({ before: '200', after: '403 api_key_disabled' }, { enabled: false }),
  enabled: patch({ before: '403 api_key_disabled', after: '200' }, { enabled: true }, undefined, {
    enabled: false,
  }),
  narrowed: patch({ before: '200', after: insufficient }, { permissions: ['documents:write'] }),
  widened: patch(
    { method: 'DELETE', path: '/documents/none', before: insufficient, after: '404 document_not_found' },
    { permissions: ['documents:read', 'documents:write'] },
    ['documents:read'],
  ),
  expiring,
  rotated,
  transferred,
}

/** Makes a key, and says what is to be done to it. */
export const prepareTrial = async (kind: string, context: TrialContext): Promise<Trial> => {
  const make = kinds[kind]
  if (make === undefined) throw new Error(`There is no trial ${kind}`)
  const made = await make(context)
  return { ...made, use: { ...made.use, what: kind } }
}

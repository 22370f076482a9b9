import type { AuditContext } from './audit.ts'
import { clientAddress, type TrustedProxies } from './client-address.ts'

/** What is known of a request beside its handler: for problems, audit rows and the access log. */
export type RequestFacts = {
  /** Echoed in `X-Request-Id`, in problems, logs and audit rows. */
  readonly id: string
  /** Owner of the credential, once it is verified. */
  actorId: string | null
  /** The code of the problem it was answered with. */
  code: string | null
  /** See {@link addressOf}; absent until somebody asks. */
  address?: string | null
  /** See {@link trustProxies}; absent where none is trusted. */
  proxies?: TrustedProxies
}

const factsKey = Symbol('facts')

declare global {
  interface Request {
    /** On the request itself: what a `WeakMap` takes for each costs more than all else here. */
    [factsKey]?: RequestFacts
  }
}

const givenId = /^[\w-]{1,64}$/

/** The facts of a request, made at first asking. A caller's own id is kept where it can harm no log. */
export const factsOf = (request: Request): RequestFacts => {
  const known = request[factsKey]
  if (known !== undefined) return known
  const given = request.headers.get('x-request-id')
  const made: RequestFacts = {
    id: given !== null && givenId.test(given) ? given : Bun.randomUUIDv7(),
    actorId: null,
    code: null,
  }
  request[factsKey] = made
  return made
}

/** The part of Bun's server that knows where a connection comes from. */
export type AddressSource = { requestIP(request: Request): { address: string } | null } | null

/**
 * Takes the word of these proxies for where a request comes from. Said of each request, before anybody asks for its
 * address: whoever asks then need not know of proxies.
 */
export const trustProxies = (request: Request, proxies: TrustedProxies | null): void => {
  if (proxies !== null) factsOf(request).proxies = proxies
}

/** As a socket for both families names a peer of IPv4. */
const mappedPrefix = '::ffff:'

const findAddress = (request: Request, server: AddressSource, proxies?: TrustedProxies): string | null => {
  const peer = server?.requestIP(request)?.address ?? null
  if (peer === null) return null
  if (proxies !== undefined) return clientAddress(peer, request.headers.get('x-forwarded-for'), proxies)
  return peer.startsWith(mappedPrefix) ? peer.slice(mappedPrefix.length) : peer
}

/**
 * Where a request comes from: the peer of its connection or, where that is a trusted proxy, the client before it. Null
 * where there is no connection. Asked once, since each time costs a microsecond.
 */
export const addressOf = (request: Request, server: AddressSource): string | null => {
  const facts = factsOf(request)
  facts.address ??= findAddress(request, server, facts.proxies)
  return facts.address
}

/** Who asks for a change, and from where, for the audit row beside it. */
export const auditContextOf = <ActorId extends string | null>(
  request: Request,
  server: AddressSource,
  actorId: ActorId,
): AuditContext & { actorId: ActorId } => ({
  actorId,
  requestId: factsOf(request).id,
  address: addressOf(request, server),
})

/** Keys, which somebody may put where they do not belong. */
const keys = /_[0-9A-Za-z]{65}/g

/**
 * Tokens as well, and what begins like one. Whatever begins so is a match, so that none of it is looked at again: a
 * pattern that asks for the two dots looks through all that follows once for each `eyJ` in it, and of those there can be
 * thousands.
 */
const tokens = /eyJ[\w-]+(?:\.[\w-]+){0,2}/g

const withoutCredentials = (path: string): string =>
  path
    .replace(tokens, match => (match.indexOf('.') === match.lastIndexOf('.') ? match : '…'))
    .replace(keys, '…')

/**
 * The path of a URL, for logs: without query, at most 256 characters, and without a key or token that was pasted into
 * it (LOG-02).
 */
export const pathOf = (url: string): string => {
  const start = url.indexOf('/', url.indexOf('//') + 2)
  const end = url.indexOf('?', start)
  const path = url.slice(start, end === -1 ? undefined : end)
  return (path.length > 64 ? withoutCredentials(path) : path).slice(0, 256)
}

import type { Clock } from './clock.ts'

/**
 * A prefixed, opaque identifier that sorts by time of creation: `usr_` and the 32 hexadecimal digits of a
 * UUID version 7 (RFC 9562 section 5.7). It names a thing and is never a secret.
 */
export const createId = (prefix: string, clock: Clock): string =>
  `${prefix}_${Bun.randomUUIDv7('hex', clock()).replaceAll('-', '')}`

/** The pattern of `createId(prefix)`, for schemas and for what enters a path. */
export const idPattern = (prefix: string): string => `^${prefix}_[0-9a-f]{32}$`

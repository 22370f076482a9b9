import type { LimitStatus, NamedLimit } from './limiter.ts'

/*
 * `RateLimit-Policy` and `RateLimit` as in draft-ietf-httpapi-ratelimit-headers (revision 10): Lists of Strings with
 * parameters, in the syntax of structured fields (RFC 9651).
 */

/** A String (RFC 9651, section 3.3.3). The names of limits have none of what must be escaped, but a policy may. */
const quoted = (name: string): string => `"${name.replaceAll(/["\\]/g, '\\$&')}"`

const policies = new WeakMap<readonly NamedLimit[], string>()

/** The value of `RateLimit-Policy`: quota and window of each limit. Made once for an array of limits. */
export const rateLimitPolicy = (limits: readonly NamedLimit[]): string => {
  const known = policies.get(limits)
  if (known !== undefined) return known
  const policy = limits
    .map(({ name, limit, windowSeconds }) => `${quoted(name)};q=${limit};w=${windowSeconds}`)
    .join(', ')
  policies.set(limits, policy)
  return policy
}

/**
 * The value of `RateLimit`: what is left of each limit, and the seconds until there is one more. `t` is left out where
 * nothing is used, and nothing therefore comes back.
 */
export const rateLimit = (statuses: readonly LimitStatus[]): string =>
  statuses
    .map(
      ({ name, remaining, resetSeconds }) =>
        `${quoted(name)};r=${remaining}${resetSeconds === 0 ? '' : `;t=${resetSeconds}`}`,
    )
    .join(', ')

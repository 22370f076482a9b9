import { FormatRegistry, type Static, type TSchema } from '@sinclair/typebox'
import { plainAnswer, readBounded, readChecked } from './bounded-response.ts'
import type { ClientTokens, Fetch } from './client-token.ts'
import { FollowedAnswer, FollowedChanges, FollowedSnapshot } from './follower-facts.ts'

/** Why what was read so far does not lead on: everything has to be read anew. */
export type ResyncReason = 'no_position' | 'resync_required' | 'generation_changed' | 'subject_unavailable'

export class ResyncNeeded extends Error {
  override readonly name = 'ResyncNeeded'
  readonly reason: ResyncReason
  constructor(reason: ResyncReason) {
    super(reason)
    this.reason = reason
  }
}

/** An answer, but not the one that was asked for. */
export class StatusError extends Error {
  override readonly name = 'StatusError'
  readonly status: number
  constructor(status: number, path: string) {
    super(`${path} answered ${status}`)
    this.status = status
  }
}

export type FeedSourceOptions = {
  /** Address of `login`, without a slash at its end. */
  readonly url: string
  readonly tokens: ClientTokens
  readonly fetch?: Fetch
  readonly maxBytes?: number
}

export type Poll = {
  readonly after: string
  readonly limit: number
  /** Seconds that the answer may wait for something to happen. */
  readonly wait: number
  readonly follower: string
}

/** What work has, or the reason of the signal once that is given; the work itself may be shared, and goes on. */
const within = <T>(work: Promise<T>, signal: AbortSignal): Promise<T> =>
  new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason)
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })

/**
 * The feed as HTTP speaks it: each method one bounded request, or two where a token was refused. The signals end what is
 * under way.
 */
export const createFeedSource = ({
  url,
  tokens,
  fetch = globalThis.fetch,
  maxBytes = 4_194_304,
}: FeedSourceOptions) => {
  // TypeBox fails every text of a format that nobody registered; Elysia's own copy of it may be another one.
  if (!FormatRegistry.Has('date-time')) {
    FormatRegistry.Set('date-time', value => !Number.isNaN(Date.parse(value)))
  }

  // Where one connection died without a word, those that are kept beside it may be as dead: one for each try.
  let isSuspect = false

  const request = async (path: string, signal: AbortSignal): Promise<Response> => {
    const token = await within(tokens.get(), signal)
    try {
      const response = await fetch(`${url}${path}`, {
        ...plainAnswer,
        redirect: 'error',
        cache: 'no-store',
        keepalive: !isSuspect,
        signal,
        headers: { ...plainAnswer.headers, authorization: `Bearer ${token}`, accept: 'application/json' },
      })
      isSuspect = false
      if (response.status === 401) tokens.drop(token)
      return response
    } catch (error) {
      isSuspect = true
      throw error
    }
  }

  const get = async <Schema extends TSchema>(
    path: string,
    schema: Schema,
    timeoutMilliseconds: number,
    ended: AbortSignal,
  ): Promise<Static<Schema>> => {
    // One time for all of it, the token too: each part that may wait for itself would have changes wait for the sum.
    const signal = AbortSignal.any([ended, AbortSignal.timeout(timeoutMilliseconds)])
    let response = await request(path, signal)
    if (response.status === 401) {
      await readBounded(response, maxBytes)
      response = await request(path, signal)
    }
    if (response.status === 200) return readChecked(response, schema, maxBytes)
    await readBounded(response, maxBytes)
    if (response.status === 410) throw new ResyncNeeded('resync_required')
    throw new StatusError(response.status, path.slice(0, path.search(/\?|$/)))
  }

  return {
    poll: (
      { after, limit, wait, follower }: Poll,
      timeoutMilliseconds: number,
      signal: AbortSignal,
    ): Promise<FollowedChanges> => {
      const query = new URLSearchParams({ after, limit: String(limit), wait: String(wait), follower })
      return get(`/changes?${query}`, FollowedChanges, timeoutMilliseconds, signal)
    },

    snapshot: (page: string | null, signal: AbortSignal): Promise<FollowedSnapshot> =>
      get(
        page === null ? '/changes/snapshot' : `/changes/snapshot?${new URLSearchParams({ page })}`,
        FollowedSnapshot,
        10_000,
        signal,
      ),

    /** One subject as it is now. @throws ResyncNeeded where `login` will never tell: only a snapshot can then. */
    subject: async (id: string, signal: AbortSignal): Promise<FollowedAnswer> => {
      try {
        return await get(`/changes/subjects/${encodeURIComponent(id)}`, FollowedAnswer, 3_000, signal)
      } catch (error) {
        const isFinal = error instanceof StatusError && [400, 404, 405, 422].includes(error.status)
        throw isFinal ? new ResyncNeeded('subject_unavailable') : error
      }
    },
  }
}

export type FeedSource = ReturnType<typeof createFeedSource>

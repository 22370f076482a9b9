import { FormatRegistry, type Static, type TSchema } from '@sinclair/typebox'
import { readBounded, readChecked } from './bounded-response.ts'
import { ChangesPage, SnapshotPage, SubjectAnswer } from './changes-schema.ts'
import type { ClientTokens, Fetch } from './client-token.ts'

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

export type FeedSourceOptions = {
  /** Address of `login`, without a slash at its end. */
  readonly url: string
  readonly tokens: ClientTokens
  /** Ends what is under way. */
  readonly signal: AbortSignal
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

/** The feed as HTTP speaks it: each method one bounded request, or two where a token was refused. */
export const createFeedSource = ({
  url,
  tokens,
  signal,
  fetch = globalThis.fetch,
  maxBytes = 4_194_304,
}: FeedSourceOptions) => {
  // TypeBox fails every text of a format that nobody registered; Elysia's own copy of it may be another one.
  if (!FormatRegistry.Has('date-time')) {
    FormatRegistry.Set('date-time', value => !Number.isNaN(Date.parse(value)))
  }

  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason))
  })
  // Nobody may be waiting for it when it comes.
  aborted.catch(() => {})

  const request = async (path: string, timeoutMilliseconds: number): Promise<Response> => {
    const token = await Promise.race([tokens.get(), aborted])
    const response = await fetch(`${url}${path}`, {
      redirect: 'error',
      cache: 'no-store',
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMilliseconds)]),
      headers: { authorization: `Bearer ${token}`, accept: 'application/json' },
    })
    if (response.status === 401) tokens.drop(token)
    return response
  }

  const get = async <Schema extends TSchema>(
    path: string,
    schema: Schema,
    timeoutMilliseconds: number,
  ): Promise<Static<Schema>> => {
    let response = await request(path, timeoutMilliseconds)
    if (response.status === 401) {
      await readBounded(response, maxBytes)
      response = await request(path, timeoutMilliseconds)
    }
    if (response.status === 200) return readChecked(response, schema, maxBytes)
    await readBounded(response, maxBytes)
    if (response.status === 410) throw new ResyncNeeded('resync_required')
    throw new StatusError(response.status, path.slice(0, path.search(/\?|$/)))
  }

  return {
    poll: ({ after, limit, wait, follower }: Poll, timeoutMilliseconds: number): Promise<ChangesPage> => {
      const query = new URLSearchParams({ after, limit: String(limit), wait: String(wait), follower })
      return get(`/changes?${query}`, ChangesPage, timeoutMilliseconds)
    },

    snapshot: (page: string | null): Promise<SnapshotPage> =>
      get(
        page === null ? '/changes/snapshot' : `/changes/snapshot?${new URLSearchParams({ page })}`,
        SnapshotPage,
        10_000,
      ),

    /** One subject as it is now. @throws ResyncNeeded where `login` will never tell: only a snapshot can then. */
    subject: async (id: string): Promise<SubjectAnswer> => {
      try {
        return await get(`/changes/subjects/${encodeURIComponent(id)}`, SubjectAnswer, 3_000)
      } catch (error) {
        const isFinal = error instanceof StatusError && [400, 404, 405, 422].includes(error.status)
        throw isFinal ? new ResyncNeeded('subject_unavailable') : error
      }
    },
  }
}

export type FeedSource = ReturnType<typeof createFeedSource>

class StatusError extends Error {
  readonly status: number
  constructor(status: number, path: string) {
    super(`${path} answered ${status}`)
    this.status = status
  }
}

import { Elysia, t } from 'elysia'
import { ChangesPage, readChanges, SnapshotPage, SubjectAnswer } from '../lib/changes-schema.ts'
import { Failure } from '../lib/failure.ts'
import type { Outcome } from '../lib/guard.ts'
import { allows } from '../lib/permission.ts'
import type { Polls } from './changes-poll.ts'
import type { ClientGuard, ClientPrincipal } from './client-guard.ts'
import type { Feed, FeedRead } from './feed.ts'
import type { Followers } from './follower-registry.ts'
import { refuseHolder } from './guard.ts'
import type { LoginProblems } from './problems.ts'

const defaultLimit = 500
const maximumLimit = 1_000
const maximumWait = 20

/** More than any wait: Bun would cut a connection on which nothing is sent. */
const idleSlackSeconds = 10

/** Numbers of a query have their bounds here: Elysia names no field when one is out of bounds. */
const within = (field: string, value: number, minimum: number, maximum: number): number => {
  if (value >= minimum && value <= maximum) return value
  throw new Failure('invalid_request', { errors: [{ field, rule: `must be ${minimum} to ${maximum}` }] })
}

const ChangesQuery = t.Object({
  after: t.String({
    minLength: 1,
    maxLength: 256,
    description: 'nextCursor of the page before, or cursor of a snapshot: everything up to there is applied',
  }),
  limit: t.Optional(t.Integer({ description: `1 to ${maximumLimit}; ${defaultLimit} when absent` })),
  wait: t.Optional(
    t.Integer({ description: `Seconds to wait for something to happen, 0 to ${maximumWait}; 0 when absent` }),
  ),
  follower: t.Optional(
    t.String({
      pattern: '^[A-Za-z0-9._-]{1,64}$',
      description: 'What the follower calls itself in GET /changes/followers',
    }),
  ),
})

export type ChangesRoutesOptions = {
  readonly problems: LoginProblems
  readonly clientGuard: ClientGuard
  readonly feed: Feed
  readonly polls: Polls
  readonly followers: Followers
  /** Judges a request anew, whose token may have been good only when it came. */
  readonly judge: (request: Request) => Promise<Outcome<ClientPrincipal>>
}

/** The change feed, for the services that honour our tokens. */
export const changesRoutes = ({
  problems,
  clientGuard,
  feed,
  polls,
  followers,
  judge,
}: ChangesRoutesOptions) => {
  /** Who waited may have been shut out meanwhile, and then hears nothing. */
  const requireReader = async (request: Request): Promise<void> => {
    const outcome = await judge(request)
    if (!outcome.ok) throw outcome.refusal
    if (!allows(outcome.principal.permissions, readChanges)) throw refuseHolder().refusal
  }

  return new Elysia({ name: 'login/changes', prefix: '/changes', tags: ['Changes'] })
    .use(problems)
    .use(clientGuard)
    .get(
      '',
      async ({ principal, query, request, server, set }) => {
        set.headers['cache-control'] = 'no-store'
        const limit = within('limit', query.limit ?? defaultLimit, 1, maximumLimit)
        const seconds = within('wait', query.wait ?? 0, 0, maximumWait)
        server?.timeout(request, seconds + idleSlackSeconds)

        let isFirst = true
        let leave = (): void => {}
        const ask = async (): Promise<FeedRead> => {
          const isAgain = !isFirst
          isFirst = false
          if (isAgain) await requireReader(request)
          const read = await feed.read(query.after, limit)
          if (!isAgain) {
            leave = followers.note({
              name: query.follower ?? null,
              clientId: principal.clientId,
              generation: read.page.generation,
              sequence: read.acknowledged,
            })
          }
          return read
        }
        try {
          const { page } = await polls.wait({
            caller: principal.clientId,
            seconds,
            signal: request.signal,
            ask,
            isAnswer: ({ page: { items } }) => items.length > 0,
          })
          return page
        } finally {
          leave()
        }
      },
      {
        permission: readChanges,
        query: ChangesQuery,
        response: { 200: ChangesPage },
        detail: {
          summary: 'Read what happened after a cursor, oldest first',
          description:
            'Answers as soon as there is something, or empty when `wait` is over. 410 `resync_required`: take a snapshot and go on from its cursor.',
        },
      },
    )
    .get(
      '/snapshot',
      ({ query: { page }, set }) => {
        set.headers['cache-control'] = 'no-store'
        return feed.snapshot(page)
      },
      {
        permission: readChanges,
        query: t.Object({
          page: t.Optional(
            t.String({ minLength: 1, maxLength: 256, description: 'nextPage of the page before' }),
          ),
        }),
        response: { 200: SnapshotPage },
        detail: {
          summary: 'Read the state of everything, page by page',
          description:
            'All users and service accounts, and the sessions and tokens that ended and have not expired. What happened since the first page is read from `cursor` on.',
        },
      },
    )
    .get(
      '/subjects/:id',
      ({ params: { id }, set }) => {
        set.headers['cache-control'] = 'no-store'
        return feed.subject(id)
      },
      {
        permission: readChanges,
        params: t.Object({ id: t.String({ pattern: '^[A-Za-z0-9_-]{1,128}$' }) }),
        response: { 200: SubjectAnswer },
        detail: {
          summary: 'Read the state of one user or service account',
          description: 'One that is gone or never was is `deleted`.',
        },
      },
    )
}

import { Type } from '@sinclair/typebox'
import { Elysia, t } from 'elysia'
import { isoTime } from '../lib/clock.ts'
import type { Feed } from './feed.ts'
import type { Followers } from './follower-registry.ts'
import type { LoginGuard } from './guard.ts'
import type { LoginProblems } from './problems.ts'

const FollowerView = t.Object({
  follower: t.Nullable(t.String({ description: 'What it calls itself' })),
  clientId: t.String(),
  sequence: t.Nullable(
    Type.Integer({
      description: 'The last change that it has applied; null until it has taken a new snapshot',
    }),
  ),
  behind: t.Nullable(Type.Integer({ description: 'How many changes it has not acknowledged' })),
  lastPolledAt: t.String({ format: 'date-time' }),
  isWaiting: t.Boolean({ description: 'Whether it waits for the next change now' }),
})

const FollowerList = t.Object({
  latestSequence: Type.Integer({ description: 'The last change of all' }),
  items: t.Array(FollowerView),
})

export type FollowerRoutesOptions = {
  readonly problems: LoginProblems
  readonly guard: LoginGuard
  readonly feed: Pick<Feed, 'latest'>
  readonly followers: Followers
}

/** Who has heard what: for administrators, and so apart from the feed itself. */
export const followerRoutes = ({ problems, guard, feed, followers }: FollowerRoutesOptions) =>
  new Elysia({ name: 'login/followers', prefix: '/changes', tags: ['Changes'] })
    .use(problems)
    .use(guard)
    .get(
      '/followers',
      () => {
        const { generation, sequence: latestSequence } = feed.latest()
        const items = followers.list().map(({ name, clientId, lastPolledAt, isWaiting, ...follower }) => {
          // A number of another history says nothing about this one.
          const sequence = follower.generation === generation ? follower.sequence : null
          return {
            follower: name,
            clientId,
            sequence,
            behind: sequence === null ? null : latestSequence - sequence,
            lastPolledAt: isoTime(lastPolledAt),
            isWaiting,
          }
        })
        return { latestSequence, items }
      },
      {
        permission: 'changes:inspect',
        response: { 200: FollowerList },
        detail: {
          summary: 'List the services that follow the feed, and how far they are',
          description: 'Those heard since this process started, the last one first.',
        },
      },
    )

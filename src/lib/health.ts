import { Elysia, t } from 'elysia'
import { Failure } from './failure.ts'
import type { Problems } from './problem.ts'
import type { Lifecycle } from './server.ts'

const Status = t.Object({ status: t.Literal('ok') })

/** `/livez`: the process answers. `/readyz`: it can do its work, and is not on its way out. Open to anyone. */
export const health = <Code extends string>({
  problems,
  ready,
  lifecycle,
}: {
  problems: Problems<Code>
  ready: () => Promise<boolean>
  lifecycle: Lifecycle
}) =>
  new Elysia({ name: 'latchkey/health', tags: ['Health'] })
    .use(problems)
    .get('/livez', () => ({ status: 'ok' as const }), {
      response: { 200: Status },
      detail: { summary: 'Whether the process answers' },
    })
    .get(
      '/readyz',
      async () => {
        if (lifecycle.draining || !(await ready())) throw new Failure('unavailable', { retryAfterSeconds: 1 })
        return { status: 'ok' as const }
      },
      { response: { 200: Status }, detail: { summary: 'Whether it can do its work' } },
    )

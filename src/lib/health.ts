import { Elysia, t } from 'elysia'
import { Failure } from './failure.ts'
import type { Problems } from './problem.ts'
import type { Lifecycle } from './server.ts'

const Alive = t.Object({ status: t.Literal('ok') })
const Readiness = t.Object({
  status: t.Union([t.Literal('ok'), t.Literal('degraded')], {
    description: 'degraded: it works by what may be out of date',
  }),
})

/** Whether a service can do its work; `degraded` where it can, by what may be out of date. */
export type Ready = () => Promise<boolean | 'degraded'>

/** `/livez`: the process answers. `/readyz`: it can do its work, and is not on its way out. Open to anyone. */
export const health = <Code extends string>({
  problems,
  ready,
  lifecycle,
}: {
  problems: Problems<Code>
  ready: Ready
  lifecycle: Lifecycle
}) =>
  new Elysia({ name: 'latchkey/health', tags: ['Health'] })
    .use(problems)
    .get('/livez', () => ({ status: 'ok' as const }), {
      response: { 200: Alive },
      detail: { summary: 'Whether the process answers' },
    })
    .get(
      '/readyz',
      async () => {
        const isReady = !lifecycle.draining && (await ready())
        if (isReady === false) throw new Failure('unavailable', { retryAfterSeconds: 1 })
        return { status: isReady === 'degraded' ? ('degraded' as const) : ('ok' as const) }
      },
      { response: { 200: Readiness }, detail: { summary: 'Whether it can do its work' } },
    )

/**
 * The baseline: the app of `latchkey.ts` with authentication taken out. The same request pipeline of the product, the
 * same access log, the same handler.
 *
 * What everything is measured against must not move unseen: `bench/baseline.ts` pins the hash of this file and refuses
 * to run another.
 */
import { Elysia } from 'elysia'
import { createLog } from '../../src/lib/log.ts'
import { createProblems } from '../../src/lib/problem.ts'
import type { AddressSource } from '../../src/lib/request.ts'
import { appConfig, identify, observe, securityHeaders, serve } from '../../src/lib/server.ts'
import { answer, path } from './answer.ts'

const log = createLog({ level: 'info', service: 'bench' })
const app = new Elysia(appConfig)
  .headers(securityHeaders)
  .wrap(observe(log, (): AddressSource => app.server))
  .onRequest(identify)
  .use(createProblems({ table: {}, onUnexpected: error => log.error({ error }, 'unexpected error') }))
  .get(path, answer)

serve({
  app,
  host: '127.0.0.1',
  port: 0,
  drainSeconds: 1,
  log,
  lifecycle: { draining: false },
  close: () => undefined,
})

import { describe, expect, test } from 'bun:test'
import { Elysia } from 'elysia'
import { type FeedGauges, metrics } from './metrics.ts'
import { createProblems } from './problem.ts'
import { ask } from './test-http.ts'
import { serve } from './test-serve.ts'
import { version } from './version.ts'

const token = 'a-token-of-the-collector'
const problems = createProblems({ table: {}, onUnexpected: () => {} })

const app = (given: string | null, feed?: () => FeedGauges | null) =>
  new Elysia().use(problems).use(
    metrics({
      problems,
      service: 'test',
      ...(given === null ? {} : { token: given }),
      ...(feed === undefined ? {} : { feed }),
    }),
  )

/** As a request from somewhere else: one that did not come over a socket of this machine. */
const fromElsewhere = (headers: Record<string, string> = {}) =>
  ask(app(token), 'GET', '/metrics', { headers })

const fromHere = async (
  headers: Record<string, string> = {},
  feed?: () => FeedGauges | null,
  given: string | null = null,
) => {
  await using served = serve(app(given, feed))
  const response = await fetch(`${served.url}/metrics`, { headers })
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() }
}

const sampleOf = (text: string, name: string): string | undefined =>
  new RegExp(`^${name}(?:\\{[^}]*\\})? (.*)$`, 'm').exec(text)?.[1]

describe('who may read /metrics', () => {
  test('this machine, where there is no token', async () => {
    expect((await fromHere()).status).toBe(200)
  })

  test('where there is one whoever has it, on this machine too: a proxy may send no header that tells', async () => {
    const { status, text } = await fromHere({}, undefined, token)
    expect([status, JSON.parse(text).code]).toEqual([404, 'not_found'])
    expect((await fromHere({ authorization: 'Bearer another-token-of-20' }, undefined, token)).status).toBe(
      404,
    )
    expect((await fromHere({ authorization: `Bearer ${token}` }, undefined, token)).status).toBe(200)
  })

  test.each(['X-Forwarded-For', 'Forwarded', 'X-Forwarded-Proto', 'X-Real-IP', 'Via', 'X-Forwarded-Host'])(
    'no proxy on this machine that asks for somebody else, by %s',
    async header => {
      const { status, text } = await fromHere({ [header]: '127.0.0.1' })
      expect([status, JSON.parse(text).code]).toEqual([404, 'not_found'])
    },
  )

  test.each([`Bearer ${token}`, `bearer ${token}`])('from anywhere whoever sends %s', async authorization => {
    const { status, text } = await fromElsewhere({ authorization })
    expect([status, sampleOf(text, 'latchkey_build_info')]).toEqual([200, '1'])
  })

  test.each([
    '',
    token,
    'Bearer',
    'Bearer ',
    `Bearer ${token}x`,
    `Bearer ${token.slice(1)}`,
    `Bearer ${token.toUpperCase()}`,
    `Basic ${token}`,
    `Bearer ${'x'.repeat(5_000)}`,
  ])('to %j from elsewhere there is nothing here', async authorization => {
    const { status, text } = await fromElsewhere({ authorization })
    expect([status, JSON.parse(text).code]).toEqual([404, 'not_found'])
    expect(text).not.toContain('latchkey_')
  })

  test.each(['', 'Bearer undefined', 'Bearer '])(
    'without a token to compare with, %j lets nobody in',
    async authorization => {
      const answer = await ask(
        new Elysia().use(problems).use(metrics({ problems, service: 'bare' })),
        'GET',
        '/metrics',
        {
          headers: { authorization },
        },
      )
      expect(answer.status).toBe(404)
    },
  )
})

describe('what it tells', () => {
  test('in the text format of Prometheus: the release, and what the process uses', async () => {
    const { type, text } = await fromHere()
    expect(type).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(text).toContain(`latchkey_build_info{version="${version}",service="test"} 1`)
    expect(Number(sampleOf(text, 'process_resident_memory_bytes'))).toBeGreaterThan(1_000_000)
    expect(Number(sampleOf(text, 'process_cpu_seconds_total'))).toBeGreaterThan(0)
    expect(Math.abs(Number(sampleOf(text, 'process_start_time_seconds')) - Date.now() / 1_000)).toBeLessThan(
      600,
    )
    expect(text).not.toContain('latchkey_feed')
  })

  test.each<[string, FeedGauges | null, string, string]>([
    ['is up', { lagSeconds: () => 1.5, isUp: () => true }, '1.5', '1'],
    ['is down', { lagSeconds: () => 400, isUp: () => false }, '400', '0'],
    ['was never heard', { lagSeconds: () => null, isUp: () => false }, '+Inf', '0'],
    ['is not followed', null, '+Inf', '0'],
  ])('how a feed is that %s', async (_, feed, lag, up) => {
    const { text } = await fromHere({}, () => feed)
    expect([sampleOf(text, 'latchkey_feed_lag_seconds'), sampleOf(text, 'latchkey_feed_up')]).toEqual([
      lag,
      up,
    ])
  })

  test('uses of keys that were never counted, and what is remembered, where keys are used', async () => {
    let lost = 0
    const cache = { size: 3, hits: 40, misses: 5 }
    await using served = serve(
      new Elysia().use(problems).use(
        metrics({
          problems,
          service: 'test',
          keys: { usageLost: () => lost, limitOverflows: () => 11, cache },
        }),
      ),
    )
    const read = async () =>
      sampleOf(await (await fetch(`${served.url}/metrics`)).text(), 'latchkey_key_usage_lost_total')
    expect(await read()).toBe('0')
    lost = 7
    expect([await read(), await read()]).toEqual(['7', '7'])
    const { text } = await fetch(`${served.url}/metrics`).then(async answer => ({
      text: await answer.text(),
    }))
    expect(text).toContain('\nlatchkey_verified_credentials 3\n')
    expect(sampleOf(text, 'latchkey_limit_overflows_total')).toBe('11')
    expect(text).toContain('latchkey_credential_lookups_total{result="hit"} 40\n')
    expect(text).toContain('latchkey_credential_lookups_total{result="miss"} 5\n')
    expect((await fromHere()).text).not.toContain('latchkey_key_usage')
  })

  test('refusals by their reason and by the limit that they were over, where credentials are judged', async () => {
    const failed = { credential_missing: 3, api_key_invalid: 0 }
    const throttled = { address: 2, key: 0 }
    await using served = serve(
      new Elysia().use(problems).use(metrics({ problems, service: 'test', failures: { failed, throttled } })),
    )
    const read = async () => (await fetch(`${served.url}/metrics`)).text()
    for (const _ of [1, 2]) {
      const text = await read()
      expect(text).toContain('latchkey_failed_credentials_total{reason="credential_missing"} 3\n')
      expect(text).toContain('latchkey_failed_credentials_total{reason="api_key_invalid"} 0\n')
      expect(text).toContain('latchkey_throttled_total{by="address"} 2\n')
      expect(text).toContain('latchkey_throttled_total{by="key"} 0\n')
    }
    failed.api_key_invalid += 1
    expect(await read()).toContain('latchkey_failed_credentials_total{reason="api_key_invalid"} 1\n')
    expect((await fromHere()).text).not.toMatch(/latchkey_(?:failed|throttled)/)
  })

  test('the same numbers once, however often it is asked', async () => {
    await using served = serve(app(null))
    const used = (): number => {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1e6
    }
    for (const _ of [1, 2]) {
      const text = await (await fetch(`${served.url}/metrics`)).text()
      expect(text.match(/^latchkey_build_info\{/gm)).toHaveLength(1)
      expect(Number(sampleOf(text, 'process_cpu_seconds_total'))).toBeLessThanOrEqual(used())
    }
  })
})

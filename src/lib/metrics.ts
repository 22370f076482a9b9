import { createHash, timingSafeEqual } from 'node:crypto'
import { Elysia, t } from 'elysia'
import { Counter, Gauge, Registry } from 'prom-client'
import { Failure } from './failure.ts'
import type { Problems } from './problem.ts'
import { version } from './version.ts'

/** What can be told of the change feed that a service follows. */
export type FeedGauges = {
  /** Seconds since the last moment of which everything is known; null for never. */
  lagSeconds(): number | null
  isUp(): boolean
}

/** What every process tells, each number read when it is asked for and none kept up to date in between. */
const addProcessMetrics = (registers: Registry[], service: string): void => {
  new Gauge({
    name: 'latchkey_build_info',
    help: 'The release and role of this process; always 1.',
    labelNames: ['version', 'service'],
    registers,
  }).set({ version, service }, 1)
  new Gauge({
    name: 'process_start_time_seconds',
    help: 'When the process was started, seconds since the epoch.',
    registers,
  }).set(performance.timeOrigin / 1_000)
  new Gauge({
    name: 'process_resident_memory_bytes',
    help: 'Memory of the process that is in RAM, bytes.',
    registers,
    collect() {
      this.set(process.memoryUsage.rss())
    },
  })
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'CPU time of user and system, seconds.',
    registers,
    collect() {
      const { user, system } = process.cpuUsage()
      this.reset()
      this.inc((user + system) / 1_000_000)
    },
  })
}

const addFeedMetrics = (registers: Registry[], feed: () => FeedGauges | null): void => {
  new Gauge({
    name: 'latchkey_feed_lag_seconds',
    help: 'Seconds since the last moment of which everything that login acknowledged is known here; +Inf before the first.',
    registers,
    collect() {
      this.set(feed()?.lagSeconds() ?? Number.POSITIVE_INFINITY)
    },
  })
  new Gauge({
    name: 'latchkey_feed_up',
    help: 'Whether login answered when it was last asked for changes.',
    registers,
    collect() {
      this.set(feed()?.isUp() === true ? 1 : 0)
    },
  })
}

/** What can be told of keys, where they are used. */
export type KeyGauges = {
  /** Uses that were never counted. */
  usageLost(): number
  /** Requests that were refused since there was no room left to count them within their limits. */
  limitOverflows(): number
  /** What is remembered of verified credentials. */
  readonly cache: { readonly size: number; readonly hits: number; readonly misses: number }
}

const addKeyMetrics = (registers: Registry[], { usageLost, limitOverflows, cache }: KeyGauges): void => {
  new Gauge({
    name: 'latchkey_verified_credentials',
    help: 'Keys and tokens that are remembered as verified.',
    registers,
    collect() {
      this.set(cache.size)
    },
  })
  new Counter({
    name: 'latchkey_credential_lookups_total',
    help: 'Credentials that were looked for among those, by whether they were there.',
    labelNames: ['result'],
    registers,
    collect() {
      this.reset()
      this.inc({ result: 'hit' }, cache.hits)
      this.inc({ result: 'miss' }, cache.misses)
    },
  })
  new Counter({
    name: 'latchkey_key_usage_lost_total',
    help: 'Uses of API keys that were never counted: the database could not take them for too long.',
    registers,
    collect() {
      this.reset()
      this.inc(usageLost())
    },
  })
  new Counter({
    name: 'latchkey_limit_overflows_total',
    help: 'Requests that were refused since there was no memory left to count them within the limits of their key.',
    registers,
    collect() {
      this.reset()
      this.inc(limitOverflows())
    },
  })
}

/** Requests that were refused for their credential, since the start. */
export type FailureGauges = {
  readonly failed: Readonly<Record<string, number>>
  /** Those of them that were over a limit, by which. */
  readonly throttled: Readonly<Record<string, number>>
}

/** A counter of what is counted elsewhere, with one label. */
const addCounts = (
  registers: Registry[],
  { name, help, label }: { name: string; help: string; label: string },
  counts: Readonly<Record<string, number>>,
): void => {
  new Counter({
    name,
    help,
    labelNames: [label],
    registers,
    collect() {
      this.reset()
      for (const [value, count] of Object.entries(counts)) this.inc({ [label]: value }, count)
    },
  })
}

const addFailureMetrics = (registers: Registry[], { failed, throttled }: FailureGauges): void => {
  addCounts(
    registers,
    {
      name: 'latchkey_failed_credentials_total',
      help: 'Requests whose credential was missing or not right, by why, those over a limit included.',
      label: 'reason',
    },
    failed,
  )
  addCounts(
    registers,
    {
      name: 'latchkey_throttled_total',
      help: 'Such requests that were answered 429, by the limit that they were over.',
      label: 'by',
    },
    throttled,
  )
}

/** Headers by which a proxy says that it asks for somebody else. */
const forwarding = [
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-real-ip',
  'via',
]

const isLoopbackAddress = (address: string): boolean =>
  address === '::1' || /^(::ffff:)?127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(address)

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

const isBearer = (authorization: string | null, token: string): boolean => {
  const given = /^bearer +(\S{1,1024})$/i.exec(authorization ?? '')?.[1]
  // Digests are of one length, which timingSafeEqual asks for.
  return given !== undefined && timingSafeEqual(digest(given), digest(token))
}

export type MetricsOptions<Code extends string> = {
  readonly problems: Problems<Code>
  /** The role of this process. */
  readonly service: string
  /** Lets in whoever has it, from anywhere, and nobody else. */
  readonly token?: string | undefined
  /** Absent where no feed is followed. */
  readonly feed?: () => FeedGauges | null
  /** Absent where no keys are used. */
  readonly keys?: KeyGauges
  /** Absent where no credentials are judged. */
  readonly failures?: FailureGauges
}

/**
 * `/metrics` in the text format of Prometheus: for whoever has the token or, without one, for this machine. To anybody
 * else there is nothing here. A proxy on this machine that sends none of the usual headers looks like this machine, so
 * that behind one of these a token is needed.
 */
export const metrics = <Code extends string>({
  problems,
  service,
  token,
  feed,
  keys,
  failures,
}: MetricsOptions<Code>) => {
  const registry = new Registry()
  addProcessMetrics([registry], service)
  if (feed !== undefined) addFeedMetrics([registry], feed)
  if (keys !== undefined) addKeyMetrics([registry], keys)
  if (failures !== undefined) addFailureMetrics([registry], failures)

  const isLetIn = (headers: Headers, address: string | undefined): boolean =>
    token === undefined
      ? address !== undefined && isLoopbackAddress(address) && !forwarding.some(name => headers.has(name))
      : isBearer(headers.get('authorization'), token)

  return new Elysia({ name: 'latchkey/metrics', seed: service, tags: ['Health'] }).use(problems).get(
    '/metrics',
    async ({ request, server, set }) => {
      if (!isLetIn(request.headers, server?.requestIP(request)?.address)) throw new Failure('not_found')
      set.headers['content-type'] = registry.contentType
      set.headers['cache-control'] = 'no-store'
      return registry.metrics()
    },
    {
      response: { 200: t.String() },
      detail: {
        summary: 'Numbers for Prometheus; by `METRICS_TOKEN` or, where there is none, from this machine',
      },
    },
  )
}

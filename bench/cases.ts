/** What is measured under load. The order is that of the tables. */

/** Sizes of the growth tables: keys that are stored. */
export const growthSizes = [1_000, 10_000, 100_000, 1_000_000] as const

/**
 * Keys that take turns where one is hot. By the default limits each may make 6,000 requests a minute: together 1,152,000,
 * which is 20 seconds of a minute at the pace of the fastest server here, and no limit has to be raised or turned off.
 * More of them would no longer be hot for the processor, whose memory is small: 512 take some microseconds more each.
 */
export const hotKeys = 192

/** Requests of the metered key beside which others are measured, each of which costs a credit. */
export const meteredPerSecond = 1_000

export type CaseGroup = 'baseline' | 'request' | 'metered' | 'route' | 'peer' | 'growth'

export type Case = {
  readonly name: string
  readonly title: string
  readonly group: CaseGroup
  /** Among the main rows, which `--quick` measures. */
  readonly isMain?: boolean
  /** Many keys are used again and again: the writing of their uses, every 30 seconds, belongs to the case. */
  readonly isLong?: boolean
}

/** Under load for so long, a case has the uses of its keys written once. */
export const longSeconds = 30
/** What was left to write from the round before is written in this time. */
export const longWarmUpSeconds = 5

const growth = growthSizes.flatMap(size => [
  { name: `hot-${size}`, title: `hot key of ${size.toLocaleString('en')}`, group: 'growth' as const },
  { name: `cold-${size}`, title: `cold keys of ${size.toLocaleString('en')}`, group: 'growth' as const },
])

const defined = [
  { name: 'without-auth', title: 'the same app without authentication', group: 'baseline', isMain: true },
  { name: 'elysia', title: 'a bare Elysia route', group: 'baseline', isMain: true },
  { name: 'bun', title: 'raw `Bun.serve`', group: 'baseline', isMain: true },
  { name: 'hot-key', title: 'API key, hot', group: 'request', isMain: true },
  {
    name: 'hot-key-limits',
    title: 'API key, hot, with a limit of its own',
    group: 'request',
    isMain: true,
  },
  { name: 'hot-hs256', title: 'JWT, HS256, hot', group: 'request', isMain: true },
  { name: 'hot-es256', title: 'JWT, ES256, hot', group: 'request', isMain: true },
  { name: 'hot-key-bare', title: 'API key, hot, in a bare Elysia app', group: 'request', isMain: true },
  { name: 'hot-hs256-bare', title: 'JWT, HS256, hot, in a bare Elysia app', group: 'request' },
  {
    name: 'rotating',
    title: 'keys in rotation, the cache holds them',
    group: 'request',
    isMain: true,
    isLong: true,
  },
  {
    name: 'rotating-small',
    title: 'the same keys in rotation, the cache does not',
    group: 'request',
    isLong: true,
  },
  {
    name: 'cold',
    title: 'all stored keys in rotation, every look-up a miss',
    group: 'request',
    isMain: true,
  },
  { name: 'garbage', title: 'refused: garbage with a bad checksum', group: 'request', isMain: true },
  { name: 'unknown', title: 'refused: well-formed unknown keys', group: 'request', isMain: true },
  {
    name: 'unknown-throttled',
    title: 'refused: unknown keys, over the limit of an address',
    group: 'request',
    isMain: true,
  },
  { name: 'revoked', title: 'refused: revoked keys', group: 'request' },
  { name: 'metered', title: 'metered key, one request at a time', group: 'metered', isMain: true },
  { name: 'metered-together', title: 'metered keys, 32 at once', group: 'metered', isMain: true },
  { name: 'document-read', title: '`service-a`: read a document', group: 'route' },
  { name: 'document-write', title: '`service-a`: write a document', group: 'route' },
  { name: 'create-key', title: 'make an API key', group: 'route' },
  { name: 'better-auth-defaults', title: 'Better Auth, defaults', group: 'peer', isMain: true },
  { name: 'better-auth-normal', title: 'Better Auth, WAL with `synchronous=NORMAL`', group: 'peer' },
  { name: 'better-auth-memory', title: 'Better Auth, its best: in a Map', group: 'peer', isMain: true },
  { name: 'elysia-jwt', title: 'plain @elysiajs/jwt, HS256', group: 'peer' },
  ...growth,
] as const satisfies readonly Case[]

export type CaseName = (typeof defined)[number]['name']
export const cases: readonly (Case & { readonly name: CaseName })[] = defined

/** Measured in every run: without these there is nothing to compare with. */
export const baselines: readonly string[] = cases
  .filter(({ group }) => group === 'baseline')
  .map(({ name }) => name)

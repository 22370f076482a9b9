import { expect, test } from 'bun:test'
import { createLimiter, type NamedLimit } from './limiter.ts'
import { rateLimit, rateLimitPolicy } from './rate-limit-fields.ts'

const limits: NamedLimit[] = [
  { name: 'burst', limit: 2, windowSeconds: 60 },
  { name: 'daily', limit: 1_000, windowSeconds: 86_400 },
]

test('the policy has an item for each limit, with quota and window', () => {
  expect(rateLimitPolicy(limits)).toBe('"burst";q=2;w=60, "daily";q=1000;w=86400')
  expect(rateLimitPolicy(limits.slice(0, 1))).toBe('"burst";q=2;w=60')
})

test('what is left has an item for each limit, and a time only where something comes back', () => {
  let now = 0
  const windows = createLimiter({ clock: () => now }).windowsOf('id', limits)
  expect(rateLimit(windows.status())).toBe('"burst";r=2, "daily";r=1000')
  windows.take()
  now = 22_500
  windows.take()
  expect(windows.take()).toBe(false)
  expect(rateLimit(windows.status())).toBe('"burst";r=0;t=38, "daily";r=998;t=86378')
  // The draft wants Retry-After not to come before the time of the limit that refuses.
  expect(windows.retryAfterSeconds()).toBe(38)
})

test('a name ends neither its string nor the field', () => {
  const odd = [{ name: 'a";q=9,"\\', limit: 1, windowSeconds: 1 }]
  expect(rateLimitPolicy(odd)).toBe('"a\\";q=9,\\"\\\\";q=1;w=1')
})

import { afterEach, expect, setSystemTime, test } from 'bun:test'
import { systemClock } from '../lib/clock.ts'
import { openLimiter } from './carried-windows.ts'
import { openKeyDatabase } from './test-store.ts'

afterEach(() => {
  setSystemTime()
})

test.each([undefined, systemClock])(
  'windows go by the time that passes, and not by what the clock of the machine is set to: %p',
  clock => {
    using database = openKeyDatabase()
    const limiter = openLimiter({ database, clock, log: { warn: () => undefined, info: () => undefined } })
    const windows = limiter.windowsOf('key_a', [{ name: 'burst', limit: 1, windowSeconds: 60 }])
    expect(windows.take()).toBe(true)
    for (const hours of [2, -2]) {
      setSystemTime(new Date(Date.now() + hours * 3_600_000))
      expect(windows.take()).toBe(false)
      expect(windows.retryAfterSeconds()).toBeLessThanOrEqual(61)
    }
  },
)

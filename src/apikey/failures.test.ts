import { describe, expect, test } from 'bun:test'
import { createFailures, type FailedRequest, type FailureLimits, type FailureReason } from './failures.ts'

const start = 1_700_000_000_000

/** Counts until there is a refusal, and answers with how often and with that. */
const setUp = (limits?: FailureLimits) => {
  const time = { now: start }
  const told: FailedRequest[] = []
  const failures = createFailures({
    ...(limits === undefined ? {} : { limits }),
    clock: () => time.now,
    onFailure: failed => told.push(failed),
  })
  const fail = (
    address: string | null,
    keyId: string | null = null,
    reason: FailureReason = 'api_key_invalid',
  ) => failures.throttle(reason, keyId, address)
  const untilThrottled = (address: string, keyId: string | null = null) => {
    for (let count = 0; count < 1_000; count += 1) {
      const refusal = fail(address, keyId)
      if (refusal !== null) return { count, refusal }
    }
    return { count: 1_000, refusal: null }
  }
  return { time, told, failures, fail, untilThrottled }
}

describe('without any word of the host', () => {
  test('300 failures of one address are told their reason, and 60 with one key id', () => {
    const { untilThrottled } = setUp()
    expect(untilThrottled('192.0.2.1').count).toBe(300)
    expect(untilThrottled('192.0.2.2', 'key_1').count).toBe(60)
  })

  test('the refusal says which policy, and when one more is told its reason', () => {
    const { time, fail, untilThrottled } = setUp()
    const { refusal } = untilThrottled('192.0.2.1')
    expect({ code: refusal?.code, after: refusal?.retryAfterSeconds, headers: refusal?.headers }).toEqual({
      code: 'rate_limited',
      after: 65,
      headers: { 'ratelimit-policy': '"failures";q=300;w=60', ratelimit: '"failures";r=0;t=65' },
    })
    time.now += 64_999
    expect(fail('192.0.2.1')?.retryAfterSeconds).toBe(1)
    time.now += 1
    expect(fail('192.0.2.1')).toBeNull()
  })

  test('the refusal for a key id has a policy of its own', () => {
    expect(setUp().untilThrottled('192.0.2.1', 'key_1').refusal?.headers).toEqual({
      'ratelimit-policy': '"key-failures";q=60;w=60',
      ratelimit: '"key-failures";r=0;t=65',
    })
  })
})

describe('who is counted together', () => {
  const limits = { perAddress: 2, perKey: null }

  test('an address for itself; one network of 64 bits in IPv6; and all that have no address', () => {
    for (const [one, other, apart] of [
      ['192.0.2.1', '::ffff:192.0.2.1', '192.0.2.2'],
      ['2001:db8::1', '2001:db8::ffff:1', '2001:db8:0:1::1'],
      [null, null, '192.0.2.1'],
    ] as const) {
      const { fail } = setUp(limits)
      expect([fail(one), fail(other)]).toEqual([null, null])
      expect([fail(one)?.code, fail(other)?.code]).toEqual(['rate_limited', 'rate_limited'])
      expect(fail(apart)).toBeNull()
    }
  })

  test('a key id, from however many addresses it comes', () => {
    const { fail } = setUp({ perAddress: null, perKey: 2 })
    expect([fail('192.0.2.1', 'key_1'), fail('192.0.2.2', 'key_1')]).toEqual([null, null])
    expect(fail('192.0.2.3', 'key_1')?.code).toBe('rate_limited')
    expect([fail('192.0.2.3', 'key_2'), fail('192.0.2.3')]).toEqual([null, null])
  })

  test('every reason alike, but for an expired token: whoever has one must hear that it is time for another', () => {
    const { fail, failures } = setUp({ perAddress: 5 })
    const guesses = [
      'credential_missing',
      'credential_unsupported',
      'credential_ambiguous',
      'token_invalid',
      'api_key_invalid',
    ] as const
    for (const reason of guesses) expect(fail('192.0.2.1', null, reason)).toBeNull()
    for (const reason of guesses) expect(fail('192.0.2.1', null, reason)?.code).toBe('rate_limited')
    for (let count = 0; count < 10; count += 1) expect(fail('192.0.2.1', null, 'token_expired')).toBeNull()
    for (let count = 0; count < 10; count += 1) expect(fail('192.0.2.2', null, 'token_expired')).toBeNull()
    expect(fail('192.0.2.2')).toBeNull()
    expect(failures.failed).toEqual({
      credential_missing: 2,
      credential_unsupported: 2,
      credential_ambiguous: 2,
      token_invalid: 2,
      token_expired: 20,
      api_key_invalid: 3,
    })
  })
})

test('a refusal for one limit counts in neither: what is told is when the next one has its reason', () => {
  const { fail } = setUp({ perAddress: 3, perKey: 1 })
  expect(fail('192.0.2.1', 'key_1')).toBeNull()
  for (let count = 0; count < 10; count += 1) {
    expect(fail('192.0.2.1', 'key_1')?.headers['ratelimit-policy']).toStartWith('"key-failures"')
  }
  expect([fail('192.0.2.1'), fail('192.0.2.1')]).toEqual([null, null])
  expect(fail('192.0.2.1')?.headers['ratelimit-policy']).toStartWith('"failures"')
})

test('over both limits, the one that is told is the one that takes longer', () => {
  const { time, fail } = setUp({ perAddress: 2, perKey: 1 })
  expect(fail('192.0.2.1', 'key_1')).toBeNull()
  time.now += 30_000
  expect(fail('192.0.2.1', 'key_2')).toBeNull()
  expect(fail('192.0.2.1', 'key_2')?.headers.ratelimit).toBe('"key-failures";r=0;t=65')
  expect(fail('192.0.2.1', 'key_1')?.headers.ratelimit).toBe('"failures";r=0;t=35')
})

test('with null there is no limit, and all is counted all the same', () => {
  const { failures, untilThrottled, told } = setUp({ perAddress: null, perKey: null })
  expect(untilThrottled('192.0.2.1', 'key_1')).toEqual({ count: 1_000, refusal: null })
  expect([failures.failed.api_key_invalid, failures.throttled, told.length]).toEqual([
    1_000,
    { address: 0, key: 0 },
    1_000,
  ])
})

test('each failure is told once: why, with which key id, from where, and the limit it was over', () => {
  const { fail, told, failures } = setUp({ perAddress: 2, perKey: 1 })
  fail('192.0.2.1', 'key_1')
  fail('192.0.2.1', 'key_1')
  fail('192.0.2.1', null, 'credential_missing')
  fail('192.0.2.1', null, 'credential_missing')
  fail(null, null, 'token_expired')
  const key = { reason: 'api_key_invalid', keyId: 'key_1', address: '192.0.2.1' } as const
  const nothing = { reason: 'credential_missing', keyId: null, address: '192.0.2.1' } as const
  expect(told).toEqual([
    { ...key, throttledBy: null },
    { ...key, throttledBy: 'key' },
    { ...nothing, throttledBy: null },
    { ...nothing, throttledBy: 'address' },
    { reason: 'token_expired', keyId: null, address: null, throttledBy: null },
  ])
  expect(failures.throttled).toEqual({ address: 1, key: 1 })
})
